package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"weft/engine/control/push"
	"weft/engine/control/run"
	"weft/engine/control/ssh"
	"weft/engine/language"
	"weft/engine/wire"
)

// connector reaches hosts over SSH and starts the runner on them.
type connector struct {
	dialer *ssh.Dialer
	images push.Images
	user   string
	keys   []string
	become *push.Become
	sudo   bool                    // even where the inventory says no
	log    func(host, line string) // may be nil
}

// newConnector reads the SSH configuration; a lab's comes before the user's.
func newConnector(s streams, f *flags, p *language.Program) (*connector, error) {
	for _, key := range f.privateKeys {
		if _, err := os.Stat(key); err != nil { // those of a configuration may be missing
			return nil, fmt.Errorf("--private-key: %w", err)
		}
	}
	images, err := push.Embedded()
	if err != nil {
		return nil, err
	}
	options := ssh.Options{
		ConfigFiles: f.sshConfig, ConnectTimeout: f.connectTimeout, HostKeys: ssh.HostKeyPolicy(f.hostKeys), Ask: s.asker(),
	}
	switch f.hostKeys {
	case "strict":
		options.HostKeys = ssh.Strict
	case "", string(ssh.AcceptNew):
	default:
		return nil, fmt.Errorf("--host-keys is strict or accept-new, not %q", f.hostKeys)
	}
	if lab := labConfig(p); lab != "" {
		options.ConfigFiles = append(options.ConfigFiles, lab)
	}
	if options.Password, err = password(s, f.passwordFile, f.askPassword, "SSH password"); err != nil {
		return nil, err
	}
	sudo, err := password(s, f.becomeFile, f.askBecome, "sudo password")
	if err != nil {
		return nil, err
	}
	dialer, err := ssh.NewDialer(options)
	if err != nil {
		return nil, err
	}
	c := &connector{dialer: dialer, images: images, user: f.user, keys: f.privateKeys, become: &push.Become{Password: sudo}, sudo: f.become}
	if f.verbose >= 3 {
		c.log = func(host, line string) { fmt.Fprintf(s.err, "%s: %s\n", host, line) }
	}
	return c, nil
}

// password is nil where none was asked for.
func password(s streams, file string, ask bool, text string) (ssh.Secret, error) {
	switch {
	case file != "":
		return ssh.SecretFile(file), nil
	case ask && !s.interactive():
		return nil, fmt.Errorf("%s: %w; give a file instead", text, errNobody)
	case ask:
		return ssh.SecretAsked(s.asker(), text), nil
	}
	return nil, nil
}

// asker puts questions to the person at the terminal; nil where there is none.
func (s streams) asker() ssh.Ask {
	if !s.interactive() {
		return nil
	}
	return func(ctx context.Context, q ssh.Question) (string, error) {
		text := q.Text
		if q.Host != "" {
			text = q.Host + ": " + text
		}
		if !q.Echo {
			return s.askSecret(ctx, text)
		}
		fmt.Fprintf(s.err, "%s: ", text)
		return s.line(ctx)
	}
}

// Connect implements [run.Connector].
func (c *connector) Connect(ctx context.Context, h *language.Host, first []wire.Request) (run.Conn, error) {
	return c.connect(ctx, h, first, c.dialer.Dial)
}

// ConnectAnew implements [run.Connector].
func (c *connector) ConnectAnew(ctx context.Context, h *language.Host, first []wire.Request) (run.Conn, error) {
	return c.connect(ctx, h, first, c.dialer.DialFresh)
}

func (c *connector) connect(ctx context.Context, h *language.Host, first []wire.Request,
	dial func(context.Context, ssh.Target) (*ssh.Client, error)) (run.Conn, error) {
	target := ssh.Target{Name: h.Name, Address: h.Address, Port: h.SSH.Port, User: h.SSH.User, IdentityFiles: slices.Concat(h.SSH.IdentityFiles, c.keys)}
	if c.user != "" {
		target.User = c.user
	}
	client, err := dial(ctx, target)
	if err != nil {
		return nil, unreachable(err)
	}
	options := push.Options{Images: c.images, Become: c.become, First: first}
	if h.SSH.Become != nil && !*h.SSH.Become && !c.sudo {
		options.Become = nil
	}
	if c.log != nil {
		options.Log = func(line string) { c.log(h.Name, line) }
	}
	session, err := push.Start(ctx, client, options)
	if err != nil {
		return nil, errors.Join(unreachable(err), client.Close())
	}
	return &conn{session, client}, nil
}

// unreachable takes apart what the transport said: the view shows the name of
// the host and the hint in places of their own.
func unreachable(err error) error {
	var s *ssh.Error
	var p *push.Error
	switch {
	case errors.As(err, &p):
		return &run.UnreachableError{Says: p.Says, Hint: p.Hint, Err: err}
	case errors.As(err, &s):
		return &run.UnreachableError{Address: s.Address, Says: s.Says, Hint: s.Hint, Err: err}
	}
	return err
}

// conn is a runner at work, for package run.
type conn struct {
	session *push.Session
	client  *ssh.Client
}

func (c *conn) Write(requests ...wire.Request) error { return c.session.Requests.Write(requests...) }
func (c *conn) Read() (wire.Event, error)            { return c.session.Events.Read() }

// Close ends the connection and with it the session: the other way round, a
// message that says so could wait for a host that is dead.
func (c *conn) Close() error { return errors.Join(c.client.Close(), c.session.Close()) }

// Reason is why the session ended, where that is known better than by the
// broken stream.
func (c *conn) Reason() error { return c.session.Wait() }
