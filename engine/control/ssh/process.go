package ssh

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A Process is a command under way on a host. Its Stdout and Stderr must both
// be read to their ends, or it may stall; Wait may be called meanwhile.
type Process struct {
	// Stdin is the command's; Close sends it the end of file.
	Stdin  io.WriteCloser
	Stdout io.Reader
	Stderr io.Reader

	client *Client
	ch     ssh.Channel
	stop   func() bool
	exited chan struct{}
	exit   *ExitError // nil for status 0
	known  bool       // whether the host told a status
	once   sync.Once
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
	p := &Process{
		Stdin: stdin{ch}, Stdout: ch, Stderr: ch.Stderr(),
		client: c, ch: ch, exited: make(chan struct{}),
	}
	go p.watch(reqs)
	p.stop = context.AfterFunc(ctx, func() { _ = ch.Close() })
	if _, err := ch.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{command})); err != nil {
		_ = p.Close()
		return nil, c.lostError(err)
	}
	return p, nil
}

type stdin struct{ ch ssh.Channel }

func (s stdin) Write(b []byte) (int, error) { return s.ch.Write(b) }
func (s stdin) Close() error                { return s.ch.CloseWrite() }

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
// and io.ErrUnexpectedEOF where the session was closed without a status.
func (p *Process) Wait() error {
	<-p.exited
	switch {
	case p.known && p.exit == nil:
		return nil
	case p.known:
		return p.exit
	}
	return p.client.lostError(fmt.Errorf("%s: the session ended without an exit status: %w", p.client.Name(), io.ErrUnexpectedEOF))
}

// Close ends the session. sshd then closes the command's pipes; it does not
// kill it.
func (p *Process) Close() error {
	p.once.Do(func() {
		p.stop()
		_ = p.ch.Close()
	})
	return nil
}
