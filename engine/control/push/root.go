package push

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"weft/engine/control/ssh"
	"weft/engine/wire"
)

// startTime is how long a host may take to start a script or the runner: a
// heavy .bashrc takes half a second, an LDAP server that sudo asks may take ten.
const startTime = 60 * time.Second

// feedTime is how long a runner may take to get to a host.
const feedTime = 10 * time.Minute

// root runs scripts as root on a host.
type root struct {
	client *ssh.Client
	become *Become
}

func (r root) sudo() string {
	switch {
	case r.become == nil:
		return ""
	case r.become.Password == nil:
		return sudoPlain
	}
	return sudoPassword
}

func (r root) password() bool { return r.become != nil && r.become.Password != nil }

// A remote is a script under way. What it prints before our own marker is
// still in front of stdout.
type remote struct {
	*ssh.Process
	stdout *bufio.Reader
	stderr *lines

	ctx     context.Context // of whoever started it
	silent  atomic.Bool     // it took too long
	endless bool            // it printed without end
	limit   func(time.Duration)
	free    func() // lets go of ctx and the time limit
}

// start runs a script as root. With a password it returns when sudo has taken
// it: not before can anything else be written, for sudo would take it for a
// second try.
func (r root) start(ctx context.Context, script string, log func(string)) (*remote, error) {
	if !r.password() {
		return r.open(ctx, r.sudo()+shell(script), log)
	}
	password, err := r.become.Password(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: get the sudo password: %w", r.client.Name(), err)
	}
	p, err := r.open(ctx, r.sudo()+shell("echo; echo "+markRoot+"; "+script), log)
	if err != nil {
		return nil, err
	}
	// sudo asks again after a wrong password, in words that vary. The end of
	// its input ends that; the words that do not vary come then.
	p.stderr.onLine(func(line string) {
		if strings.Contains(strings.ToLower(line), "try again") {
			_ = p.Stdin.Close()
		}
	})
	_, _ = io.WriteString(p.Stdin, password+"\n") // a failure shows as the end of stdout
	if noise, err := awaitLine(p.stdout, markRoot); err != nil {
		return nil, p.failed(noise)
	}
	p.stderr.onLine(nil)
	return p, nil
}

// open starts a command. It ends with ctx, or when it takes too long, until
// free is called.
func (r root) open(ctx context.Context, command string, log func(string)) (*remote, error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &remote{ctx: ctx}
	unbind := context.AfterFunc(ctx, cancel)
	timer := time.AfterFunc(startTime, func() {
		p.silent.Store(true)
		cancel()
	})
	p.limit = func(d time.Duration) { timer.Reset(d) }
	p.free = func() {
		unbind()
		timer.Stop()
	}
	process, err := r.client.Start(inner, command)
	if err != nil {
		p.free()
		cancel()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	p.Process, p.stdout, p.stderr = process, bufio.NewReaderSize(process.Stdout, 32<<10), readLines(process.Stderr, log)
	return p, nil
}

// run runs a script as root to its end and returns its output, at most 64 KiB.
// Feed writes its standard input, which is closed afterwards; nil for none.
func (r root) run(ctx context.Context, script string, feed func(io.Writer) error) (string, error) {
	p, err := r.start(ctx, script, nil)
	if err != nil {
		return "", err
	}
	return p.finish(feed)
}

// finish feeds a script and waits for its end. Its error is a [*fault] where
// it did not end well.
func (p *remote) finish(feed func(io.Writer) error) (string, error) {
	defer p.end()
	if feed != nil {
		p.limit(feedTime)
		_ = feed(p.Stdin) // what it met, the script tells
	}
	_ = p.Stdin.Close()
	out, _ := io.ReadAll(io.LimitReader(p.stdout, 64<<10))
	p.drain()
	if err := p.Wait(); err != nil {
		return string(out), p.faultOf(out, err)
	}
	return string(out), nil
}

func (p *remote) end() {
	p.free()
	_ = p.Close()
}

// failed waits for the end of a process that did not say what it should have.
func (p *remote) failed(noise []byte) error {
	defer p.end()
	_ = p.Stdin.Close()
	p.drain()
	return p.faultOf(noise, p.Wait())
}

// drain reads what nobody wants to its end, or ends the process where that does
// not come.
func (p *remote) drain() {
	if n, _ := io.CopyN(io.Discard, p.stdout, wire.MaxNoise); n == wire.MaxNoise {
		p.endless = true
		_ = p.Close()
	}
}

func (p *remote) faultOf(noise []byte, err error) error {
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	var lost *ssh.Error
	if errors.As(err, &lost) {
		return lost
	}
	f := &fault{noise: noise, stderr: p.stderr.wait(), silent: p.silent.Load(), endless: p.endless, err: err}
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		f.status = exit.Status
	}
	return f
}

// awaitLine reads up to a line that is a marker. It returns what came instead,
// at most 4096 bytes.
func awaitLine(r *bufio.Reader, marker string) (noise []byte, err error) {
	for n := 0; n < wire.MaxNoise; {
		line, err := r.ReadSlice('\n')
		if strings.TrimRight(string(line), "\r\n") == marker {
			return nil, nil
		}
		n += len(line)
		if room := 4096 - len(noise); room > 0 {
			noise = append(noise, line[:min(len(line), room)]...)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return noise, err
		}
	}
	return noise, wire.ErrNoMagic
}
