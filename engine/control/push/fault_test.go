package push

import (
	"strings"
	"testing"
	"unicode/utf8"

	"weft/engine/wire"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		stderr string
		status int
		want   Kind
	}{
		{"/bin/sh: 1: exec: /var/lib/weft/bin/ab/weft-runner: not found", 127, Failed},
		{"/bin/sh: 1: exec: /var/lib/weft/bin/ab/weft-runner: Permission denied", 126, NoExec},
		{"", 126, NoExec},
		{"/bin/sh: /var/lib/weft/bin/ab/weft-runner: cannot execute binary file: Exec format error", 126, CannotRun},
		{"/var/lib/weft/bin/ab/weft-runner: 1: Syntax error: word unexpected (expecting \")\")", 2, CannotRun},
		{"sudo: a password is required", 1, PasswordWanted},
		{"sudo: a terminal is required to read the password; either use the -S option\nsudo: a password is required", 1, PasswordWanted},
		{"sudo: no tty present and no askpass program specified", 1, PasswordWanted},
		{"sudo-rs: interactive authentication is required", 1, PasswordWanted},
		{"We trust you have received the usual lecture\nSorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt", 1, PasswordWrong},
		{"sudo: 3 incorrect password attempts", 1, PasswordWrong},
		{"sudo-rs: Authentication failed, try again.\nsudo-rs: Maximum 3 incorrect authentication attempts", 1, PasswordWrong},
		{"anna is not in the sudoers file.  This incident will be reported.", 1, NotAllowed},
		{"Sorry, user anna is not allowed to execute '/bin/sh' as root on box.", 1, NotAllowed},
		{"Sorry, user anna may not run sudo on box.", 1, NotAllowed},
		{"sudo-rs: I'm sorry anna. I'm afraid I can't do that", 1, NotAllowed},
		{"sudo: sorry, you must have a tty to run sudo", 1, WantsTerminal},
		{"env: 'sudo': No such file or directory", 127, NoSudo},
		{"sudo: unable to resolve host box: Name or service not known\nsudo: a password is required", 1, PasswordWanted},
		{"cat: write error: No space left on device", 1, NoSpace},
		{"mkdir: cannot create directory '/var/lib/weft': Disk quota exceeded", 1, NoSpace},
		{"mkdir: cannot create directory '/var/lib/weft': Read-only file system", 1, ReadOnly},
		{"/bin/sh: 1: sha256sum: not found", 1, NoTool},
		{"weft: the digest differs", 1, Damaged},
		{"", 0, Failed},
	} {
		if got := classify(c.status, c.stderr); got != c.want {
			t.Errorf("classify(%d, %q) = %q, want %q", c.status, c.stderr, got, c.want)
		}
	}
}

// Whatever a host says, an error comes of it that is fit for a terminal.
func FuzzExplain(f *testing.F) {
	f.Add("sudo: a password is required\n", "noise", 1, false)
	f.Add("\x1b[2J\r\n", "\x00\xff", 126, false)
	f.Add("", "", 0, true)
	f.Fuzz(func(t *testing.T, stderr, stdout string, status int, silent bool) {
		kept := readLines(strings.NewReader(stderr), nil).wait()
		s := &starter{host: root{client: nil}, options: Options{Images: Images{{Digest: "d"}}}}
		fl := &fault{noise: []byte(stdout), stderr: kept, status: status, silent: silent, err: wire.ErrNoMagic}
		e := s.describe("box", "anna", fl)
		if !utf8.ValidString(e.Error()) || e.Error() != wire.Neutralise(e.Error()) || e.Kind == "" || e.Hint == "" {
			t.Errorf("%q became %q", stderr, e.Error())
		}
	})
}

func FuzzParseProbe(f *testing.F) {
	f.Add("noise\n" + markProbe + "\nLinux\nx86_64\n0\nabc\ndef  -\nghi\n" + markProbed + "\n")
	f.Add("\n" + markProbe + "\n" + markProbed + "\n")
	f.Add("\n" + markProbe + "\nLinux\n\n\n\nx y\n" + markProbed + "\n")
	f.Fuzz(func(t *testing.T, out string) {
		got, ok := parseProbe(out)
		if ok && (strings.Contains(got.system, "\n") || strings.Contains(got.machine, "\n")) {
			t.Errorf("%q was read as %+v", out, got)
		}
	})
}

func TestParseProbe(t *testing.T) {
	got, ok := parseProbe("Welcome\nno newline\n" + markProbe + "\nLinux\nx86_64\n0\naa\nbb  -\ncc\n" + markProbed + "\nbye\n")
	if !ok || got.system != "Linux" || got.machine != "x86_64" || got.uid != "0" || len(got.digests) != 1 || got.digests["aa"] != "bb" {
		t.Errorf("read %+v, %v", got, ok)
	}
	for _, out := range []string{"", "hello\n", "\n" + markProbe + "\nLinux\nx86_64\n", "\n" + markProbe + "\nLinux\n" + markProbed + "\n"} {
		if got, ok := parseProbe(out); ok {
			t.Errorf("%q was read as %+v", out, got)
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	l := readLines(strings.NewReader(strings.Repeat(strings.Repeat("x", 10_000)+"\n", 300)), nil)
	text := l.wait()
	if n := strings.Count(text, "\n") + 1; n != keptLines {
		t.Errorf("%d lines are kept", n)
	}
	if len(text) > keptLines*(keptBytes+10) {
		t.Errorf("%d bytes are kept", len(text))
	}
}
