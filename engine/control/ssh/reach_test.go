package ssh_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

// silent listens and never answers; with full its backlog takes no connection
// either.
func listener(t testing.TB, serve func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
			go serve(conn)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// full is a port whose backlog is full, so that connections are not answered.
func full(t testing.TB) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	for range 4 {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 100*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("this kernel's backlog does not fill")
	return 0
}

func closedPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestDeadHosts(t *testing.T) {
	t.Parallel()
	d := dialer(t, ssh.Options{ConnectTimeout: 400 * time.Millisecond}, "/dev/null")
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	for _, c := range []struct {
		name   string
		target ssh.Target
		says   string
	}{
		{"refused", ssh.Target{Name: "h", Address: "127.0.0.1", Port: closedPort(t)}, "refused"},
		{"no answer", ssh.Target{Name: "h", Address: "127.0.0.1", Port: full(t)}, "no answer within 400ms"},
		{"hangs", ssh.Target{Name: "h", Address: "127.0.0.1", Port: listener(t, func(c net.Conn) { <-hold; c.Close() })}, "did not answer within 400ms"},
		{"closes", ssh.Target{Name: "h", Address: "127.0.0.1", Port: listener(t, func(c net.Conn) { c.Close() })}, "closed the connection"},
		{"web server", ssh.Target{Name: "h", Address: "127.0.0.1", Port: listener(t, func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nX: \x1b[2J\r\n\r\n"+strings.Repeat("x", 1<<16))
			c.Close()
		})}, "SSH"},
		{"no name", ssh.Target{Name: "h", Address: "no-such-host.invalid"}, "no-such-host.invalid"},
		{"no route", ssh.Target{Name: "h", Address: "::ffff:0:0"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			refused := refusal(t, d, c.target, ssh.Unreachable)
			mention(t, refused, c.says)
			if c.says == "refused" && !errors.Is(refused, syscall.ECONNREFUSED) {
				t.Errorf("what the kernel said is lost: %v", refused)
			}
			if strings.ContainsAny(refused.Error(), "\x1b\r") {
				t.Errorf("a host's bytes are in the error: %q", refused.Error())
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// behind is a config in which "box" is behind "jump", and the jump host's
// server.
func behind(t *testing.T, jump, target *sshtest.Server, lines ...string) string {
	t.Helper()
	lines = append([]string{
		"Host jump",
		"HostName " + jump.Host,
		fmt.Sprint("Port ", jump.Port),
		"User " + me(t),
		"IdentityFile " + jump.Key,
		"UserKnownHostsFile " + jump.KnownHosts,
		"Host box b?",
		"ProxyJump jump",
	}, lines...)
	lines = append(lines, "Host b?", "HostName "+target.Host, fmt.Sprint("Port ", target.Port), "User "+me(t),
		"IdentityFile "+target.Key, "UserKnownHostsFile "+target.KnownHosts, "Host *", "GlobalKnownHostsFile none", "IdentityAgent none")
	return target.ClientConfig(t, me(t), lines...)
}

func TestJumpHostIsShared(t *testing.T) {
	t.Parallel()
	jump, target := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{Lines: []string{"MaxStartups 100"}})
	d := dialer(t, ssh.Options{}, behind(t, jump, target))
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			c, err := d.Dial(t.Context(), ssh.Target{Name: fmt.Sprint("b", i)})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if out, _, err := say(t, c, "echo through", ""); out != "through\n" || err != nil {
				t.Errorf("said %q, %v", out, err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(content(t, jump.Log), "Accepted publickey"); n != 1 {
		t.Errorf("%d logins at the jump host for five targets", n)
	}
	if n := strings.Count(content(t, target.Log), "Accepted publickey"); n != 5 {
		t.Errorf("%d logins at the target", n)
	}
}

func TestTwoJumpHosts(t *testing.T) {
	t.Parallel()
	first, second, target := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	second2 := []string{
		"Host second", "HostName " + second.Host, fmt.Sprint("Port ", second.Port), "User " + me(t),
		"IdentityFile " + second.Key, "UserKnownHostsFile " + second.KnownHosts,
	}
	// Both as a chain, and as a jump host that has one of its own.
	mustDial(t, dialer(t, ssh.Options{}, behind(t, first, target, append(second2, "Host other", "ProxyJump jump,second", "Hostname "+target.Host,
		fmt.Sprint("Port ", target.Port), "User "+me(t), "IdentityFile "+target.Key, "UserKnownHostsFile "+target.KnownHosts)...)), ssh.Target{Name: "other"})
	mustDial(t, dialer(t, ssh.Options{}, behind(t, first, target, append(second2, "ProxyJump jump", "Host other", "ProxyJump second", "Hostname "+target.Host,
		fmt.Sprint("Port ", target.Port), "User "+me(t), "IdentityFile "+target.Key, "UserKnownHostsFile "+target.KnownHosts)...)), ssh.Target{Name: "other"})
	if n := strings.Count(content(t, second.Log), "Accepted publickey"); n != 2 {
		t.Errorf("%d logins at the second jump host", n)
	}
}

func TestDeadJumpHosts(t *testing.T) {
	t.Parallel()
	jump, target := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	for _, c := range []struct {
		name  string
		lines []string
		kind  ssh.Kind
		words []string
	}{
		{"refuses", []string{"Host box", "ProxyJump 127.0.0.1:" + fmt.Sprint(closedPort(t))}, ssh.JumpFailed, []string{"jump host 127.0.0.1", "refused"}},
		{"unknown name", []string{"Host box", "ProxyJump gone.invalid"}, ssh.JumpFailed, []string{"gone.invalid"}},
		{"lets nobody in", []string{"Match originalhost jump", "User stranger"}, ssh.JumpFailed, []string{"jump host jump", "stranger"}},
		{"unknown key", []string{"Host jump", "UserKnownHostsFile none"}, ssh.JumpFailed, []string{"jump host jump", "SHA256:"}},
		{"loop", []string{"Host jump", "ProxyJump jump"}, "", []string{"jump through itself"}},
		{"cannot reach the target", []string{"Host box", "Port " + fmt.Sprint(closedPort(t))}, ssh.Unreachable, []string{"via jump", "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := filepath.Join(t.TempDir(), "front")
			put(t, config, strings.Join(c.lines, "\n"))
			d := dialer(t, ssh.Options{}, config, behind(t, jump, target))
			if c.kind == "" {
				_, err := d.Dial(t.Context(), box)
				if err == nil {
					t.Fatal("a loop was dialled")
				}
				mention(t, err, c.words...)
				return
			}
			refused := refusal(t, d, box, c.kind)
			mention(t, refused, c.words...)
			if refused.Via == "" {
				t.Error("the error names no jump host")
			}
		})
	}
}

func TestJumpHostForbidsForwarding(t *testing.T) {
	t.Parallel()
	jump, target := sshtest.Start(t, sshtest.Config{Lines: []string{"AllowTcpForwarding no"}}), sshtest.Start(t, sshtest.Config{})
	mention(t, refusal(t, dialer(t, ssh.Options{}, behind(t, jump, target)), box, ssh.Unreachable), "via jump", "forbids", "AllowTcpForwarding")
}

// A jump host that comes back is used again.
func TestJumpHostIsDialledAgain(t *testing.T) {
	t.Parallel()
	sshtest.NeedRoot(t)
	jump, target := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	d := dialer(t, ssh.Options{}, behind(t, jump, target))
	c := mustDial(t, d, box)
	jump.CutConnections(t)
	<-c.Lost()
	mustDial(t, d, box)
}
