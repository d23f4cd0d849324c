package push

import (
	"fmt"
	"strings"

	"weft/engine/wire"
)

// Kind is why a runner could not be started.
type Kind string

// The kinds.
const (
	NoShell        Kind = "no shell"            // the login runs no commands: nologin, ForceCommand, a menu
	NotLinux       Kind = "not Linux"           // or an architecture that there is no runner for
	NoExec         Kind = "not executable"      // a noexec mount, a policy (SELinux, fapolicyd)
	CannotRun      Kind = "cannot run"          // the kernel refuses the format
	NoSpace        Kind = "disk full"           // or the quota
	ReadOnly       Kind = "read-only"           // /var cannot be written
	NotRoot        Kind = "not root"            // and no Become
	NoSudo         Kind = "no sudo"             // not installed
	PasswordWanted Kind = "sudo password"       // and there was none
	PasswordWrong  Kind = "sudo password wrong" // or the account is locked
	NotAllowed     Kind = "not in sudoers"      // or sudoers allows other commands only
	WantsTerminal  Kind = "sudo wants a tty"    // requiretty
	Damaged        Kind = "damaged"             // what arrived is not what was sent
	NoTool         Kind = "tool missing"        // sha256sum and the like
	Unsafe         Kind = "not root's alone"    // others than root could choose what it runs
	Silent         Kind = "silent"              // nothing came in time
	Endless        Kind = "endless output"      // instead of the runner's
	Failed         Kind = "failed"              // anything else; Stderr says more
)

// sudo tells whether sudo itself said no, so that nothing else need be tried.
func (k Kind) sudo() bool {
	switch k {
	case NoSudo, PasswordWanted, PasswordWrong, NotAllowed, WantsTerminal:
		return true
	}
	return false
}

// Error is why a runner could not be started on a host that could be reached.
type Error struct {
	Kind   Kind
	Host   string // the inventory's name
	Says   string // what happened, in one line, neutralised
	Hint   string // what the operator does next
	Stderr string // all that was kept of it, neutralised; may be empty
	Err    error  // the cause, may be nil
}

func (e *Error) Error() string {
	text := e.Host + ": " + e.Says
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// saidBytes is how much of both ends of a host's words an error shows.
const saidBytes = 150

// A fault is a script that did not do what it should, as it was seen.
type fault struct {
	noise   []byte // what came on stdout instead
	stderr  string // neutralised
	status  int    // exit status, 0 where it is not known
	silent  bool   // it took too long
	endless bool   // it printed without end
	err     error
}

func (f *fault) Error() string { return fmt.Sprintf("%v: %s", f.err, f.last()) }

func (f *fault) kind() Kind {
	switch {
	case f.endless:
		return Endless
	case f.silent:
		return Silent
	}
	return classify(f.status, f.stderr)
}

// last is the line that most likely says it: the last of stderr, or else of
// what came on stdout. Of a long one it is the two ends.
func (f *fault) last() string {
	for _, text := range []string{f.stderr, wire.Neutralise(string(f.noise))} {
		if text = strings.TrimSpace(text); text != "" {
			line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
			if len(line) > 2*saidBytes {
				line = strings.ToValidUTF8(line[:saidBytes], "") + " … " + strings.ToValidUTF8(line[len(line)-saidBytes:], "")
			}
			return line
		}
	}
	return ""
}

// said is last for the end of a sentence.
func (f *fault) said() string {
	if last := f.last(); last != "" {
		return ": " + last
	}
	return ""
}

// signs are what sudo, shells and tools say in the C locale, the more telling
// first. All of a sign's words must be on one line.
var signs = []struct {
	kind  Kind
	words []string
}{
	{WantsTerminal, []string{"sudo", "must have a tty"}},
	{PasswordWrong, []string{"incorrect password attempt"}},
	{PasswordWrong, []string{"incorrect authentication attempt"}}, // sudo-rs
	{PasswordWrong, []string{"sudo", "maximum", "authentication attempts"}},
	{PasswordWrong, []string{"no password was provided"}},
	{PasswordWanted, []string{"sudo", "password is required"}},
	{PasswordWanted, []string{"sudo", "authentication is required"}},
	{PasswordWanted, []string{"sudo", "no tty present"}},
	{NotAllowed, []string{"is not in the sudoers file"}},
	{NotAllowed, []string{"is not allowed to"}},
	{NotAllowed, []string{"may not run sudo"}},
	{NotAllowed, []string{"sudo", "i'm afraid i can't do that"}}, // sudo-rs
	{NoSudo, []string{"env:", "sudo", "no such file"}},
	{NoSudo, []string{"sudo", "must be owned by uid 0"}},
	{NoSudo, []string{"sudo", "effective uid is not 0"}},
	{NoSpace, []string{"no space left on device"}},
	{NoSpace, []string{"disk quota exceeded"}},
	{ReadOnly, []string{"read-only file system"}},
	{Damaged, []string{"weft: the digest differs"}},
	{Unsafe, []string{"weft:", "does not belong to root"}},
	{Unsafe, []string{"weft:", "can be written by others than root"}},
	{NoTool, []string{"sha256sum", "not found"}},
	{CannotRun, []string{"exec format error"}},
	{CannotRun, []string{"syntax error"}}, // a shell that took the binary for a script
	{NoExec, []string{"weft-runner", "permission denied"}},
}

// classify reads what a host said about a script that failed.
func classify(status int, stderr string) Kind {
	text := strings.ToLower(stderr)
	for _, sign := range signs {
		for line := range strings.SplitSeq(text, "\n") {
			if containsAll(line, sign.words) {
				return sign.kind
			}
		}
	}
	if status == 126 {
		return NoExec
	}
	return Failed
}

func containsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

func (s *starter) explain(f *fault) *Error {
	return s.describe(s.host.client.Name(), s.host.client.User(), f)
}

// describe makes of a fault what an operator reads.
func (s *starter) describe(name, user string, f *fault) *Error {
	e := &Error{Kind: f.kind(), Host: name, Stderr: f.stderr, Err: f.err}
	switch e.Kind {
	case NoSudo:
		e.Says = fmt.Sprintf("%s is not root there, and sudo cannot be used%s", user, f.said())
		e.Hint = "install sudo on the host, or log in as root"
	case PasswordWanted:
		e.Says = fmt.Sprintf("sudo wants the password of %s", user)
		e.Hint = "give it with -K (weft then asks), or let sudoers say NOPASSWD for this user"
	case PasswordWrong:
		e.Says = fmt.Sprintf("sudo did not take the password of %s", user)
		e.Hint = "weft tried it once; check it, and that the account is not locked"
	case NotAllowed:
		e.Says = fmt.Sprintf("sudoers does not let %s become root%s", user, f.said())
		e.Hint = fmt.Sprintf("let it: `%s ALL=(root) ALL` in a file of /etc/sudoers.d, checked with visudo -c", user)
	case WantsTerminal:
		e.Says = "sudo there works on a terminal only (requiretty)"
		e.Hint = fmt.Sprintf("switch it off for this user: `Defaults:%s !requiretty` in a file of /etc/sudoers.d", user)
	case NoExec:
		e.Says = "nothing can be executed below " + Root + f.said()
		e.Hint = "is /var mounted noexec (findmnt -T " + Root + "), or does a policy (SELinux, fapolicyd) forbid it? weft needs to run its runner there"
	case CannotRun:
		e.Says = "its kernel does not run the runner" + f.said()
		e.Hint = "compare `uname -m` there with what it really is"
	case NoSpace:
		e.Says = "the runner does not fit below " + Root + f.said()
		e.Hint = "make room there (df -h /var; df -i /var): weft wants some 10 MB"
	case ReadOnly:
		e.Says = Root + " cannot be written" + f.said()
		e.Hint = "remount /var writable; after a disk error the kernel makes it read-only, see dmesg"
	case Damaged:
		e.Says = "what arrived of the runner is not what was sent"
		e.Hint = "run it again; if it stays, suspect the host's disk or memory"
	case Unsafe:
		e.Says = "root would run what others can change" + f.said()
		e.Hint = "find out who made it so (ls -ld /var/lib/weft " + Root + "; last); once it is empty or can be trusted: chown -R root:root /var/lib/weft && chmod -R go-w /var/lib/weft"
	case NoTool:
		e.Says = "a tool of coreutils is missing there" + f.said()
		e.Hint = "install coreutils on the host"
	case Endless:
		e.Says = "it prints without end instead of starting the runner" + f.said()
		e.Hint = "log in by hand and look: a login script may loop, or it is not the host you mean"
	case Silent:
		e.Says = fmt.Sprintf("it did not start the runner within %s%s", startTime, f.said())
		e.Hint = "log in by hand and look: a login script or sudo may wait for something"
	default:
		e.Says = fmt.Sprintf("the runner did not start: %v%s", f.err, f.said())
		e.Hint = "log in by hand and try `" + runnerPath(s.options.Images[0].Digest) + " serve`"
	}
	return e
}

// ended puts the last of stderr beside the way a runner ended.
func (p *remote) ended(err error) error {
	text := p.stderr.wait()
	if text == "" {
		return fmt.Errorf("the runner ended: %w", err)
	}
	last := text[strings.LastIndexByte(text, '\n')+1:]
	return fmt.Errorf("the runner ended: %w: %s", err, last)
}
