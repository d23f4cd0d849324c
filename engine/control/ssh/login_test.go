package ssh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

type random struct{}

func (random) Read(b []byte) (int, error) { return rand.Read(b) }

func ecdsaKey(t testing.TB) (string, xssh.Signer) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshtest.WriteKey(t, t.TempDir(), "id_ecdsa", private)
}

func rsaKey(t testing.TB) (string, xssh.Signer) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return sshtest.WriteKey(t, t.TempDir(), "id_rsa", private)
}

// only lets in nobody but the holder of a key.
func only(t testing.TB, s *sshtest.Server, signer xssh.Signer) {
	t.Helper()
	put(t, s.Path("authorized_keys"), string(xssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// encrypt puts a passphrase on a key, in the way ssh-keygen does.
func encrypt(t testing.TB, passphrase string) (string, xssh.Signer) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path, signer := sshtest.WriteKey(t, t.TempDir(), "id_locked", private)
	block, err := xssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, string(pem.EncodeToMemory(block)))
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	return path, signer
}

func TestKeyTypes(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	for name, make := range map[string]func(testing.TB) (string, xssh.Signer){"ecdsa": ecdsaKey, "rsa": rsaKey} {
		path, signer := make(t)
		only(t, s, signer)
		mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityFile "+path)), box)
		if c, err := dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))).Dial(t.Context(), box); err == nil {
			c.Close()
			t.Errorf("%s: another key is let in too", name)
		}
		// A target's own keys are tried too.
		mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), ssh.Target{Name: "box", IdentityFiles: []string{path}})
	}
}

func TestEncryptedKey(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	path, signer := encrypt(t, "open sesame")
	only(t, s, signer)
	config := s.ClientConfig(t, me(t), "IdentitiesOnly yes", "IdentityFile "+path)

	refused := refusal(t, dialer(t, ssh.Options{}, config), box, ssh.LoginRefused)
	mention(t, refused, path, "encrypted", "ssh-add")

	var asked atomic.Int32
	answer := "open sesame"
	ask := func(_ context.Context, q ssh.Question) (string, error) {
		asked.Add(1)
		if !strings.Contains(q.Text, path) || q.Echo {
			t.Errorf("asked %+v", q)
		}
		return answer, nil
	}
	d := dialer(t, ssh.Options{Ask: ask}, config)
	mustDial(t, d, box)
	mustDial(t, d, box)
	if n := asked.Load(); n != 1 {
		t.Errorf("the passphrase was asked for %d times", n)
	}
	answer = "wrong"
	mention(t, refusal(t, dialer(t, ssh.Options{Ask: ask}, config), box, ssh.LoginRefused), "passphrase of "+path+" is wrong")

	// Nobody is asked for a key that the host does not take.
	asked.Store(0)
	_, other := sshtest.NewKey(t, t.TempDir(), "other")
	only(t, s, other)
	refusal(t, dialer(t, ssh.Options{Ask: ask}, config), box, ssh.LoginRefused)
	if n := asked.Load(); n != 0 {
		t.Errorf("a passphrase was asked for in vain")
	}
}

func TestUserCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, authority := sshtest.NewKey(t, dir, "authority")
	put(t, dir+"/ca.pub", string(xssh.MarshalAuthorizedKey(authority.PublicKey())))
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"TrustedUserCAKeys " + dir + "/ca.pub"}})
	_, nobody := sshtest.NewKey(t, dir, "nobody")
	only(t, s, nobody)
	path, signer := rsaKey(t)
	cert := &xssh.Certificate{
		Key: signer.PublicKey(), CertType: xssh.UserCert, ValidPrincipals: []string{me(t)}, ValidBefore: xssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	text := string(xssh.MarshalAuthorizedKey(cert))

	put(t, dir+"/elsewhere.pub", text)
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityFile "+path, "CertificateFile "+dir+"/elsewhere.pub")), box)
	refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityFile "+path)), box, ssh.LoginRefused)
	put(t, path+"-cert.pub", text)
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityFile "+path)), box)
}

// serveAgent is an ssh-agent with one key.
func serveAgent(t testing.TB, private any) string {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, conn)
		}
	}()
	return dir + "/s"
}

func TestAgent(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path, signer := sshtest.WriteKey(t, t.TempDir(), "id_in_agent", private)
	s := sshtest.Start(t, sshtest.Config{})
	only(t, s, signer)
	socket := serveAgent(t, private)

	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityAgent "+socket)), box)

	// With IdentitiesOnly the agent signs for keys that are named, even where
	// only their public half is at hand.
	named := "IdentityAgent " + socket + "\nIdentitiesOnly yes\n"
	refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), named)), box, ssh.LoginRefused)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), named+"IdentityFile "+path)), box)
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), named+"IdentityFile "+path+".pub")), box)

	gone := refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityAgent /nonexistent/agent")), box, ssh.LoginRefused)
	mention(t, gone, "/nonexistent/agent")
}

func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	_, other := sshtest.NewKey(t, t.TempDir(), "other")
	only(t, s, other)
	refused := refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "IdentityFile /nonexistent/key")), box, ssh.LoginRefused)
	mention(t, refused, me(t), "publickey", s.Key+" (ED25519 SHA256:", "/nonexistent/key", "no such file")
}

func TestTooManyKeys(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"MaxAuthTries 2"}})
	var lines []string
	for range 6 {
		path, _ := sshtest.NewKey(t, t.TempDir(), "wrong")
		lines = append(lines, "IdentityFile "+path)
	}
	mention(t, refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), lines...)), box, ssh.LoginRefused), "MaxAuthTries", "IdentitiesOnly")
}

func TestPassword(t *testing.T) {
	t.Parallel()
	sshtest.NeedRoot(t)
	for method, lines := range map[string][]string{
		"password":             {"PubkeyAuthentication no"},
		"keyboard-interactive": {"PubkeyAuthentication no", "PasswordAuthentication no", "KbdInteractiveAuthentication yes"},
	} {
		s := sshtest.Start(t, sshtest.Config{Lines: lines})
		config := s.ClientConfig(t, "anna")
		file := s.Path("password")
		put(t, file, sshtest.Password+"\n")
		d := dialer(t, ssh.Options{Password: ssh.SecretFile(file)}, config)
		if out, _, _ := say(t, mustDial(t, d, box), "id -un", ""); out != "anna\n" {
			t.Errorf("%s: logged in as %q", method, out)
		}

		asked := 0
		ask := func(context.Context, ssh.Question) (string, error) { asked++; return sshtest.Password, nil }
		d = dialer(t, ssh.Options{Password: ssh.SecretAsked(ask, "SSH password")}, config)
		mustDial(t, d, box)
		mustDial(t, d, box)
		if asked != 1 {
			t.Errorf("%s: asked %d times", method, asked)
		}

		refused := refusal(t, dialer(t, ssh.Options{}, config), box, ssh.LoginRefused)
		mention(t, refused, method, "wants a password")
		put(t, file, "wrong\n")
		refused = refusal(t, dialer(t, ssh.Options{Password: ssh.SecretFile(file)}, config), box, ssh.LoginRefused)
		mention(t, refused, "password was wrong")
		if strings.Contains(refused.Error(), "wrong\n") {
			t.Error("the password is in the error")
		}
		failing := func(context.Context) (string, error) { return "", errors.New("the vault is closed") }
		mention(t, refusal(t, dialer(t, ssh.Options{Password: failing}, config), box, ssh.LoginRefused), "the vault is closed")
	}
}

func TestKeyboardInteractiveAsks(t *testing.T) {
	t.Parallel()
	sshtest.NeedRoot(t)
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"AuthenticationMethods keyboard-interactive", "KbdInteractiveAuthentication yes"}})
	ask := func(_ context.Context, q ssh.Question) (string, error) {
		if q.Host != "box" || !strings.Contains(q.Text, "Password") {
			t.Errorf("asked %+v", q)
		}
		return sshtest.Password, nil
	}
	mustDial(t, dialer(t, ssh.Options{Ask: ask}, s.ClientConfig(t, "anna")), box)
}

func TestKeyAndPassword(t *testing.T) {
	t.Parallel()
	sshtest.NeedRoot(t)
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"AuthenticationMethods publickey,password"}})
	password := func(context.Context) (string, error) { return sshtest.Password, nil }
	mustDial(t, dialer(t, ssh.Options{Password: password}, s.ClientConfig(t, "anna")), box)
	mention(t, refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, "anna")), box, ssh.LoginRefused), "it takes password")
}

// A banner may say anything. It is no obstacle, and shown neutralised with a
// refusal only.
func TestBanner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir+"/banner", "\x1b]0;owned\a\x1b[2JAuthorised use only\u202e\n")
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"Banner " + dir + "/banner"}})
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
	_, other := sshtest.NewKey(t, t.TempDir(), "other")
	only(t, s, other)
	refused := refusal(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box, ssh.LoginRefused)
	mention(t, refused, "Authorised use only")
	if strings.ContainsAny(refused.Error(), "\x1b\a\u202e") {
		t.Errorf("the banner reaches the terminal: %q", refused.Error())
	}
}
