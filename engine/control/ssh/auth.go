package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"weft/engine/wire"
)

// A login is one attempt to log in, and the record of it for the error where
// it fails.
type login struct {
	ctx  context.Context
	s    settings
	o    Options
	ring *keyRing
	pool *agents

	mu      sync.Mutex
	offered []string // keys that were offered, for people
	passed  []string // keys that were passed over, and why
	allowed []string // methods that the host takes
	banner  string
	failure error // of a password or a passphrase that could not be had
}

func (l *login) methods() []ssh.AuthMethod {
	methods := []ssh.AuthMethod{ssh.PublicKeysCallback(l.signers)}
	if l.o.Password != nil {
		methods = append(methods, ssh.PasswordCallback(func() (string, error) {
			p, err := l.o.Password(l.ctx)
			return p, l.failed(err)
		}))
	}
	if l.o.Password != nil || l.o.Ask != nil {
		methods = append(methods, ssh.KeyboardInteractive(l.challenge))
	}
	return methods
}

// observe records which methods the host takes; it never picks one.
func (l *login) observe(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(c.AllowedMethods) > 0 {
		l.allowed = c.AllowedMethods
	}
	return nil, nil
}

func (l *login) failed(err error) error {
	if err != nil {
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
	}
	return err
}

// failing is what could not be had for the login.
func (l *login) failing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// challenge answers keyboard-interactive questions: a lone hidden one with the
// password, the rest by asking.
func (l *login) challenge(_, instruction string, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i, q := range questions {
		var err error
		switch {
		case len(questions) == 1 && !echos[0] && l.o.Password != nil:
			answers[i], err = l.o.Password(l.ctx)
		case l.o.Ask != nil:
			text := strings.TrimSpace(instruction + " " + strings.TrimRight(strings.TrimSpace(q), ":"))
			answers[i], err = l.o.Ask(l.ctx, Question{Host: l.s.Name, Text: wire.Neutralise(text), Echo: echos[i]})
		default:
			err = fmt.Errorf("the host asks %q, and nobody is there to answer", wire.Neutralise(q))
		}
		if err != nil {
			return nil, l.failed(err)
		}
	}
	return answers, nil
}

// A candidate is a key that may be offered.
type candidate struct {
	signer ssh.Signer
	from   string
}

// signers are the keys to offer, in this order: those that were named or are
// at their usual places, from the agent where it holds them, then the agent's
// others. Every key is offered once, its certificate before it.
func (l *login) signers() ([]ssh.Signer, error) {
	var agentSigners []ssh.Signer
	if l.s.AgentSocket != "" {
		var err error
		agentSigners, err = l.pool.signers(l.s.AgentSocket)
		if isExhausted(err) {
			return nil, l.failed(err)
		}
		if err != nil {
			l.pass("the agent", err)
		}
	}
	extra, err := l.certificates()
	if err != nil {
		return nil, l.failed(err)
	}
	var out []candidate
	for _, path := range l.s.IdentityFiles {
		k := l.ring.load(path)
		if isExhausted(k.err) {
			return nil, l.failed(k.err)
		}
		signer, from := l.signerOf(k, agentSigners)
		if signer == nil {
			continue
		}
		if k.cert != nil {
			out = append(out, l.certified(k.cert, signer, path+"-cert.pub")...)
		}
		out = append(out, candidate{signer, from})
	}
	if !l.s.IdentitiesOnly {
		for _, s := range agentSigners {
			out = append(out, candidate{s, "the agent"})
		}
	}
	var certs []candidate
	for _, cert := range extra {
		for _, c := range out {
			if bytes.Equal(c.signer.PublicKey().Marshal(), cert.Key.Marshal()) {
				certs = append(certs, l.certified(cert, c.signer, "CertificateFile for "+c.from)...)
				break
			}
		}
	}
	return l.offer(append(certs, out...)), nil
}

// signerOf is what signs for a key file: the agent where it holds that key, or
// the file itself.
func (l *login) signerOf(k *keyFile, fromAgent []ssh.Signer) (ssh.Signer, string) {
	if k.err != nil {
		// Nobody named the keys at the usual places.
		if l.s.NamedIdentities || !errors.Is(k.err, fs.ErrNotExist) {
			l.pass(k.path, k.err)
		}
		return nil, ""
	}
	for _, s := range fromAgent {
		if bytes.Equal(s.PublicKey().Marshal(), k.public.Marshal()) {
			return s, k.path + ", in the agent"
		}
	}
	switch {
	case k.plain != nil:
		return k.plain, k.path
	case k.encrypted == nil:
		l.pass(k.path, fmt.Errorf("only its public half is there, and no agent holds the other"))
	case l.o.Ask == nil:
		l.pass(k.path, fmt.Errorf("it is encrypted, and nobody is there to ask for its passphrase; add it to the agent with ssh-add"))
	default:
		return lockedSigner{ctx: l.ctx, key: k, ask: l.o.Ask, failed: l.failed}, k.path
	}
	return nil, ""
}

// certificates passes over what cannot be read; its error is [Exhausted]'s.
func (l *login) certificates() ([]*ssh.Certificate, error) {
	var out []*ssh.Certificate
	for _, path := range l.s.CertificateFiles {
		cert, err := readCertificate(path)
		if isExhausted(err) {
			return nil, err
		}
		if err != nil {
			l.pass(path, err)
			continue
		}
		out = append(out, cert)
	}
	return out, nil
}

func (l *login) certified(cert *ssh.Certificate, signer ssh.Signer, from string) []candidate {
	s, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		l.pass(from, err)
		return nil
	}
	return []candidate{{s, from}}
}

// offer drops what is there twice and records the rest.
func (l *login) offer(all []candidate) []ssh.Signer {
	var out []ssh.Signer
	var seen []string
	var names []string
	for _, c := range all {
		id := string(c.signer.PublicKey().Marshal())
		if slices.Contains(seen, id) {
			continue
		}
		seen = append(seen, id)
		out = append(out, c.signer)
		names = append(names, fmt.Sprintf("%s (%s)", c.from, fingerprint(c.signer.PublicKey())))
	}
	l.mu.Lock()
	l.offered = names
	l.mu.Unlock()
	return out
}

func (l *login) pass(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed = append(l.passed, fmt.Sprintf("%s (%v)", what, err))
}

// keepBanner is the ssh.BannerCallback. A banner is shown only with an error.
func (l *login) keepBanner(message string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.banner = wire.Neutralise(strings.TrimSpace(message))
	return nil
}

// refused tells what was tried, for a host that let nobody in.
func (l *login) refused(err error) *Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	says := fmt.Sprintf("it refuses the login of %s", l.s.User)
	if len(l.allowed) > 0 {
		says += "; it takes " + strings.Join(l.allowed, ", ")
	}
	tried := "no key was there to offer"
	if len(l.offered) > 0 {
		tried = "offered: " + strings.Join(l.offered, ", ")
	}
	says += "; " + tried
	switch {
	case l.failure != nil:
		says += "; " + l.failure.Error()
	case l.o.Password != nil && (slices.Contains(l.allowed, "password") || slices.Contains(l.allowed, "keyboard-interactive")):
		says += "; the password was wrong"
	}
	if strings.Contains(err.Error(), "Too many authentication failures") {
		says += "; there were too many tries for its MaxAuthTries"
	}
	if len(l.passed) > 0 {
		says += "; passed over: " + strings.Join(l.passed, ", ")
	}
	if l.banner != "" {
		says += "; its banner: " + strings.Join(strings.Fields(l.banner), " ")
	}
	return &Error{
		Kind: LoginRefused, Host: l.s.Name, Address: endpoint(l.s.Host, l.s.Port), Says: wire.Neutralise(says), Err: err,
		Hint: l.advice(),
	}
}

func (l *login) advice() string {
	switch {
	case len(l.offered) > 5:
		return "name the one key with IdentityFile and IdentitiesOnly yes"
	case len(l.allowed) > 0 && !slices.Contains(l.allowed, "publickey") && l.o.Password == nil:
		return "it wants a password: let weft ask for one, or give it a file with it"
	}
	return fmt.Sprintf("is %s the right user, and is one of these keys in its authorized_keys there?", l.s.User)
}
