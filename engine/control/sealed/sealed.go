// Package sealed opens files that are encrypted with age
// (https://age-encryption.org/v1), in binary or armored, for an identity of
// the operator's or with a passphrase. It writes nothing, to no file and no
// screen, and no error tells of what was inside a file or an identity.
package sealed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Opener opens files. It is not safe for concurrent use.
type Opener struct {
	// Identities are paths of files with identities, as age-keygen writes
	// them; they may themselves be encrypted with a passphrase.
	Identities []string
	// Default is the path that is used where there are no Identities, if
	// there is such a file.
	Default string
	// Ask asks for a passphrase.
	Ask func(prompt string) (string, error)

	known []age.Identity // once read
}

// Open returns what is in an encrypted file. The path is for people.
func (o *Opener) Open(path string, src []byte) ([]byte, error) {
	if needsPassphrase(src) {
		return o.unlock(path, src)
	}
	known, err := o.identities()
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("%s is encrypted and no identity is known: name one with --identity or WEFT_IDENTITY, or keep it in %s", path, o.Default)
	}
	plain, err := decrypt(path, src, known)
	if nobody := new(age.NoIdentityMatchError); errors.As(err, &nobody) {
		return nil, fmt.Errorf("no identity in %s opens %s: it is encrypted for others", o.where(), path)
	}
	return plain, err
}

func (o *Opener) unlock(path string, src []byte) ([]byte, error) {
	return decrypt(path, src, []age.Identity{&passphrase{o.Ask, path}})
}

// where the identities are from.
func (o *Opener) where() string {
	if len(o.Identities) == 0 {
		return o.Default
	}
	return strings.Join(o.Identities, ", ")
}

func (o *Opener) identities() ([]age.Identity, error) {
	if o.known != nil {
		return o.known, nil
	}
	paths := o.Identities
	if len(paths) == 0 {
		if _, err := os.Stat(o.Default); err != nil {
			return nil, nil //nolint:nilerr // it need not be there
		}
		paths = []string{o.Default}
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read an identity: %w", err)
		}
		if needsPassphrase(b) {
			if b, err = o.unlock(path, b); err != nil {
				return nil, err
			}
		}
		list, err := age.ParseIdentities(bytes.NewReader(b))
		if err != nil { // it is not shown: it may quote the file
			return nil, fmt.Errorf("%s holds no identity of age: one begins with AGE-SECRET-KEY-1, as age-keygen writes it", path)
		}
		o.known = append(o.known, list...)
	}
	return o.known, nil
}

func decrypt(path string, src []byte, identities []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(unarmored(src), identities...)
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(r)
	}
	locked, nobody := new(lockedError), new(age.NoIdentityMatchError)
	switch {
	case err == nil || errors.As(err, &locked) || errors.As(err, &nobody):
		return plain, err
	}
	// The reason is not shown: it quotes the file, which may be a plain one.
	return nil, fmt.Errorf("%s is damaged, or was never encrypted with age", path)
}

func unarmored(src []byte) io.Reader {
	if text := bytes.TrimLeft(src, " \t\r\n"); bytes.HasPrefix(text, []byte(armor.Header)) {
		return armor.NewReader(bytes.NewReader(text))
	}
	return bytes.NewReader(src)
}

// needsPassphrase says whether a file is one of age's, and has a passphrase: its
// first stanza is then of the type scrypt, and the only one.
func needsPassphrase(src []byte) bool {
	lines := bufio.NewReader(unarmored(src))
	version, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(version, "age-encryption.org/") {
		return false
	}
	stanza, err := lines.ReadString('\n')
	return err == nil && strings.HasPrefix(stanza, "-> scrypt ")
}

// passphrase is the identity that somebody has in mind.
type passphrase struct {
	ask func(prompt string) (string, error)
	of  string // file
}

// lockedError says why a passphrase did not open a file.
type lockedError struct{ error }

func (e *lockedError) Unwrap() error { return e.error }

// Unwrap asks, and fails for good where the answer is wrong.
func (p *passphrase) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	answer, err := p.ask("passphrase of " + p.of)
	if err != nil {
		return nil, &lockedError{fmt.Errorf("%s is encrypted with a passphrase: %w; where nobody is there to type it, encrypt for an identity", p.of, err)}
	}
	identity, err := age.NewScryptIdentity(answer)
	if err == nil { // it is not empty
		var key []byte
		if key, err = identity.Unwrap(stanzas); !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, &lockedError{fmt.Errorf("the passphrase of %s is wrong", p.of)}
}
