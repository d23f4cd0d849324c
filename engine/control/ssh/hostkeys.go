package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys keeps the known_hosts files of a run, each set of files read once.
type hostKeys struct {
	mu       sync.Mutex
	sets     map[string]*knownhosts.HostKeyDB
	accepted map[string]ssh.PublicKey // by name; what this run recorded
}

func newHostKeys() *hostKeys {
	return &hostKeys{sets: map[string]*knownhosts.HostKeyDB{}, accepted: map[string]ssh.PublicKey{}}
}

// set reads files, but for those that are missing.
func (h *hostKeys) set(files []string) (*knownhosts.HostKeyDB, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := strings.Join(files, "\x00")
	if db := h.sets[key]; db != nil {
		return db, nil
	}
	db, err := readKnownHosts(files)
	if err != nil {
		return nil, err
	}
	h.sets[key] = db
	return db, nil
}

func readKnownHosts(files []string) (*knownhosts.HostKeyDB, error) {
	present := slices.DeleteFunc(slices.Clone(files), func(f string) bool {
		_, err := os.Stat(f)
		return errors.Is(err, fs.ErrNotExist)
	})
	db, err := knownhosts.NewDB(present...)
	if err != nil {
		return nil, fmt.Errorf("read known_hosts: %w; correct or remove that line", err)
	}
	return db, nil
}

// A keyCheck decides on the key of one target.
type keyCheck struct {
	hostKeys *hostKeys
	db       *knownhosts.HostKeyDB
	s        settings
	name     string // what known_hosts has the host under, "name:port"
}

func (h *hostKeys) check(s settings) (*keyCheck, error) {
	db, err := h.set(append(slices.Clone(s.KnownHosts), s.GlobalHosts...))
	if err != nil {
		return nil, err
	}
	name := endpoint(strings.ToLower(s.Host), s.Port)
	if s.HostKeyAlias != "" {
		name = endpoint(strings.ToLower(s.HostKeyAlias), 22)
	}
	return &keyCheck{hostKeys: h, db: db, s: s, name: name}, nil
}

// algorithms are the host key algorithms to ask for: first those of known
// keys, so that a host with several keys shows the one on record. Certificates
// are asked for only where an authority is on record.
func (k *keyCheck) algorithms() []string {
	known := k.db.HostKeyAlgorithms(k.name)
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(known, a) && !strings.Contains(a, "-cert-v01@") {
			known = append(known, a)
		}
	}
	return known
}

// verify is the ssh.HostKeyCallback.
func (k *keyCheck) verify(_ string, remote net.Addr, key ssh.PublicKey) error {
	err := k.db.HostKeyCallback()(k.name, remote, key)
	if err == nil {
		return nil
	}
	var wrong *xknownhosts.KeyError
	if !errors.As(err, &wrong) {
		return k.untrusted(key, err)
	}
	if len(wrong.Want) > 0 {
		return k.changed(key, wrong)
	}
	if k.s.HostKeys == AcceptNew {
		return k.hostKeys.accept(k, remote, key)
	}
	return k.unknown(key)
}

func (k *keyCheck) error(kind Kind, says, hint string, err error) *Error {
	return &Error{Kind: kind, Host: k.s.Name, Address: endpoint(k.s.Host, k.s.Port), Says: says, Hint: hint, Err: err}
}

func fingerprint(key ssh.PublicKey) string {
	return keyName(key) + " " + ssh.FingerprintSHA256(key)
}

// keyName is the type of a key as ssh-keygen -l shows it.
func keyName(key ssh.PublicKey) string {
	t := key.Type()
	switch {
	case strings.Contains(t, "ed25519"):
		return "ED25519"
	case strings.Contains(t, "ecdsa"):
		return "ECDSA"
	case strings.Contains(t, "rsa"):
		return "RSA"
	}
	return t
}

func (k *keyCheck) unknown(key ssh.PublicKey) *Error {
	file := "~/.ssh/known_hosts"
	if len(k.s.KnownHosts) > 0 {
		file = k.s.KnownHosts[0]
	}
	line := knownhosts.Line([]string{k.name}, key)
	return k.error(HostKeyUnknown,
		"its host key is not known: "+fingerprint(key),
		fmt.Sprintf("compare it with `ssh-keygen -lf` of the host's public key on its console, then accept it with\n"+
			"  echo %s >> %s\nor let weft record new keys with StrictHostKeyChecking accept-new", quote(line), quote(file)), nil)
}

// changed names what is on record, for the type of key that was shown where
// there is one, and forgets all of it: what one file still has would refuse the
// host again.
func (k *keyCheck) changed(key ssh.PublicKey, wrong *xknownhosts.KeyError) *Error {
	want := wrong.Want[0]
	var files []string
	for _, w := range wrong.Want {
		if w.Key.Type() == key.Type() && want.Key.Type() != key.Type() {
			want = w
		}
		if !slices.Contains(files, w.Filename) {
			files = append(files, w.Filename)
		}
	}
	hint := "somebody may be listening in; only if you know that the host was reinstalled, forget the old key with"
	for _, file := range files {
		hint += fmt.Sprintf("\n  ssh-keygen -R %s -f %s", quote(knownhosts.Normalize(k.name)), quote(file))
	}
	return k.error(HostKeyChanged,
		fmt.Sprintf("its host key changed: it shows %s, but %s line %d has %s",
			fingerprint(key), want.Filename, want.Line, fingerprint(want.Key)), hint, wrong)
}

// untrusted is a key that is revoked, or a certificate that does not hold.
func (k *keyCheck) untrusted(key ssh.PublicKey, err error) *Error {
	var revoked *xknownhosts.RevokedError
	if errors.As(err, &revoked) {
		return k.error(HostKeyChanged,
			fmt.Sprintf("its host key %s is revoked in %s line %d", fingerprint(key), revoked.Revoked.Filename, revoked.Revoked.Line),
			"give the host a new key before anything is sent to it", err)
	}
	return k.error(HostKeyChanged, "its host certificate does not hold: "+strconv.Quote(err.Error()),
		"have it signed again by the authority on record, for this host name and a period that includes today", err)
}

// quote makes one word of a POSIX shell of s, for a command that an operator
// copies.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
