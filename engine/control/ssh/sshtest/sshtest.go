// Package sshtest starts a real OpenSSH sshd for a test, on this machine and
// nowhere else: an unprivileged port of the loopback interface, keys and
// configuration in the test's directory.
//
//	server := sshtest.Start(t, sshtest.Config{})
//	dialer, err := ssh.NewDialer(ssh.Options{ConfigFiles: []string{server.ClientConfig(t, "root")}, …})
//	client, err := dialer.Dial(ctx, ssh.Target{Name: "box"})
//
// As root every sshd lives in mount and process namespaces of its own, with
// its own /etc/passwd, /etc/shadow, sudoers, /var/lib and /run, so a test may
// have users, passwords and full disks without a trace on the machine. As
// another user the sshd is a plain child that lets only that user in; tests
// that want more call [NeedRoot].
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Password is that of every user of a server, as root's mode has them.
const Password = "right horse"

// passwordHash is Password for shadow(5).
const passwordHash = "$6$weftweft$f58JagRD5nAHMc0YBtgzmCiH68sGlEoKJxH/1z54ftBu4S3M0dT5/dEa7W6ZBmaLsF5Ue59zdxjw4tR6Kphyi."

// Config is what is special about a server.
type Config struct {
	// Lines are put in front of sshd_config; the first value wins there.
	Lines []string
	// Listen is the address, 127.0.0.1 by default.
	Listen string
	// Shell is the login shell of all users, /bin/bash by default.
	Shell string
	// Bashrc is run by bash at every command, for all users.
	Bashrc string
	// Sudoers is the whole of /etc/sudoers.
	Sudoers string
	// Var has mount options for the tmpfs at /var/lib: "size=64k", "noexec", "ro".
	Var string
	// Hide are programs that are not there.
	Hide []string
	// Replace puts the text of a script in a program's place.
	Replace map[string]string
}

// A Server is an sshd.
type Server struct {
	Host    string
	Port    int
	HostKey ssh.Signer
	// Key is the path of a private key that every user's authorized_keys has.
	Key string
	// KnownHosts is the path of a file that has the host key.
	KnownHosts string
	// Dir is the test's directory: home/USER is a home.
	Dir string
	// Log is the path of sshd's own log.
	Log string

	pid int // of sshd as this machine sees it
}

// Users are those that a server knows; anna is not root.
var users = []string{"root", "anna"}

// NeedRoot skips a test that cannot be run as another user.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: own mount namespaces, users and passwords")
	}
}

// Start starts an sshd and stops it with the test.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a real sshd; left out with -short")
	}
	sshd := program(t, "sshd")
	s := &Server{Host: c.Listen, Dir: t.TempDir()}
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	s.Port = freePort(t, s.Host)
	s.Key, _ = NewKey(t, s.Dir, "id_ed25519")
	_, s.HostKey = NewKey(t, s.Dir, "host_key")
	s.KnownHosts = s.Path("known_hosts")
	line := fmt.Sprintf("[%s]:%d %s", s.Host, s.Port, ssh.MarshalAuthorizedKey(s.HostKey.PublicKey()))
	write(t, s.KnownHosts, line, 0o600)
	public, err := os.ReadFile(s.Key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Path("authorized_keys"), string(public), 0o644)
	s.writeConfig(t, c)
	s.run(t, sshd, c)
	return s
}

// Path is a path in the test's directory.
func (s *Server) Path(name string) string { return filepath.Join(s.Dir, name) }

// InHost is a path of the server's own file system as this machine sees it.
func (s *Server) InHost(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", s.pid, path)
}

func (s *Server) writeConfig(t testing.TB, c Config) {
	t.Helper()
	lines := append([]string{}, c.Lines...)
	lines = append(lines,
		"ListenAddress "+net.JoinHostPort(s.Host, strconv.Itoa(s.Port)),
		"HostKey "+s.Path("host_key"),
		"PidFile none",
		"AuthorizedKeysFile "+s.Path("authorized_keys"),
		"StrictModes no",
		"PrintMotd no",
		"PermitRootLogin yes",
		"KbdInteractiveAuthentication no",
	)
	if !strings.Contains(strings.Join(c.Lines, "\n"), "Subsystem sftp") {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	if os.Getuid() == 0 {
		lines = append(lines, "UsePAM yes")
	}
	write(t, s.Path("sshd_config"), strings.Join(lines, "\n")+"\n", 0o600)
}

// run starts sshd and waits until it listens.
func (s *Server) run(t testing.TB, sshd string, c Config) {
	t.Helper()
	s.Log = s.Path("sshd.log")
	log, err := os.Create(s.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var cmd *exec.Cmd
	if os.Getuid() == 0 {
		s.writeAccounts(t, c)
		write(t, s.Path("boot"), s.bootScript(sshd, c), 0o700)
		cmd = exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "/bin/sh", "-eu", s.Path("boot"))
	} else {
		cmd = exec.Command(sshd, "-D", "-e", "-f", s.Path("sshd_config"))
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithTest()
	if err := cmd.Start(); err != nil {
		t.Skipf("sshd cannot be started: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s.pid = cmd.Process.Pid
	Until(t, "sshd listens; its log is "+s.Log, func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
		if err == nil {
			conn.Close()
		} else if b, _ := os.ReadFile(s.Log); strings.Contains(string(b), "Operation not permitted") {
			t.Skipf("namespaces are not allowed here: %s", b)
		}
		return err == nil
	})
	if os.Getuid() == 0 {
		s.pid = onlyChild(t, cmd.Process.Pid)
	}
}

// ClientConfig writes an ssh_config that knows the server as "box" and logs in
// as the user with the right key, and returns its path. Lines are put in
// front; the first value wins.
func (s *Server) ClientConfig(t testing.TB, user string, lines ...string) string {
	t.Helper()
	lines = append(append([]string{}, lines...),
		"Host box",
		"HostName "+s.Host,
		"Port "+strconv.Itoa(s.Port),
		"User "+user,
		"IdentityFile "+s.Key,
		"IdentityAgent none",
		"UserKnownHostsFile "+s.KnownHosts,
		"GlobalKnownHostsFile none",
	)
	path := filepath.Join(t.TempDir(), "ssh_config")
	write(t, path, strings.Join(lines, "\n")+"\n", 0o600)
	return path
}

// Freeze stops the server as a power cut does: its connections stay silent.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	for _, pid := range append(descendants(s.pid), s.pid) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
}

// Until waits for a condition, at most ten seconds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited ten seconds in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// NewKey writes an ed25519 key and its public half.
func NewKey(t testing.TB, dir, name string) (path string, signer ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return WriteKey(t, dir, name, private)
}

// WriteKey writes a private key of any type and its public half.
func WriteKey(t testing.TB, dir, name string, private any) (path string, signer ssh.Signer) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, name)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, name)
	write(t, path, string(pem.EncodeToMemory(block)), 0o600)
	write(t, path+".pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o644)
	return path, signer
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Skipf("needs %s (Debian: openssh-server)", name)
	}
	return path
}

// freePort asks the kernel for a port that nobody has.
func freePort(t testing.TB, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("cannot listen on %s: %v", host, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// CutConnections ends every connection of the server; it goes on listening.
func (s *Server) CutConnections(t testing.TB) {
	t.Helper()
	for _, pid := range descendants(s.pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
}

// Connections is how many connections the server has now.
func (s *Server) Connections() int { return len(childrenOf(s.pid)) }
