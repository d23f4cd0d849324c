package ssh

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// FuzzKnownHosts reads a known_hosts that others write too: a key that is not in
// it is never taken for known, and after it was recorded it is.
func FuzzKnownHosts(f *testing.F) {
	f.Add([]byte("[box]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIhjIgKRzMMtkOp+gfTwq8Th5LSkgwvVLJg2RdVhGhFg\n"))
	key := testHostKey(f, 1)
	path := filepath.Join(f.TempDir(), "known_hosts")
	remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := readKnownHosts([]string{path})
		if err != nil {
			return
		}
		if db.HostKeyCallback()("box:22", remote, key) == nil {
			t.Fatalf("%q knows a key that it does not hold", content)
		}
		h := newHostKeys()
		k := &keyCheck{hostKeys: h, db: db, name: "box:22", s: settings{Host: "box", Port: 22, KnownHosts: []string{path}}}
		if h.record(k, remote, key) != nil {
			return // another key of that host, or a revoked one
		}
		again, err := readKnownHosts([]string{path})
		if err != nil {
			t.Fatalf("after a key was recorded in %q: %v", content, err)
		}
		if err := again.HostKeyCallback()("box:22", remote, key); err != nil {
			t.Fatalf("%q does not know the key that was recorded: %v", content, err)
		}
	})
}

// testHostKey is the same key in every run.
func testHostKey(f *testing.F, seed byte) ssh.PublicKey {
	f.Helper()
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)).Public())
	if err != nil {
		f.Fatal(err)
	}
	return key
}
