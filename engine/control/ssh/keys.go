package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A keyRing reads private keys and certificates, each file once a run.
type keyRing struct {
	mu    sync.Mutex
	files map[string]*keyFile
}

// A keyFile is one private key: readable, or encrypted, or only its public half
// is there; or it cannot be used and err says why.
type keyFile struct {
	path      string
	public    ssh.PublicKey
	plain     ssh.AlgorithmSigner
	encrypted []byte // the PEM of a key with a passphrase
	cert      *ssh.Certificate
	err       error

	mu        sync.Mutex
	unlocked  ssh.AlgorithmSigner
	unlockErr error
}

// load reads a key, the certificate beside it, and for an encrypted key the
// public half: from the file itself, or from the .pub beside it.
func (r *keyRing) load(path string) *keyFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.files[path]; k != nil {
		return k
	}
	k := &keyFile{path: path}
	k.err = k.read()
	cert, err := readCertificate(path + "-cert.pub")
	if err == nil {
		k.cert = cert
	}
	if isExhausted(err) {
		k.err = err
	}
	if !isExhausted(k.err) { // that says nothing of the file
		r.files[path] = k
	}
	return k
}

func (k *keyFile) read() error {
	b, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		// An agent may hold the key of which only the public half is here.
		var missing error
		if k.public, missing = readPublic(k.path + ".pub"); missing == nil {
			return nil
		}
		if isExhausted(missing) {
			return missing
		}
	}
	if err != nil {
		return err
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(b); err == nil {
		k.public = public
		return nil
	}
	parsed, err := ssh.ParsePrivateKey(b)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		k.encrypted, k.public = b, missing.PublicKey
		if k.public == nil {
			if k.public, err = readPublic(k.path + ".pub"); err != nil {
				return fmt.Errorf("it is encrypted in an old format; its public half is wanted beside it: %w", err)
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	signer, ok := parsed.(ssh.AlgorithmSigner)
	if !ok {
		return fmt.Errorf("a key of type %s cannot sign", parsed.PublicKey().Type())
	}
	k.plain, k.public = signer, signer.PublicKey()
	return nil
}

func readPublic(path string) (ssh.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(b)
	return public, err
}

func readCertificate(path string) (*ssh.Certificate, error) {
	public, err := readPublic(path)
	if err != nil {
		return nil, err
	}
	cert, ok := public.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("%s holds a key, not a certificate", path)
	}
	return cert, nil
}

// unlock asks for the passphrase of an encrypted key, at most once a run.
func (k *keyFile) unlock(ctx context.Context, ask Ask) (ssh.AlgorithmSigner, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unlocked != nil || k.unlockErr != nil {
		return k.unlocked, k.unlockErr
	}
	passphrase, err := ask(ctx, Question{Text: "passphrase of " + k.path})
	if err != nil {
		return nil, fmt.Errorf("ask for the passphrase of %s: %w", k.path, err)
	}
	parsed, err := ssh.ParsePrivateKeyWithPassphrase(k.encrypted, []byte(passphrase))
	if err != nil {
		k.unlockErr = fmt.Errorf("the passphrase of %s is wrong: %w", k.path, err)
		return nil, k.unlockErr
	}
	signer, ok := parsed.(ssh.AlgorithmSigner)
	if !ok {
		k.unlockErr = fmt.Errorf("%s: a key of type %s cannot sign", k.path, parsed.PublicKey().Type())
	}
	k.unlocked = signer
	return signer, k.unlockErr
}

// A lockedSigner shows the public half of an encrypted key, and asks for its
// passphrase only when a host has said that it takes that key.
type lockedSigner struct {
	ctx context.Context // of the login that it signs for
	key *keyFile
	ask Ask
	// failed hears why nothing was signed; the library keeps that to itself
	// where another method is left.
	failed func(error) error
}

func (s lockedSigner) PublicKey() ssh.PublicKey { return s.key.public }

func (s lockedSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

func (s lockedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := s.key.unlock(s.ctx, s.ask)
	if err != nil {
		return nil, s.failed(err)
	}
	return signer.SignWithAlgorithm(rand, data, algorithm)
}
