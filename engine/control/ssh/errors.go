package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// Kind is why a host could not be reached. All of them are exit code 4.
type Kind string

// The kinds.
const (
	// HostKeyUnknown is a host whose key nobody accepted yet.
	HostKeyUnknown Kind = "host key unknown"
	// HostKeyChanged is a host that shows another key than is on record,
	// or one that was revoked.
	HostKeyChanged Kind = "host key changed"
	// LoginRefused is a host that answered, showed the right key, and let
	// the user not in.
	LoginRefused Kind = "login refused"
	// Unreachable is a host that did not answer: no address, no route,
	// refused, silent, or something else than SSH.
	Unreachable Kind = "unreachable"
	// JumpFailed is a host that was not even tried: the jump host before it
	// failed. Via names it, and Err is its own [*Error].
	JumpFailed Kind = "jump host failed"
	// Lost is a connection that died while it was used.
	Lost Kind = "connection lost"
	// Exhausted is this machine short of file descriptors: nothing is known
	// of the host. The error wraps EMFILE or ENFILE; when other connections
	// are closed a further try goes well.
	Exhausted Kind = "out of file descriptors"
)

// Error is why a host could not be reached.
type Error struct {
	Kind    Kind
	Host    string // the inventory's name
	Address string // "address:port", empty where it is not known yet
	Via     string // the jump host, empty for none
	// Says is what happened, in one line; where it quotes the host, that is
	// neutralised.
	Says string
	// Hint is what the operator does next. It may have several lines, some
	// of them commands.
	Hint string
	Err  error // the cause, may be nil
}

// Error is one paragraph: who, what, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Host)
	if e.Address != "" && e.Address != e.Host {
		b.WriteString(" (" + e.Address + ")")
	}
	if e.Via != "" && e.Kind != JumpFailed {
		b.WriteString(" via " + e.Via)
	}
	b.WriteString(": " + e.Says)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// connectFailed classifies why no connection was had. timeout is how long was
// waited.
func connectFailed(ctx context.Context, s settings, err error) *Error {
	e := &Error{Kind: Unreachable, Host: s.Name, Address: endpoint(s.Host, s.Port), Err: err}
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case isExhausted(err):
		return exhausted(s, err)
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Says = fmt.Sprintf("the name %s has no address", s.Host)
		e.Hint = "check its spelling, or give the host an address in the inventory or a HostName in ssh_config"
	case errors.As(err, &dns):
		e.Says = fmt.Sprintf("the name %s could not be looked up: %s", s.Host, dns.Err)
		e.Hint = "is the name server reachable?"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Says = "the connection was refused"
		e.Hint = fmt.Sprintf("the machine is up, but nothing listens on port %d: is sshd running there, and on that port?", s.Port)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Says = "there is no route to it"
		e.Hint = "is the host up, and does this machine reach its network?"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil:
		e.Says = fmt.Sprintf("no answer within %s", s.ConnectTimeout)
		e.Hint = "is it up, and does a firewall drop packets on the way?"
	default:
		e.Says = "the connection failed: " + err.Error()
	}
	return e
}

// isExhausted tells whether it is us who are out of descriptors: the process
// (EMFILE) or the whole machine (ENFILE).
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func exhausted(s settings, err error) *Error {
	return &Error{
		Kind: Exhausted, Host: s.Name, Address: endpoint(s.Host, s.Port), Err: err,
		Says: "not tried, for this machine has no file descriptor left",
		Hint: "raise the limit (ulimit -n), or work on fewer hosts side by side (--forks)",
	}
}
