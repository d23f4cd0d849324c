package ssh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"strings"
	"testing"
	"time"

	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

// me is who a server lets in whoever runs the test.
func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func dialer(t testing.TB, o ssh.Options, configs ...string) *ssh.Dialer {
	t.Helper()
	o.UserConfig, o.SystemConfig, o.ConfigFiles = "none", "none", configs
	d, err := ssh.NewDialer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// say runs a command and returns what it printed.
func say(t testing.TB, c *ssh.Client, command, input string) (out, stderr string, err error) {
	t.Helper()
	p, err := c.Start(within(t, 20*time.Second), command)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := io.WriteString(p.Stdin, input); err != nil {
		t.Fatal(err)
	}
	p.Stdin.Close()
	errs := make(chan string)
	go func() {
		b, _ := io.ReadAll(p.Stderr)
		errs <- string(b)
	}()
	b, _ := io.ReadAll(p.Stdout)
	return string(b), <-errs, p.Wait()
}

// mustDial dials "box" and shows that a command runs there.
func mustDial(t testing.TB, d *ssh.Dialer, target ssh.Target) *ssh.Client {
	t.Helper()
	c, err := d.Dial(within(t, 20*time.Second), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if out, _, err := say(t, c, "cat; echo done", "through\n"); out != "through\ndone\n" || err != nil {
		t.Fatalf("a command said %q, %v", out, err)
	}
	return c
}

// refusal dials and returns the refusal, which must be of a kind.
func refusal(t testing.TB, d *ssh.Dialer, target ssh.Target, kind ssh.Kind) *ssh.Error {
	t.Helper()
	c, err := d.Dial(within(t, 20*time.Second), target)
	if err == nil {
		c.Close()
		t.Fatalf("it was let in, want: %s", kind)
	}
	var refused *ssh.Error
	if !errors.As(err, &refused) || refused.Kind != kind {
		t.Fatalf("refused with %v, want kind %q", err, kind)
	}
	if refused.Host != target.Name || refused.Hint == "" {
		t.Errorf("the error lacks the host or a next step: %+v", refused)
	}
	return refused
}

func mention(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not mention %q:\n%v", w, err)
		}
	}
}

var box = ssh.Target{Name: "box"}

func TestRunsCommands(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	c := mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
	if c.Name() != "box" || c.User() != me(t) {
		t.Errorf("the client is %s@%s", c.User(), c.Name())
	}
	_, stderr, err := say(t, c, "echo oops >&2; exit 3", "")
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.Status != 3 || stderr != "oops\n" {
		t.Errorf("exit 3 gave %v and stderr %q", err, stderr)
	}
	_, _, err = say(t, c, "kill -TERM $$", "")
	if !errors.As(err, &exit) || exit.Signal != "TERM" {
		t.Errorf("a signal gave %v", err)
	}
}

func TestManySessionsInARow(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"MaxSessions 4"}})
	c := mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
	for range 20 {
		if out, _, err := say(t, c, "echo x", ""); out != "x\n" || err != nil {
			t.Fatalf("said %q, %v", out, err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	c := mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := c.Start(ctx, "echo there; exec sleep 100")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Stdout, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(p.Stdout); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading on gave %v", err)
	}
	if err := p.Wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a command that was cut off ended with %v", err)
	}
	if _, err := c.Start(ctx, "true"); !errors.Is(err, context.Canceled) {
		t.Errorf("Start with a cancelled context: %v", err)
	}
	if _, err := dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))).Dial(ctx, box); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial with a cancelled context: %v", err)
	}
}

func TestSFTP(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	c := mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
	f, err := c.SFTP(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := f.Create(s.Path("sent"))
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("0123456789abcdef", 1<<16)
	if _, err := w.ReadFrom(strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got, err := os.ReadFile(s.Path("sent")); err != nil || string(got) != body {
		t.Errorf("%d bytes of %d arrived, %v", len(got), len(body), err)
	}
}

func TestNoSFTP(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{Lines: []string{"Subsystem sftp /nonexistent/sftp-server"}})
	c := mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t))), box)
	if _, err := c.SFTP(within(t, 10*time.Second)); !errors.Is(err, ssh.ErrNoSFTP) {
		t.Errorf("SFTP that is off gave %v", err)
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{Listen: "::1"})
	config := s.ClientConfig(t, me(t))
	mustDial(t, dialer(t, ssh.Options{}, config), box)
	mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, me(t), "AddressFamily inet6", "HostName wrong.invalid")), ssh.Target{Name: "box", Address: "::1"})
}

// A dead transport must be found within fifteen seconds; here with the times
// of the configuration, a second.
func TestKeepaliveFindsADeadHost(t *testing.T) {
	t.Parallel()
	sshtest.NeedRoot(t)
	s := sshtest.Start(t, sshtest.Config{})
	c := mustDial(t, dialer(t, ssh.Options{}, s.ClientConfig(t, "root", "ServerAliveInterval 1", "ServerAliveCountMax 1")), box)
	p, err := c.Start(context.Background(), "echo there; exec sleep 100")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Stdout, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	s.Freeze(t)
	began := time.Now()
	_, _ = io.ReadAll(p.Stdout)
	var lost *ssh.Error
	if err := p.Wait(); !errors.As(err, &lost) || lost.Kind != ssh.Lost {
		t.Errorf("a dead host gave %v", err)
	} else {
		mention(t, lost, "keepalive", "journal")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it was found after %v", took)
	}
}
