package push_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"weft/engine/control/push"
	"weft/engine/control/ssh/sshtest"
)

// uname is a program that says what it is told to.
func uname(system, machine string) map[string]string {
	return map[string]string{"/usr/bin/uname": "#!/bin/sh\ncase $1 in -s) echo '" + system + "';; *) echo '" + machine + "';; esac\n"}
}

func TestRefusals(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	body := runner(t)
	foreign := append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 100<<10)...)
	noSFTP := "Subsystem sftp /nonexistent"
	for _, c := range []struct {
		name   string
		config sshtest.Config
		user   string
		become *push.Become
		body   []byte
		kind   push.Kind
		words  []string
	}{
		{"noexec", sshtest.Config{Var: "noexec"}, "root", nil, body, push.NoExec, []string{"findmnt", "noexec", "Permission denied"}},
		{"noexec by sudo", sshtest.Config{Var: "noexec", Sudoers: withPassword}, "anna", password(sshtest.Password), body, push.NoExec, []string{"noexec"}},
		{"disk full", sshtest.Config{Var: "size=64k"}, "root", nil, body, push.NoSpace, []string{"No space left on device", "df -h"}},
		{"disk full without SFTP", sshtest.Config{Var: "size=64k", Lines: []string{noSFTP}}, "root", nil, body, push.NoSpace, []string{"No space left"}},
		{"disk full by sudo", sshtest.Config{Var: "size=64k", Sudoers: noPassword}, "anna", &push.Become{}, body, push.NoSpace, []string{"No space left"}},
		{"no inodes", sshtest.Config{Var: "nr_inodes=2"}, "root", nil, body, push.NoSpace, []string{"No space left", "df -i"}},
		{"read-only", sshtest.Config{Var: "ro"}, "root", nil, body, push.ReadOnly, []string{"Read-only file system", "remount"}},
		{"no sudo", sshtest.Config{Hide: []string{"/usr/bin/sudo"}}, "anna", &push.Become{}, body, push.NoSudo, []string{"anna", "install sudo"}},
		{"no sudo but a password", sshtest.Config{Hide: []string{"/usr/bin/sudo"}}, "anna", password("x"), body, push.NoSudo, []string{"install sudo"}},
		{"password wanted", sshtest.Config{Sudoers: withPassword}, "anna", &push.Become{}, body, push.PasswordWanted, []string{"-K", "anna"}},
		{"password wrong", sshtest.Config{Sudoers: withPassword}, "anna", password("wrong"), body, push.PasswordWrong, []string{"anna"}},
		{"not in sudoers", sshtest.Config{Sudoers: "root ALL=(ALL) ALL\n"}, "anna", password(sshtest.Password), body, push.NotAllowed, []string{"anna", "visudo"}},
		{"sudoers allows something else", sshtest.Config{Sudoers: "anna ALL=(root) NOPASSWD: /bin/true\n"}, "anna", password(sshtest.Password), body, push.NotAllowed, []string{"not allowed"}},
		{"requiretty", sshtest.Config{Sudoers: "Defaults requiretty\n" + noPassword}, "anna", &push.Become{}, body, push.WantsTerminal, []string{"!requiretty"}},
		{"not root", sshtest.Config{}, "anna", nil, body, push.NotRoot, []string{"anna is not root", "-b"}},
		{"nologin", sshtest.Config{Shell: "/usr/sbin/nologin"}, "root", nil, body, push.NoShell, []string{"not available", "nologin"}},
		{"forced command", sshtest.Config{Lines: []string{"ForceCommand echo 'menu \x1b[2J'"}}, "root", nil, body, push.NoShell, []string{`menu \x1b[2J`, "ForceCommand"}},
		{"login script exits", sshtest.Config{Bashrc: "echo go away; exit 1\n"}, "root", nil, body, push.NoShell, []string{"go away"}},
		{"another system", sshtest.Config{Replace: uname("FreeBSD", "amd64")}, "root", nil, body, push.NotLinux, []string{"FreeBSD"}},
		{"another architecture", sshtest.Config{Replace: uname("Linux", "riscv64\x1b[2J")}, "root", nil, body, push.NotLinux, []string{`riscv64\x1b[2J`, "x86_64"}},
		{"the architecture is a lie", sshtest.Config{}, "root", nil, foreign, push.CannotRun, []string{"kernel"}},
		{"no sha256sum", sshtest.Config{Hide: []string{"/usr/bin/sha256sum"}}, "root", nil, body, push.NoTool, []string{"sha256sum", "coreutils"}},
		{"damaged on the way", sshtest.Config{Replace: map[string]string{"/usr/bin/cat": "#!/bin/sh\nhead -c 1000\n"}, Lines: []string{noSFTP}}, "root", nil, body, push.Damaged, []string{"not what was sent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, c.config)
			_, _, err := start(t, connect(t, s, c.user), push.Options{Images: images(t, c.body), Become: c.become})
			var refused *push.Error
			if !errors.As(err, &refused) || refused.Kind != c.kind {
				t.Fatalf("refused with %v, want kind %q", err, c.kind)
			}
			if refused.Host != "box" || refused.Hint == "" {
				t.Errorf("the host or a next step is missing: %+v", refused)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not mention %q:\n%v", w, err)
				}
			}
			if strings.ContainsAny(err.Error(), "\x1b\r") {
				t.Errorf("a host's bytes are in the error: %q", err)
			}
			if strings.Contains(err.Error()+refused.Stderr, sshtest.Password) {
				t.Error("the password is in the error")
			}
			if _, err := os.Stat(s.InHost(push.Root)); err == nil {
				if left := files(t, s); len(left) > 0 {
					t.Errorf("the host is left with %v", left)
				}
			}
			if left, _ := filepath.Glob(s.Path("home/*/.cache/weft/bin/.push*")); len(left) > 0 {
				t.Errorf("staged files are left: %v", left)
			}
		})
	}
}

// Whoever can write a user's cache must not choose what root runs. Here the
// user's own cat hands over other bytes, and the staged file is a link.
func TestCacheCannotBeSwapped(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{
		Sudoers: noPassword,
		Lines:   []string{"SetEnv PATH=/tmp/weft-no-such-dir:/usr/bin:/bin"},
		Bashrc:  "cd ~/.cache/weft/bin 2>/dev/null && for f in .push.*; do ln -sf /etc/shadow $f; done 2>/dev/null; cd\n",
	})
	session, _, err := start(t, connect(t, s, "anna"), push.Options{Images: images(t, runner(t)), Become: &push.Become{}})
	if err != nil {
		t.Fatalf("the way without SFTP does not help: %v", err)
	}
	talk(t, session)
	got, err := os.ReadFile(s.InHost(push.Root + "/" + digest(runner(t)) + "/weft-runner"))
	if err != nil || digest(got) != digest(runner(t)) {
		t.Errorf("root's runner has the digest %s, %v", digest(got), err)
	}
}

// A connection that dies in the middle of a push leaves nothing behind that
// could be taken for a runner, and what it leaves goes with the next one.
func TestPushThatIsCut(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	body := runner(t)
	s := sshtest.Start(t, sshtest.Config{})
	client := connect(t, s, "root")
	_, _, err := start(t, client, push.Options{Images: images(t, body), Log: func(string) { client.Close() }})
	if err == nil {
		t.Fatal("a session over a closed connection")
	}
	old := s.InHost(push.Root + "/" + digest(body) + "/.push.0123")
	if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, body[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	if n := works(t, connect(t, s, "root"), push.Options{Images: images(t, body)}); n != 1 {
		t.Errorf("%d pushes", n)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	if _, err := push.ReadImages(fstest.MapFS{"README.md": &fstest.MapFile{}}); !errors.Is(err, push.ErrNotBuilt) {
		t.Errorf("no images gave %v", err)
	}
	if _, err := push.Start(t.Context(), nil, push.Options{First: hello}); !errors.Is(err, push.ErrNotBuilt) {
		t.Errorf("a start without images gave %v", err)
	}
	good := images(t, []byte("body"))
	for _, i := range good {
		if b, err := i.Bytes(); err != nil || digest(b) != i.Digest {
			t.Errorf("%s: %v", i.Arch, err)
		}
	}
	good[0].Digest = strings.Repeat("0", 64)
	if _, err := good[0].Bytes(); err == nil {
		t.Error("an image with a wrong digest was given out")
	}
	for _, text := range []string{"", "zz", strings.Repeat("A", 64), strings.Repeat("a", 62) + "'x"} {
		dir := fstest.MapFS{
			"weft-runner-linux-amd64.gz":     &fstest.MapFile{Data: []byte("x")},
			"weft-runner-linux-amd64.sha256": &fstest.MapFile{Data: []byte(text)},
		}
		if _, err := push.ReadImages(dir); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the digest %q was taken", text)
		}
	}
}

// A wrong password is tried once: some more and the account is locked.
func TestWrongPasswordIsTriedOnce(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{Sudoers: withPassword})
	asked := 0
	become := &push.Become{Password: func(context.Context) (string, error) { asked++; return "wrong", nil }}
	if _, _, err := start(t, connect(t, s, "anna"), push.Options{Images: images(t, []byte("any")), Become: become}); err == nil {
		t.Fatal("a wrong password was taken")
	}
	if asked != 1 {
		t.Errorf("the password was used %d times", asked)
	}
}
