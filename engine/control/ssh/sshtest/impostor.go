package sshtest

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// An Act is what an impostor does in one session: it answers a command, or
// serves a subsystem where command is "subsystem NAME". It returns the exit
// status. The session ends with the test at the latest.
type Act func(command string, session ssh.Channel) (status uint32)

// Impostor starts a server that speaks SSH and beyond it says whatever act
// says: a broken or a hostile host. It runs in the test's own process, lets the
// server's key in, and costs little, so that a test may dial hundreds of times.
// A request that comes in a session before the command is refused.
func Impostor(t testing.TB, act Act) *Server {
	t.Helper()
	s := &Server{Host: "127.0.0.1", Dir: t.TempDir(), pid: os.Getpid()}
	var key ssh.Signer
	s.Key, key = NewKey(t, s.Dir, "id_ed25519")
	_, s.HostKey = NewKey(t, s.Dir, "host_key")
	l, err := net.Listen("tcp", s.Host+":0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	s.KnownHosts = s.Path("known_hosts")
	write(t, s.KnownHosts, fmt.Sprintf("[%s]:%d %s", s.Host, s.Port, ssh.MarshalAuthorizedKey(s.HostKey.PublicKey())), 0o600)

	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if string(offered.Marshal()) != string(key.PublicKey().Marshal()) {
			return nil, fmt.Errorf("not this key")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(s.HostKey)
	i := &impostor{act: act, config: config, conns: map[net.Conn]bool{}}
	i.work.Go(func() { i.accept(l) })
	t.Cleanup(func() {
		_ = l.Close()
		i.end()
		i.work.Wait()
	})
	return s
}

type impostor struct {
	act    Act
	config *ssh.ServerConfig
	work   sync.WaitGroup

	mu    sync.Mutex
	ended bool
	conns map[net.Conn]bool
}

func (i *impostor) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		i.mu.Lock()
		i.conns[conn] = true
		if i.ended {
			_ = conn.Close()
		}
		i.mu.Unlock()
		i.work.Go(func() {
			i.serve(conn)
			_ = conn.Close()
			i.mu.Lock()
			delete(i.conns, conn)
			i.mu.Unlock()
		})
	}
}

func (i *impostor) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	for conn := range i.conns {
		_ = conn.Close()
	}
}

func (i *impostor) serve(conn net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(conn, i.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		ch, asked, err := c.Accept()
		if err != nil {
			return
		}
		i.work.Go(func() { i.session(ch, asked) })
	}
}

// session runs the act for the first command or subsystem.
func (i *impostor) session(ch ssh.Channel, asked <-chan *ssh.Request) {
	defer func() { _ = ch.Close() }()
	for r := range asked {
		var m struct{ Text string }
		known := (r.Type == "exec" || r.Type == "subsystem") && ssh.Unmarshal(r.Payload, &m) == nil
		if r.WantReply {
			_ = r.Reply(known, nil)
		}
		if !known {
			continue
		}
		go ssh.DiscardRequests(asked)
		status := i.act(strings.TrimPrefix(r.Type+" ", "exec ")+m.Text, ch)
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}
