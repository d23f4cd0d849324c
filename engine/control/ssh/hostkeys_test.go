package ssh_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUnknownHostKey(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	right := content(t, s.KnownHosts)
	put(t, s.KnownHosts, "# nobody\n")
	config := s.ClientConfig(t, me(t))
	refused := refusal(t, dialer(t, ssh.Options{}, config), box, ssh.HostKeyUnknown)
	mention(t, refused, xssh.FingerprintSHA256(s.HostKey.PublicKey()), "ED25519", "accept-new", strings.TrimSpace(right))

	// The command in the hint is what accepts the key.
	follow(t, refused.Hint)
	mustDial(t, dialer(t, ssh.Options{}, config), box)
}

// follow runs the commands of a hint, and says how many there are.
func follow(t testing.TB, hint string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(hint) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			n++
			if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", command, err, out)
			}
		}
	}
	return n
}

// After a reinstall the commands in the hint forget the old keys wherever they
// are, under a hashed name as well, and the other hosts of the files stay.
func TestReinstalledHost(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	dir := t.TempDir()
	_, old := sshtest.NewKey(t, dir, "old")
	_, older := ecdsaKey(t)
	name := fmt.Sprintf("[%s]:%d", s.Host, s.Port)
	first, second := filepath.Join(dir, "known hosts"), filepath.Join(dir, "it's another")
	other := knownhosts.Line([]string{"other.example"}, old.PublicKey())
	put(t, first, other+"\n"+knownhosts.Line([]string{knownhosts.HashHostname(name)}, old.PublicKey())+"\n")
	put(t, second, knownhosts.Line([]string{name}, older.PublicKey())+"\n")
	config := s.ClientConfig(t, me(t), fmt.Sprintf("UserKnownHostsFile %q %q", first, second), "StrictHostKeyChecking accept-new")
	refused := refusal(t, dialer(t, ssh.Options{HostKeys: ssh.AcceptNew}, config), box, ssh.HostKeyChanged)
	mention(t, refused, first+" line 2", xssh.FingerprintSHA256(old.PublicKey()), xssh.FingerprintSHA256(s.HostKey.PublicKey()))
	if n := follow(t, refused.Hint); n != 2 {
		t.Errorf("%d commands for two files", n)
	}
	mustDial(t, dialer(t, ssh.Options{}, config), box)
	if !strings.Contains(content(t, first), other) {
		t.Error("the key of another host was forgotten too")
	}
}

func TestChangedHostKey(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	_, other := sshtest.NewKey(t, t.TempDir(), "other")
	name := fmt.Sprintf("[%s]:%d", s.Host, s.Port)
	put(t, s.KnownHosts, "# a comment\n"+knownhosts.Line([]string{name}, other.PublicKey())+"\n")
	config := s.ClientConfig(t, me(t))
	for _, policy := range []ssh.HostKeyPolicy{ssh.Strict, ssh.AcceptNew} {
		refused := refusal(t, dialer(t, ssh.Options{HostKeys: policy}, config), box, ssh.HostKeyChanged)
		mention(t, refused, s.KnownHosts+" line 2", xssh.FingerprintSHA256(s.HostKey.PublicKey()),
			xssh.FingerprintSHA256(other.PublicKey()), "ssh-keygen -R '"+name+"' -f '"+s.KnownHosts+"'")
	}
	// StrictHostKeyChecking no is no excuse either.
	refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "StrictHostKeyChecking no")), box, ssh.HostKeyChanged)
	if strings.Count(content(t, s.KnownHosts), "\n") != 2 {
		t.Error("known_hosts was written to")
	}
}

// Another type of key for a host that is known is a change, not a new host:
// else whoever is in between just shows another type.
func TestOtherTypeOfKeyIsAChange(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	_, other := ecdsaKey(t)
	put(t, s.KnownHosts, knownhosts.Line([]string{fmt.Sprintf("[%s]:%d", s.Host, s.Port)}, other.PublicKey())+"\n")
	refused := refusal(t, dialer(t, ssh.Options{HostKeys: ssh.AcceptNew}, s.ClientConfig(t, me(t))), box, ssh.HostKeyChanged)
	mention(t, refused, "line 1", "ECDSA")
}

// A host with several keys shows the one on record.
func TestAsksForTheKeyOnRecord(t *testing.T) {
	t.Parallel()
	path, signer := ecdsaKey(t)
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"HostKey " + path}})
	put(t, s.KnownHosts, knownhosts.Line([]string{fmt.Sprintf("[%s]:%d", s.Host, s.Port)}, signer.PublicKey())+"\n")
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
}

func TestHashedKnownHosts(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	config := s.ClientConfig(t, me(t))
	if out, err := exec.Command("ssh-keygen", "-H", "-f", s.KnownHosts).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen -H: %v: %s", err, out)
	}
	if text := content(t, s.KnownHosts); !strings.HasPrefix(text, "|1|") {
		t.Fatalf("known_hosts is not hashed: %s", text)
	}
	mustDial(t, dialer(t, ssh.Options{}, config), box)
}

func TestRevokedHostKey(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	put(t, s.KnownHosts, content(t, s.KnownHosts)+"@revoked * "+string(xssh.MarshalAuthorizedKey(s.HostKey.PublicKey())))
	mention(t, refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box, ssh.HostKeyChanged), "revoked", "line 2")
}

func TestHostKeyAlias(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	put(t, s.KnownHosts, knownhosts.Line([]string{"cluster"}, s.HostKey.PublicKey())+"\n")
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "HostKeyAlias cluster")), box)
	refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box, ssh.HostKeyUnknown)
}

func TestHostCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, signer := sshtest.NewKey(t, dir, "certified")
	_, authority := sshtest.NewKey(t, dir, "authority")
	sign := func(principals ...string) {
		cert := &xssh.Certificate{
			Key: signer.PublicKey(), CertType: xssh.HostCert, ValidPrincipals: principals, ValidBefore: xssh.CertTimeInfinity,
		}
		if err := cert.SignCert(random{}, authority); err != nil {
			t.Fatal(err)
		}
		put(t, path+"-cert.pub", string(xssh.MarshalAuthorizedKey(cert)))
	}
	sign("127.0.0.1")
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"HostKey " + path, "HostCertificate " + path + "-cert.pub"}})
	put(t, s.KnownHosts, "@cert-authority * "+string(xssh.MarshalAuthorizedKey(authority.PublicKey())))
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)

	sign("elsewhere")
	other := sshtest.Start(t, sshtest.Config{Lines: []string{"HostKey " + path, "HostCertificate " + path + "-cert.pub"}})
	put(t, other.KnownHosts, "@cert-authority * "+string(xssh.MarshalAuthorizedKey(authority.PublicKey())))
	mention(t, refusal(t, dialer(t, ssh.Options{}, other.ClientConfig(t, me(t))), box, ssh.HostKeyChanged), "certificate", "127.0.0.1")
}

// Twelve runs meet the same and different new hosts at once: every key is
// recorded once, whole, and what was there stays.
func TestAcceptNew(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{"no", "yes"} {
		s := sshtest.Start(t, sshtest.Config{Lines: []string{"MaxStartups 100"}})
		known := filepath.Join(t.TempDir(), "deep", "er", "known_hosts")
		put(t, s.KnownHosts, "old.example ssh-ed25519 "+strings.Fields(content(t, s.Key+".pub"))[1]) // no newline at the end
		for _, file := range []string{known, s.KnownHosts} {
			config := s.ClientConfig(t, me(t), "StrictHostKeyChecking accept-new", "HashKnownHosts "+hash, "UserKnownHostsFile "+file)
			var wg sync.WaitGroup
			for i := range 6 {
				d := dialer(t, ssh.Options{}, config)
				wg.Go(func() {
					c, err := d.Dial(t.Context(), ssh.Target{Name: "box"})
					if err != nil {
						t.Error(err)
						return
					}
					c.Close()
				})
				wg.Go(func() {
					alias := s.ClientConfig(t, me(t), "StrictHostKeyChecking accept-new", "UserKnownHostsFile "+file,
						fmt.Sprintf("HostKeyAlias alias%d", i))
					c, err := dialer(t, ssh.Options{}, alias).Dial(t.Context(), ssh.Target{Name: "box"})
					if err != nil {
						t.Error(err)
						return
					}
					c.Close()
				})
			}
			wg.Wait()
			mustDial(t, dialer(t, ssh.Options{HostKeys: ssh.Strict}, config), box)
			lines := strings.Count(content(t, file), "\n")
			want := 7
			if file == s.KnownHosts {
				want = 8
				if !strings.HasPrefix(content(t, file), "old.example ssh-ed25519 ") {
					t.Error("the old line is gone")
				}
			}
			if lines != want {
				t.Errorf("hash %s: %d lines instead of %d:\n%s", hash, lines, want, content(t, file))
			}
			if hash == "yes" && strings.Contains(content(t, file), s.Host) {
				t.Errorf("the name was not hashed:\n%s", content(t, file))
			}
		}
	}
}

// A new key met twice in one run, the second time another, is a change.
func TestAcceptNewOnlyOnce(t *testing.T) {
	t.Parallel()
	a, b := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	lines := []string{"StrictHostKeyChecking accept-new", "HostKeyAlias same", "UserKnownHostsFile " + filepath.Join(t.TempDir(), "new")}
	d := dialer(t, ssh.Options{}, a.ClientConfig(t, me(t), append(lines, "IdentityFile "+b.Key)...))
	mustDial(t, d, box)
	mustDial(t, d, box)
	refusal(t, d, ssh.Target{Name: "box", Port: b.Port}, ssh.HostKeyChanged)
}

func TestDamagedKnownHosts(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	put(t, s.KnownHosts, content(t, s.KnownHosts)+"what is this\n")
	_, err := dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))).Dial(t.Context(), box)
	if err == nil {
		t.Fatal("a damaged known_hosts went unnoticed")
	}
	mention(t, err, s.KnownHosts+":2")
}
