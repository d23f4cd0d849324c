package push_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/engine/control/push"
	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
	"weft/engine/wire"
)

const (
	noPassword   = "anna ALL=(root) NOPASSWD: ALL\n"
	withPassword = "anna ALL=(root) ALL\n"
)

func password(p string) *push.Become {
	return &push.Become{Password: func(context.Context) (string, error) { return p, nil }}
}

func TestWaysIn(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	body := runner(t)
	all := images(t, body)
	noise := "echo 'Welcome to \x1b[2J box'; echo more >&2; printf 'no newline'\n"
	for _, c := range []struct {
		name   string
		config sshtest.Config
		user   string
		become *push.Become
	}{
		{"root", sshtest.Config{}, "root", nil},
		{"root who needs no sudo", sshtest.Config{Hide: []string{"/usr/bin/sudo"}}, "root", password("x")},
		{"root without SFTP", sshtest.Config{Lines: []string{"Subsystem sftp /nonexistent"}}, "root", nil},
		{"root with dash", sshtest.Config{Shell: "/bin/dash"}, "root", nil},
		{"root with csh", sshtest.Config{Shell: "/bin/csh"}, "root", nil},
		{"root with fish", sshtest.Config{Shell: "/usr/bin/fish"}, "root", nil},
		{"sudo with csh", sshtest.Config{Shell: "/bin/csh", Sudoers: noPassword}, "anna", &push.Become{}},
		{"sudo with fish", sshtest.Config{Shell: "/usr/bin/fish", Sudoers: noPassword}, "anna", &push.Become{}},
		{"sudo with a password and csh", sshtest.Config{Shell: "/bin/csh", Sudoers: withPassword}, "anna", password(sshtest.Password)},
		{"sudo with a password and fish", sshtest.Config{Shell: "/usr/bin/fish", Sudoers: withPassword}, "anna", password(sshtest.Password)},
		{"root with a noisy .bashrc", sshtest.Config{Bashrc: noise}, "root", nil},
		{"sudo", sshtest.Config{Sudoers: noPassword}, "anna", &push.Become{}},
		{"sudo without SFTP", sshtest.Config{Sudoers: noPassword, Lines: []string{"Subsystem sftp /nonexistent"}}, "anna", &push.Become{}},
		{"sudo with a pty", sshtest.Config{Sudoers: "Defaults use_pty\n" + noPassword}, "anna", &push.Become{}},
		{"sudo and SFTP in a jail", sshtest.Config{Sudoers: noPassword, Lines: []string{"Subsystem sftp internal-sftp -d /tmp"}}, "anna", &push.Become{}},
		{"sudo with a noisy .bashrc", sshtest.Config{Sudoers: noPassword, Bashrc: noise}, "anna", &push.Become{}},
		{"sudo with a password", sshtest.Config{Sudoers: withPassword}, "anna", password(sshtest.Password)},
		{"sudo with a password and no SFTP", sshtest.Config{Sudoers: withPassword, Lines: []string{"Subsystem sftp /nonexistent"}}, "anna", password(sshtest.Password)},
		{"sudo with a password and noise", sshtest.Config{Sudoers: withPassword, Bashrc: noise}, "anna", password(sshtest.Password)},
		{"sudo that wants no password", sshtest.Config{Sudoers: noPassword}, "anna", password("not wanted")},
		{"sudo that wants no password and no SFTP", sshtest.Config{Sudoers: noPassword, Lines: []string{"Subsystem sftp /nonexistent"}}, "anna", password("not wanted")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(c.config.Shell); c.config.Shell != "" && err != nil {
				t.Skipf("needs the login shell: %v", err)
			}
			s := sshtest.Start(t, c.config)
			client := connect(t, s, c.user)
			o := push.Options{Images: all, Become: c.become}
			if n := works(t, client, o); n != 1 {
				t.Errorf("%d pushes to a bare host", n)
			}
			if n := works(t, client, o); n != 0 {
				t.Errorf("%d pushes to a host that has the runner", n)
			}
			d := digest(body)
			if got, want := files(t, s), []string{d, d + "/weft-runner"}; !slices.Equal(got, want) {
				t.Errorf("the host has %v, want %v", got, want)
			}
			for path, mode := range map[string]os.FileMode{"": 0o700, "/" + d: 0o700, "/" + d + "/weft-runner": 0o700} {
				if info, err := os.Stat(s.InHost(push.Root + path)); err != nil || info.Mode().Perm() != mode {
					t.Errorf("%s has mode %v, want %v; %v", path, info.Mode(), mode, err)
				}
			}
			if left, _ := filepath.Glob(s.Path("home/*/.cache/weft/bin/.push*")); len(left) > 0 {
				t.Errorf("staged files are left: %v", left)
			}
		})
	}
}

// A file of the right name with wrong bytes, as a power cut leaves it.
func TestHalfWrittenRunnerIsRepaired(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	body := runner(t)
	s := sshtest.Start(t, sshtest.Config{Sudoers: noPassword})
	place := s.InHost(push.Root + "/" + digest(body) + "/weft-runner")
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user string
		half []byte
	}{{"root", nil}, {"root", body[:len(body)/2]}, {"anna", make([]byte, 4096)}} {
		if err := os.WriteFile(place, c.half, 0o700); err != nil {
			t.Fatal(err)
		}
		if n := works(t, connect(t, s, c.user), push.Options{Images: images(t, body), Become: &push.Become{}}); n != 1 {
			t.Errorf("%s, %d bytes: %d pushes", c.user, len(c.half), n)
		}
	}
}

func TestStderrIsKeptAndNeutralised(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	heard := make(chan string, 10)
	session, _, err := start(t, connect(t, s, "root"), push.Options{Images: images(t, runner(t)), Log: func(l string) { heard <- l }})
	if err != nil {
		t.Fatal(err)
	}
	talk(t, session)
	want := `the stand-in runs as 0 \x1b[31m`
	if got := session.Stderr(); len(got) != 1 || got[0] != want {
		t.Errorf("stderr is %q", got)
	}
	// The first start, of a runner that was not there, was heard too.
	for line := range heard {
		if line == want {
			break
		}
	}
}

func TestRunnerThatFails(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	s := sshtest.Start(t, sshtest.Config{})
	session, _, err := start(t, connect(t, s, "root"), push.Options{Images: images(t, runner(t))})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Requests.Write(wire.Request{ID: 9}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := session.Events.Read(); err != nil {
			t.Fatal(err)
		}
	}
	session.Hangup()
	if _, err := session.Events.Read(); err == nil {
		t.Fatal("there was an event after the hangup")
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.Status != 1 || !strings.Contains(err.Error(), "the session was cut") {
		t.Errorf("the runner ended with %v", err)
	}
}
