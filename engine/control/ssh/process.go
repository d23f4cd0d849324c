package ssh

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A Process is a command under way on a host. Its Stdout and Stderr must both
// be read to their ends, or it may stall; Wait may be called meanwhile.
type Process struct {
	// Stdin is the command's; Close sends it the end of file, after a write
	// that is under way.
	Stdin  io.WriteCloser
	Stdout io.Reader
	Stderr io.Reader

	client  *Client
	ch      ssh.Channel
	outputs []*io.PipeWriter
	stop    func() bool
	closed  chan struct{} // closed by Close
	once    sync.Once

	exited chan struct{} // closed when the host has closed the channel; then:
	exit   *ExitError    // nil for status 0
	known  bool          // whether the host told a status
}

// ExitError is a command that did not end with status 0.
type ExitError struct {
	Status int    // as the login shell tells it: 126 cannot be executed, 127 not found
	Signal string // "TERM" and the like, where a signal ended it
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return fmt.Sprintf("ended by signal %q", e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// Start runs a command line, which the user's login shell on the host reads.
// So it must be fixed text: nothing that came from a user, a host or a file
// belongs into it. When ctx is done the session is closed.
//
// Start does not wait for the host to say that it runs the command: what is
// written to Stdin travels with it, which saves a round trip (RFC 4254, 6.5,
// leaves "want reply" to the client). A host that cannot even fork its shell
// is seen as silence, so bound the wait for the first answer.
func (c *Client) Start(ctx context.Context, command string) (*Process, error) {
	ch, reqs, err := c.channel(ctx)
	if err != nil {
		return nil, err
	}
	p := &Process{Stdin: &stdin{ch: ch}, client: c, ch: ch, closed: make(chan struct{}), exited: make(chan struct{})}
	p.Stdout, p.Stderr = p.output(ch), p.output(ch.Stderr())
	go p.watch(reqs)
	p.stop = context.AfterFunc(ctx, p.close)
	if _, err := ch.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{command})); err != nil {
		_ = p.Close()
		return nil, c.lostError(err)
	}
	return p, nil
}

// output lets Close end a read. The channel itself would not: sshd keeps it
// open while the command lives.
func (p *Process) output(from io.Reader) io.Reader {
	r, w := io.Pipe()
	p.outputs = append(p.outputs, w)
	go func() {
		_, err := io.Copy(w, from)
		_ = w.CloseWithError(err) // nil is the end of file
	}()
	return r
}

// stdin keeps the end of file from overtaking a write, which the channel does
// not allow for.
type stdin struct {
	mu sync.Mutex
	ch ssh.Channel
}

func (s *stdin) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch.Write(b)
}

func (s *stdin) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch.CloseWrite()
}

// watch keeps the exit status; see RFC 4254, 6.10.
func (p *Process) watch(reqs <-chan *ssh.Request) {
	defer close(p.exited)
	for r := range reqs {
		switch r.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if ssh.Unmarshal(r.Payload, &m) == nil {
				p.known = true
				if m.Status != 0 {
					p.exit = &ExitError{Status: int(m.Status)}
				}
			}
		case "exit-signal":
			var m struct {
				Signal string
				Core   bool
				Text   string
				Lang   string
			}
			if ssh.Unmarshal(r.Payload, &m) == nil {
				p.known = true
				p.exit = &ExitError{Signal: m.Signal}
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

// Wait waits for the end of the command. It returns nil for status 0, an
// [*ExitError] for another, an [*Error] of kind Lost where the connection died,
// io.ErrUnexpectedEOF where the session was closed there without a status, and
// net.ErrClosed where it was closed here.
func (p *Process) Wait() error {
	select {
	case <-p.exited:
	case <-p.closed:
		return fmt.Errorf("%s: the session was closed here: %w", p.client.Name(), net.ErrClosed)
	}
	switch {
	case p.known && p.exit == nil:
		return nil
	case p.known:
		return p.exit
	}
	// Either only this session ended, or all of them did; a dead transport
	// says so at once.
	if _, _, err := p.client.inner.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		<-p.client.done
	}
	return p.client.lostError(fmt.Errorf("%s: the session ended without an exit status: %w", p.client.Name(), io.ErrUnexpectedEOF))
}

// Close ends the session. sshd then closes the command's pipes; it does not
// kill it.
func (p *Process) Close() error {
	p.stop()
	p.close()
	return nil
}

func (p *Process) close() {
	p.once.Do(func() {
		close(p.closed)
		for _, w := range p.outputs {
			_ = w.CloseWithError(net.ErrClosed)
		}
		_ = p.ch.Close()
	})
}
