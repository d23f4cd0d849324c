package fake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// A package that brings a service, and a hand that stops it.
func Example() {
	m := fake.New()
	m.Program("apt-get", func(m *fake.Machine, _ host.Command) host.Result {
		m.WriteFile("/lib/systemd/system/ssh.service", fake.Service("/usr/sbin/sshd"))
		m.Systemctl(host.Enable, "ssh.service")
		m.Systemctl(host.Start, "ssh.service")
		return host.Result{Stdout: []byte("Setting up openssh-server …\n")}
	})

	ctx, h := context.Background(), m.Host()
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"apt-get", "install", "openssh-server"}}); err != nil {
		fmt.Println(err)
	}
	m.Systemctl(host.Stop, "ssh.service")

	u, err := h.Units.Unit(ctx, "ssh.service")
	fmt.Println(u.ActiveState, u.FileState, u.ExecStart, err)
	// Output: inactive enabled /usr/sbin/sshd <nil>
}

func TestQueryThatChangesTheMachinePanics(t *testing.T) {
	changes := map[string]func(m *fake.Machine){
		"a file":    func(m *fake.Machine) { m.WriteFile("/etc/hosts", "x") },
		"a mode":    func(m *fake.Machine) { m.Chmod("/etc", 0o700) },
		"a value":   func(m *fake.Machine) { m.SetKernel("/proc/sys/vm/swappiness", "1") },
		"a unit":    func(m *fake.Machine) { m.Systemctl(host.Start, "a.service") },
		"a link":    func(m *fake.Machine) { m.AddVeth("a", "b") },
		"a symlink": func(m *fake.Machine) { m.Symlink("/etc/x", "y") },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			m := fake.New()
			m.WriteFile("/lib/systemd/system/a.service", fake.Service("/bin/a"))
			m.Program("look", func(m *fake.Machine, _ host.Command) host.Result {
				change(m)
				return host.Result{}
			})
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, `"look" was run by Query`) {
					t.Errorf("got %q", said)
				}
			}()
			_, _ = m.Host().Commands.Query(t.Context(), host.Command{Argv: []string{"look"}})
		})
	}
}

func TestCloneChangesOnItsOwn(t *testing.T) {
	m := fake.New()
	m.WriteFile("/lib/systemd/system/a.service", fake.Service("/bin/a"))
	m.AddVeth("a", "b")
	before := m.Snapshot()
	c := m.Clone()
	if c.Snapshot() != before {
		t.Fatal("a clone is another machine")
	}
	c.WriteFile("/etc/hosts", "x")
	c.Systemctl(host.Start, "a.service")
	c.RemoveLink("", "a")
	c.SetKernel("/proc/sys/vm/swappiness", "1")
	if m.Snapshot() != before {
		t.Error("a change of the clone changed the machine")
	}
	if _, there := c.Link("", "b"); there {
		t.Error("the other end of a veth outlived it in the clone")
	}
}

func TestUnknownProgramIsNotReady(t *testing.T) {
	_, err := fake.New().Host().Commands.Query(t.Context(), host.Command{Argv: []string{"ovs-vsctl"}})
	if !errors.Is(err, host.ErrNotReady) {
		t.Errorf("got %v", err)
	}
}
