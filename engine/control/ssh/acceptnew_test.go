package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Each of many runs meets the same new host at the same moment: one records
// it, the others see that.
func TestRunsRecordAKeyOnce(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		file := filepath.Join(t.TempDir(), "known_hosts")
		var ready, done sync.WaitGroup
		ready.Add(1)
		for range 8 {
			check, err := newHostKeys().check(settings{Name: "h", Host: "h", Port: 22, KnownHosts: []string{file}, HostKeys: AcceptNew})
			if err != nil {
				t.Fatal(err)
			}
			done.Go(func() {
				ready.Wait()
				if err := check.verify("", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 22}, key); err != nil {
					t.Error(err)
				}
			})
		}
		ready.Done()
		done.Wait()
		if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "\n") != 1 {
			t.Fatalf("the key was not recorded once: %q, %v", b, err)
		}
	}
}
