package testlab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestLabDownLeavesNothing(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, l *Lab)
	}{
		{"as it was", func(*testing.T, *Lab) {}},
		{"a supervisor was killed", func(t *testing.T, l *Lab) {
			l.kill(t, "host1/weft")
			eventually(t, "host1 ends with its supervisor", func() bool { return l.mustStatus(t)[0].State == HostDown })
		}},
		{"a systemd-nspawn was killed", func(t *testing.T, l *Lab) {
			l.kill(t, "host1/nspawn/supervisor")
			eventually(t, "host1 ends with its systemd-nspawn", func() bool { return l.mustStatus(t)[0].State == HostDown })
		}},
		{"an init was killed, and nobody waited", func(t *testing.T, l *Lab) { l.kill(t, "host1/nspawn/payload/init.scope") }},
		{"a host reboots", func(t *testing.T, l *Lab) { l.ssh(t, "host2", "", "systemctl reboot --no-block") }},
		{"the description is gone", func(t *testing.T, l *Lab) {
			if err := os.Remove(l.recordPath()); err != nil {
				t.Fatal(err)
			}
		}},
		{"the whole state is gone", func(t *testing.T, l *Lab) {
			if err := os.RemoveAll(l.dir()); err != nil {
				t.Fatal(err)
			}
		}},
		{"the fabric is gone", func(t *testing.T, l *Lab) {
			if err := removeNetns(fabricNetns(l.spec.Name)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a host has mounts and namespaces of its own", func(t *testing.T, l *Lab) {
			l.ssh(t, "host1", "", "ip netns add vm1 && mount -t tmpfs none /mnt && ip netns exec vm1 setsid --fork sleep 600 </dev/null >/dev/null 2>&1")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := upLab(t, 2)
			tt.spoil(t, l)
			l.downLeavesNothing(t)
			if _, err := Find(l.spec.Name, l.options); !errors.Is(err, ErrNoLab) {
				t.Errorf("find after down: %v, want ErrNoLab", err)
			}
			if err := l.Down(t.Context()); err != nil {
				t.Errorf("down of nothing: %v", err)
			}
		})
	}
}

// kill ends, as hard as it goes, the processes of a part of a host.
func (l *Lab) kill(t *testing.T, part string) {
	t.Helper()
	groups, err := openCgroups()
	if err != nil {
		t.Fatal(err)
	}
	defer groups.close()
	text, err := os.ReadFile(filepath.Join(string(groups.at(l.spec.Name, part)), "cgroup.procs"))
	if err != nil || len(text) == 0 {
		t.Fatalf("no process in %s: %v", part, err)
	}
	for line := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLabDownAfterUpWasKilled(t *testing.T) {
	// Where up is killed: as soon as this is there.
	tests := map[string]func(l *Lab) string{
		"described":        func(l *Lab) string { return l.recordPath() },
		"fabric made":      func(l *Lab) string { return netnsPath(fabricNetns(l.spec.Name)) },
		"hosts prepared":   func(l *Lab) string { return filepath.Join(l.hostDir("host2"), machineFileName) },
		"a host plugged":   func(l *Lab) string { return netnsPath(hostNetns(l.spec.Name, "host1")) },
		"a host booting":   func(l *Lab) string { return filepath.Join(l.hostDir("host1"), bootsFileName) },
		"a host has files": func(l *Lab) string { return filepath.Join(l.hostDir("host2"), "personal") },
	}
	for name, trigger := range tests {
		t.Run(name, func(t *testing.T) {
			l := openLab(t, 2)
			cmd := exec.CommandContext(context.Background(), l.options.Supervisor[0], "up", l.writeUp(t))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, trigger(l), func() bool { _, err := os.Stat(trigger(l)); return err == nil })
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("up ended before it was killed")
			}
			l.downLeavesNothing(t)
		})
	}
}

func TestLabUpAfterUpWasKilled(t *testing.T) {
	l := openLab(t, 2)
	cmd := exec.CommandContext(context.Background(), l.options.Supervisor[0], "up", l.writeUp(t))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	half := netnsPath(hostNetns(l.spec.Name, "host1"))
	eventually(t, half, func() bool { _, err := os.Stat(half); return err == nil })
	if err := errors.Join(cmd.Process.Kill(), exitOf(cmd)); err != nil {
		t.Fatal(err)
	}
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.spec.Hosts {
		l.ssh(t, h.Name, "", "true")
	}
}

// exitOf waits for a command that was killed.
func exitOf(cmd *exec.Cmd) error {
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		return errors.Join(err, errors.New("it ended by itself"))
	}
	return nil
}
