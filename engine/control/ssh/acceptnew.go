package ssh

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// accept records a new key in the user's known_hosts. Two hosts of this run,
// or two runs, may do so at once: the file is locked, read again in case the
// other one met the same host first, and the line is appended in one write.
func (h *hostKeys) accept(k *keyCheck, remote net.Addr, key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.accepted[k.name]; known != nil && string(known.Marshal()) == string(key.Marshal()) {
		return nil
	}
	if len(k.s.KnownHosts) == 0 {
		return k.error(HostKeyUnknown, "its host key is not known: "+fingerprint(key),
			"there is no UserKnownHostsFile to record it in", nil)
	}
	err := h.record(k, remote, key)
	if isExhausted(err) {
		return exhausted(k.s, err)
	}
	if err != nil {
		var wrong *xknownhosts.KeyError
		if errors.As(err, &wrong) {
			return k.changed(key, wrong)
		}
		return k.error(HostKeyUnknown, fmt.Sprintf("its new host key %s could not be recorded: %v", fingerprint(key), err),
			"make the file writable, or name another as UserKnownHostsFile", err)
	}
	h.accepted[k.name] = key
	return nil
}

func (h *hostKeys) record(k *keyCheck, remote net.Addr, key ssh.PublicKey) error {
	path := k.s.KnownHosts[0]
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := lock(f); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	db, err := readKnownHosts([]string{path})
	if err != nil {
		return err
	}
	var wrong *xknownhosts.KeyError
	switch err := db.HostKeyCallback()(k.name, remote, key); {
	case err == nil:
		return nil
	case !errors.As(err, &wrong), len(wrong.Want) > 0:
		return err
	}
	name := knownhosts.Normalize(k.name)
	if k.s.HashNew {
		name = xknownhosts.HashHostname(name)
	}
	line := knownhosts.Line([]string{k.name}, key)
	line = name + line[len(knownhosts.Normalize(k.name)):] + "\n"
	if unfinished(f) {
		line = "\n" + line
	}
	_, err = f.WriteString(line)
	return err
}

// unfinished tells whether the last line of a file has no newline.
func unfinished(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}
