package push_test

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"weft/engine/control/push"
	"weft/engine/control/ssh/sshtest"
)

// Where somebody else than root can choose what lies at the runner's place,
// root neither runs it nor writes there.
func TestPlantedPlaces(t *testing.T) {
	sshtest.NeedRoot(t)
	t.Parallel()
	body := runner(t)
	const anna = 4001
	for _, c := range []struct {
		name string
		// plant makes the place; weft is /var/lib/weft.
		plant func(t *testing.T, s *sshtest.Server, weft string)
		says  string
	}{
		{"all of it", func(t *testing.T, _ *sshtest.Server, weft string) { own(t, anna, plant(t, weft, body)...) }, "/var/lib/weft does not belong to root"},
		{"the runners", func(t *testing.T, _ *sshtest.Server, weft string) { own(t, anna, plant(t, weft, body)[1:]...) }, "/var/lib/weft/bin does not belong to root"},
		{"one runner", func(t *testing.T, _ *sshtest.Server, weft string) { own(t, anna, plant(t, weft, body)[2:]...) }, digest(body) + " does not belong to root"},
		{"a link", func(t *testing.T, s *sshtest.Server, weft string) {
			home := s.Path("home/anna/weft")
			own(t, anna, plant(t, home, body)...)
			if err := os.Symlink(home, weft); err != nil {
				t.Fatal(err)
			}
		}, "/var/lib/weft does not belong to root"},
		{"open to all", func(t *testing.T, _ *sshtest.Server, weft string) {
			if err := errors.Join(os.Mkdir(weft, 0o700), os.Chmod(weft, 0o777)); err != nil {
				t.Fatal(err)
			}
		}, "/var/lib/weft can be written by others"},
		{"open to a group", func(t *testing.T, _ *sshtest.Server, weft string) {
			if err := errors.Join(os.MkdirAll(weft+"/bin", 0o700), os.Chmod(weft+"/bin", 0o770)); err != nil {
				t.Fatal(err)
			}
		}, "/var/lib/weft/bin can be written by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Config{Sudoers: noPassword})
			c.plant(t, s, s.InHost("/var/lib/weft"))
			for _, user := range []string{"root", "anna"} {
				_, _, err := start(t, connect(t, s, user), push.Options{Images: images(t, body), Become: &push.Become{}})
				var refused *push.Error
				if !errors.As(err, &refused) || refused.Kind != push.Unsafe || !strings.Contains(refused.Says, c.says) || refused.Hint == "" {
					t.Errorf("%s: refused with %v", user, err)
				}
			}
			if _, err := os.Stat(s.InHost("/run/ran")); err == nil {
				t.Error("what was planted ran")
			}
		})
	}
}

// plant puts a program in the place of the runner, which tells that it ran. It
// returns the directories and the file, the outermost first.
func plant(t *testing.T, weft string, body []byte) []string {
	t.Helper()
	file := path.Join(weft, "bin", digest(body), "weft-runner")
	err := errors.Join(os.MkdirAll(path.Dir(file), 0o755), os.WriteFile(file, []byte("#!/bin/sh\ntouch /run/ran\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	return []string{weft, path.Join(weft, "bin"), path.Dir(file), file}
}

func own(t *testing.T, id int, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Lchown(p, id, id); err != nil {
			t.Fatal(err)
		}
	}
}
