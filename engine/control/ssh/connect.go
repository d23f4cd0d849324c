package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"weft/engine/wire"
)

// loginTime is how long a login may take once the host has shown its key; PAM
// may be slow and a person may be asked. sshd's own LoginGraceTime is the same.
const loginTime = 120 * time.Second

// connect makes the transport, checks the key and logs in.
func connect(ctx context.Context, s settings, via *Client, check *keyCheck, l *login) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := transport(ctx, s, via)
	if err != nil {
		return nil, err
	}
	// The handshake knows no context, so its end is the end of the
	// connection.
	guard := &handshake{conn: conn}
	guard.timer = time.AfterFunc(s.ConnectTimeout, guard.expire)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	config := &ssh.ClientConfig{
		User:              s.User,
		Auth:              l.methods(),
		AuthCallback:      l.observe,
		BannerCallback:    l.keepBanner,
		HostKeyAlgorithms: check.algorithms(),
		HostKeyCallback: func(name string, remote net.Addr, key ssh.PublicKey) error {
			err := check.verify(name, remote, key)
			if err == nil {
				guard.keyShown.Store(true)
				guard.timer.Reset(loginTime)
			}
			return err
		},
		ClientVersion: "SSH-2.0-weft",
	}
	inner, channels, requests, err := ssh.NewClientConn(conn, endpoint(s.Host, s.Port), config)
	guard.timer.Stop()
	if !stop() && err == nil {
		_ = inner.Close()
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, handshakeFailed(ctx, s, guard, l, err)
	}
	return newClient(s, ssh.NewClient(inner, channels, requests), conn), nil
}

// handshake knows how far one came, and ends one that takes too long.
type handshake struct {
	conn     net.Conn
	timer    *time.Timer
	keyShown atomic.Bool
	expired  atomic.Bool
}

func (h *handshake) expire() {
	h.expired.Store(true)
	_ = h.conn.Close()
}

// transport is a TCP connection, or a channel through the jump host.
func transport(ctx context.Context, s settings, via *Client) (net.Conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	address := endpoint(s.Host, s.Port)
	if via != nil {
		// The library does not see the end of a transport that comes while a
		// channel is asked for.
		go func() {
			select {
			case <-via.Lost():
				cancel()
			case <-dialCtx.Done():
			}
		}()
		conn, err := via.inner.DialContext(dialCtx, "tcp", address)
		if err != nil {
			return nil, throughFailed(ctx, s, via, err)
		}
		return conn, nil
	}
	// The keepalives of SSH are ours; those of TCP would only wake hosts.
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(dialCtx, s.Network, address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, connectFailed(ctx, s, err)
	}
	return prompt(conn), nil
}

// throughFailed classifies why a jump host gave no connection to a target.
func throughFailed(ctx context.Context, s settings, via *Client, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &Error{Kind: Unreachable, Host: s.Name, Address: endpoint(s.Host, s.Port), Via: via.Name(), Err: err}
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		e.Says = "the jump host forbids forwarding to it"
		e.Hint = fmt.Sprintf("AllowTcpForwarding and PermitOpen in sshd_config of %s decide that", via.Name())
	case errors.As(err, &refused):
		e.Says = "the jump host could not connect to it: " + wire.Neutralise(refused.Message)
		e.Hint = fmt.Sprintf("is it up, and does %s know its name and have a route to it?", via.Name())
	case errors.Is(err, context.DeadlineExceeded):
		e.Says = fmt.Sprintf("no answer within %s", s.ConnectTimeout)
		e.Hint = "is it up, and does a firewall drop packets behind the jump host?"
	default: // the transport itself is gone
		e.Kind = JumpFailed
		e.Says = fmt.Sprintf("not tried, for the connection to its jump host %s was lost: %s", via.Name(), wire.Neutralise(err.Error()))
		e.Hint = "run it again"
	}
	return e
}

// handshakeFailed classifies why a transport became no connection.
func handshakeFailed(ctx context.Context, s settings, h *handshake, l *login, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *Error
	if errors.As(err, &refused) {
		return refused
	}
	if failure := l.failing(); isExhausted(failure) {
		return exhausted(s, failure)
	}
	e := &Error{Kind: Unreachable, Host: s.Name, Address: endpoint(s.Host, s.Port), Err: err}
	switch {
	case h.expired.Load() && h.keyShown.Load():
		e.Kind = LoginRefused
		e.Says = fmt.Sprintf("the login did not end within %s", loginTime)
		e.Hint = "a name server or a PAM module that hangs on the host is the usual cause"
	case h.expired.Load():
		e.Says = fmt.Sprintf("it took the connection but did not answer within %s", s.ConnectTimeout)
		e.Hint = "the machine may hang or be out of memory; look at its console"
	case h.keyShown.Load() && closedByPeer(err):
		e.Kind = LoginRefused
		e.Says = fmt.Sprintf("it closed the connection while %s logged in", s.User)
		e.Hint = "its own log (journalctl -u ssh) says why"
	case h.keyShown.Load():
		return l.refused(err)
	case closedByPeer(err):
		e.Says = "it closed the connection before it showed its key"
		e.Hint = "too many logins at once (MaxStartups), a ban (fail2ban) or a port that is not sshd's are the usual causes"
	case strings.Contains(err.Error(), "no common algorithm"):
		e.Says = "it and weft have no algorithm in common: " + wire.Neutralise(err.Error())
		e.Hint = "its sshd is too old or its sshd_config too narrow"
	default:
		e.Says = fmt.Sprintf("what listens on port %d does not speak SSH: %s", s.Port, wire.Neutralise(err.Error()))
		e.Hint = "is it the right port?"
	}
	return e
}

func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "broken pipe")
}
