package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
)

// A Dialer opens connections for one run. It may be used from many goroutines.
type Dialer struct {
	options Options
	env     environment
	config  [][]directive // what wins first

	keys  keyRing
	pool  agents
	known *hostKeys
	jumps jumpHosts

	mu       sync.Mutex
	warnings []string
}

// NewDialer reads the configuration. Its errors are mistakes in files and name
// file and line.
func NewDialer(o Options) (*Dialer, error) {
	env, err := localEnvironment()
	if err != nil {
		return nil, err
	}
	return newDialer(o, env)
}

func newDialer(o Options, env environment) (*Dialer, error) {
	d := &Dialer{
		options: o,
		env:     env,
		keys:    keyRing{files: map[string]*keyFile{}},
		pool:    agents{sockets: map[string]*agentKeys{}},
		known:   newHostKeys(),
	}
	if o.Ask != nil {
		d.options.Ask = oneAtATime(o.Ask)
	}
	d.jumps = newJumpHosts(d)
	userBase := filepath.Join(env.home, ".ssh")
	for _, path := range o.ConfigFiles {
		if err := d.read(path, userBase); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct{ path, base string }{
		{firstOf(o.UserConfig, filepath.Join(userBase, "config")), userBase},
		{firstOf(o.SystemConfig, "/etc/ssh/ssh_config"), "/etc/ssh"},
	} {
		if f.path == "none" {
			continue
		}
		if err := d.read(f.path, f.base); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return d, nil
}

func (d *Dialer) read(path, base string) error {
	directives, err := readConfig(path, base, d.env.home, 0)
	if err != nil {
		return fmt.Errorf("read the SSH configuration: %w", err)
	}
	d.config = append(d.config, directives)
	return nil
}

// oneAtATime keeps two hosts from asking a person at once.
func oneAtATime(ask Ask) Ask {
	var mu sync.Mutex
	return func(ctx context.Context, q Question) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if err := ctx.Err(); err != nil {
			return "", err
		}
		return ask(ctx, q)
	}
}

// Warnings are what the configuration says and weft passed over, each once, for
// the targets dialled so far.
func (d *Dialer) Warnings() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.warnings)
}

func (d *Dialer) warn(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.warnings, text) {
		d.warnings = append(d.warnings, text)
	}
}

// settings looks a target up in the configuration.
func (d *Dialer) settings(t Target) (settings, error) {
	if t.Name == "" {
		t.Name = t.Address
	}
	l := &lookup{
		names:     []string{t.Name},
		address:   t.Address,
		user:      t.User,
		localUser: d.env.localUser,
		values:    map[string][]directive{},
		warn:      d.warn,
	}
	if t.Address != "" && t.Address != t.Name {
		l.names = append(l.names, t.Address)
	}
	for _, directives := range d.config {
		l.apply(directives)
	}
	return settle(l, t, d.options, d.env)
}

// Close ends the shared connections to jump hosts, and with them what goes
// through them, and those to agents.
func (d *Dialer) Close() error {
	d.jumps.close()
	d.pool.close()
	return nil
}

// Dial connects and logs in. A refusal is an [*Error]; a mistake in the
// configuration is a plain error with file and line; a cancelled ctx is its
// own error. Without a jump host the connection holds one descriptor; targets
// behind the same jump hosts share the connections to those.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Client, error) {
	s, hops, err := d.way(t)
	if err != nil {
		return nil, err
	}
	return d.dial(ctx, s, hops)
}

// DialFresh is Dial over connections that are all new, those to the jump hosts
// too: one that stands may have outlived the way it came, so only a fresh one
// shows that a host can still be reached. The client owns them and they end
// with it; each jump host costs one more descriptor and login.
func (d *Dialer) DialFresh(ctx context.Context, t Target) (*Client, error) {
	s, hops, err := d.way(t)
	if err != nil {
		return nil, err
	}
	return d.dialFresh(ctx, s, hops)
}

// way is what the configuration says of a target, and all jump hosts before it,
// the nearest first.
func (d *Dialer) way(t Target) (settings, []string, error) {
	s, err := d.settings(t)
	if err != nil {
		return s, nil, err
	}
	hops, err := d.jumps.whole(s.Jumps)
	if err != nil {
		return s, nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return s, hops, nil
}

// dial connects through shared connections to hops. One that turns out to be
// dead, as after a restart of the jump host's sshd, is made anew once.
func (d *Dialer) dial(ctx context.Context, s settings, hops []string) (*Client, error) {
	if len(hops) == 0 {
		return d.through(ctx, s, nil)
	}
	via, err := d.jumps.client(ctx, hops)
	if err != nil {
		return nil, viaFailed(s, err)
	}
	c, err := d.through(ctx, s, via)
	var failed *Error
	if errors.As(err, &failed) && failed.Kind == JumpFailed {
		select { // its end is told a moment later
		case <-via.Lost():
		case <-ctx.Done():
		}
	}
	if err == nil || !via.dead() || ctx.Err() != nil {
		return c, err
	}
	if via, err = d.jumps.client(ctx, hops); err != nil {
		return nil, viaFailed(s, err)
	}
	return d.through(ctx, s, via)
}

// dialFresh connects through connections to hops that are its own.
func (d *Dialer) dialFresh(ctx context.Context, s settings, hops []string) (*Client, error) {
	if len(hops) == 0 {
		return d.through(ctx, s, nil)
	}
	before, last, err := d.jumps.last(hops)
	if err != nil {
		return nil, err
	}
	via, err := d.dialFresh(ctx, last, before)
	if err != nil {
		return nil, viaFailed(s, err)
	}
	c, err := d.through(ctx, s, via)
	if err != nil {
		return nil, errors.Join(err, via.Close())
	}
	go func() {
		<-c.Lost()
		_ = via.Close() // nobody else uses it
	}()
	return c, nil
}

// through connects to a host over a connection to its jump host, nil for none.
func (d *Dialer) through(ctx context.Context, s settings, via *Client) (*Client, error) {
	check, err := d.known.check(s)
	if isExhausted(err) {
		return nil, exhausted(s, err)
	}
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, s, via, check, &login{ctx: ctx, s: s, o: d.options, ring: &d.keys, pool: &d.pool})
	var refused *Error
	if errors.As(err, &refused) && via != nil {
		refused.Via = via.Name()
	}
	if err != nil {
		return nil, err
	}
	go c.keepAlive(s.AliveInterval, s.AliveCount)
	return c, nil
}

// viaFailed says that a host was not tried, for its jump host failed.
func viaFailed(s settings, err error) error {
	var jump *Error
	if !errors.As(err, &jump) {
		return err
	}
	if jump.Kind == Exhausted {
		return exhausted(s, err)
	}
	e := *jump
	if jump.Kind != JumpFailed {
		e = Error{Kind: JumpFailed, Via: jump.Host, Hint: jump.Hint, Err: jump}
		e.Says = fmt.Sprintf("not tried, for its jump host %s failed: %s", jump.Host, jump.Says)
		if jump.Address != "" && jump.Address != jump.Host {
			e.Says = fmt.Sprintf("not tried, for its jump host %s (%s) failed: %s", jump.Host, jump.Address, jump.Says)
		}
	}
	e.Host, e.Address = s.Name, endpoint(s.Host, s.Port)
	return &e
}
