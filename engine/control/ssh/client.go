package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"weft/engine/wire"
)

// ErrNoSFTP says that a host has no SFTP subsystem.
var ErrNoSFTP = errors.New("the host offers no SFTP")

// A Client is a connection to a host, logged in.
type Client struct {
	s     settings
	inner *ssh.Client
	conn  net.Conn

	// opening lets one channel open at a time: sshd refuses opens long
	// before MaxSessions of them are in use, for it frees slots late.
	opening sync.Mutex

	done chan struct{} // closed when the transport is gone
	mu   sync.Mutex
	lost error // why, where it was not Close
}

func newClient(s settings, inner *ssh.Client, conn net.Conn) *Client {
	c := &Client{s: s, inner: inner, conn: conn, done: make(chan struct{})}
	go func() {
		_ = inner.Wait()
		close(c.done)
	}()
	return c
}

// Name is the inventory's name of the host.
func (c *Client) Name() string { return c.s.Name }

// User is who logged in.
func (c *Client) User() string { return c.s.User }

// Address is "address:port" as it was dialled.
func (c *Client) Address() string { return endpoint(c.s.Host, c.s.Port) }

// Close ends the connection and all that runs over it.
func (c *Client) Close() error {
	c.end(net.ErrClosed)
	return nil
}

// end closes the transport and keeps the first reason.
func (c *Client) end(reason error) {
	c.mu.Lock()
	if c.lost == nil {
		c.lost = reason
	}
	c.mu.Unlock()
	_ = c.inner.Close()
	// A transport through a jump host ends with its channel; closing the
	// connection too frees a writer that is stuck in it.
	_ = c.conn.Close()
}

func (c *Client) dead() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Lost is closed when the connection is gone.
func (c *Client) Lost() <-chan struct{} { return c.done }

// lostError is an [*Error] of kind Lost where the transport is gone, or else
// err.
func (c *Client) lostError(err error) error {
	if !c.dead() {
		return err
	}
	c.mu.Lock()
	reason := c.lost
	c.mu.Unlock()
	if errors.Is(reason, net.ErrClosed) {
		return fmt.Errorf("%s: the connection was closed here: %w", c.Name(), net.ErrClosed)
	}
	e := &Error{
		Kind: Lost, Host: c.Name(), Address: c.Address(), Err: err,
		Says: "the connection was lost",
		Hint: "what was under way there is in the host's journal; run weft again once it answers",
	}
	if reason != nil {
		e.Says += ": " + reason.Error()
	}
	return e
}

// keepAlive asks the host for a sign of life every interval. When one is not
// answered for count more of them, the connection is dead. A write into a dead
// connection may block, so the asking has a goroutine of its own.
func (c *Client) keepAlive(interval time.Duration, count int) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			// Any answer will do; OpenSSH sends a refusal.
			_, _, _ = c.inner.SendRequest("keepalive@openssh.com", true, nil)
		}()
		patience := interval * time.Duration(max(count, 1))
		timer := time.NewTimer(patience)
		select {
		case <-answered:
			timer.Stop()
		case <-timer.C:
			c.end(fmt.Errorf("it did not answer a keepalive for %s", patience))
			return
		}
	}
}

// channel opens a session channel.
func (c *Client) channel(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	result := make(chan opened)
	go func() {
		c.opening.Lock()
		defer c.opening.Unlock()
		var o opened
		if o.err = ctx.Err(); o.err == nil {
			o.ch, o.reqs, o.err = c.inner.OpenChannel("session", nil)
		}
		select {
		case result <- o:
		case <-ctx.Done():
			if o.err == nil {
				go ssh.DiscardRequests(o.reqs)
				_ = o.ch.Close()
			}
		}
	}()
	select {
	case o := <-result:
		var refused *ssh.OpenChannelError
		if errors.As(o.err, &refused) {
			return nil, nil, fmt.Errorf("%s: a session was refused: %s; MaxSessions in its sshd_config decides that: %w",
				c.Name(), wire.Neutralise(refused.Message), o.err)
		}
		if o.err != nil && ctx.Err() == nil {
			return nil, nil, c.lostError(o.err)
		}
		return o.ch, o.reqs, o.err
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// SFTP opens the SFTP subsystem; [ErrNoSFTP] where there is none. Writes go
// out concurrently, so write to a name that is checked and renamed. When ctx
// is done the client is closed.
func (c *Client) SFTP(ctx context.Context) (*sftp.Client, error) {
	ch, reqs, err := c.channel(ctx)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(reqs)
	stop := context.AfterFunc(ctx, func() { _ = ch.Close() })
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err == nil && !ok {
		err = ErrNoSFTP
	}
	if err != nil {
		stop()
		_ = ch.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.lostError(fmt.Errorf("%s: open SFTP: %w", c.Name(), err))
	}
	go func() { _, _ = io.Copy(io.Discard, ch.Stderr()) }()
	client, err := sftp.NewClientPipe(ch, ch, sftp.UseConcurrentWrites(true))
	if err != nil {
		stop()
		_ = ch.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// A subsystem that was accepted and says no SFTP is switched off too:
		// its program is missing, or a login script speaks first.
		return nil, c.lostError(fmt.Errorf("%s: %w: %w", c.Name(), ErrNoSFTP, err))
	}
	return client, nil
}
