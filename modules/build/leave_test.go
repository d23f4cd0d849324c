package build

import (
	"encoding/json"
	"errors"
	"path"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

// linkTree lays out a tree of Open vSwitch that is linked to a DPDK.
func linkTree(m *fake.Machine, dpdk string) string {
	in := inputs{"kind": "ovs_build", "dpdk": dpdk}
	tree := "/opt/switch-3.1.0-" + in.key()
	text, err := json.Marshal(manifest{Name: "switch", Version: "3.1.0", Key: in.key(), Tree: tree, Inputs: in})
	check(err)
	m.WriteFile(path.Join(tree, manifestName), string(text))
	return tree
}

// TestLinkedTrees: neither a removal nor an undo takes the libraries from under a tree
// that is linked to them.
func TestLinkedTrees(t *testing.T) {
	settled := func(f *step.Finding) { f.Settled = true }
	for name, state := range map[string]func(f *step.Finding){"settled": settled, "half made": func(f *step.Finding) { f.Settled = false }} {
		t.Run(name, func(t *testing.T) {
			m := machine()
			b := build{greeting()}
			f := applied(t, m, hello())
			state(&f)
			out := outputs(t, f)
			by := linkTree(m, out["tree"])
			linkTree(m, "/opt/dpdk-22-0011223344556677") // another
			m.WriteFile("/opt/strange/"+manifestName+"/x", "")
			err := b.Undo(t.Context(), m.Host(), f)
			if !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), by) || !strings.Contains(err.Error(), `step "ovs_build" "switch" with state = "absent"`) {
				t.Errorf("undo says %v", err)
			}
			for _, at := range []string{out["tree"] + "/bin/hello", out["archive"]} {
				if _, there := m.File(at); !there {
					t.Errorf("undo took %s away", at)
				}
			}
			m.Remove(by)
			if err := b.Undo(t.Context(), m.Host(), f); err != nil {
				t.Error(err)
			}
			if _, there := m.File(out["tree"] + "/bin/hello"); there {
				t.Error("undo left the tree, which nothing is linked to any more")
			}
		})
	}
	m := machine()
	out := outputs(t, applied(t, m, hello()))
	by := linkTree(m, out["tree"])
	gone := hello()
	gone.State = step.Absent
	if err := refused(t, m, gone); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), by) || !strings.Contains(err.Error(), `step "ovs_build" "switch"`) {
		t.Errorf("a removal says %v", err) // a step before may take the other away
	}
	m.Remove(by)
	applied(t, m, gone)
}

// TestDriftWithoutAResult: of a tree that another hand changed no result is packed as if
// it were whole.
func TestDriftWithoutAResult(t *testing.T) {
	m := machine()
	out := outputs(t, applied(t, m, hello()))
	m.Remove(out["archive"])
	m.WriteFile(out["tree"]+"/bin/hello", "drift")
	gone := hello()
	gone.State = step.Absent
	if f := found(t, m, gone); !strings.Contains(f.Cost.Irreversible, "bin/hello") {
		t.Errorf("the finding says %q", f.Cost.Irreversible)
	}
	f := applied(t, m, gone)
	if _, there := m.File(out["archive"]); there {
		t.Error("another's work was packed as a result")
	}
	if err := (build{gone.recipe()}).Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrIrreversible) {
		t.Errorf("undo says %v", err)
	}
}

// TestForgedFile: a file that has the size and the time of a build, and another content,
// is neither packed nor unpacked.
func TestForgedFile(t *testing.T) {
	m := machine()
	out := outputs(t, applied(t, m, hello()))
	program := out["tree"] + "/bin/hello"
	text, _ := m.File(program)
	forged := strings.Repeat("x", len(text))
	result, _ := m.File(out["archive"])

	other := m.Clone()
	result = strings.Replace(result, text, forged, 1)
	other.WriteFile(out["archive"], result)
	other.WriteFile(sumFile(out["archive"]), string(sumText(sumOf([]byte(result)), out["archive"])))
	other.Remove(out["tree"])
	b := build{greeting()}
	if err := b.Apply(t.Context(), other.Host(), found(t, other, hello())); err == nil || !strings.Contains(err.Error(), "bin/hello is changed") {
		t.Errorf("to unpack it says %v", err)
	}

	m.Remove(out["archive"])
	m.WriteFile(program, forged)
	m.Touch(program, builtAt)
	gone := hello()
	gone.State = step.Absent
	f := found(t, m, gone)
	if err := (build{gone.recipe()}).Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "bin/hello in") {
		t.Errorf("to pack it says %v", err)
	}
	if _, there := m.File(program); !there {
		t.Error("it was removed nevertheless")
	}
}

// TestDoneOfNothing: what a host has in the file of phases is data.
func TestDoneOfNothing(t *testing.T) {
	for _, text := range []string{"null", "[]", `{"unpack":1}`, ""} {
		m := machine()
		b := build{greeting()}
		key := outputs(t, found(t, m, hello()))["key"]
		m.Mkdir(b.home(key))
		m.Chmod(b.work(key), 0o700)
		m.Chmod(b.home(key), 0o700)
		m.WriteFile(path.Join(b.work(key), "done.json"), text)
		applied(t, m, hello())
	}
}

// TestEnabledUnit: a unit that a boot starts is not taken from under its links.
func TestEnabledUnit(t *testing.T) {
	const links = "/etc/systemd/system/multi-user.target.wants/" + databaseUnit
	m := machine()
	s := OVSSpec{Name: "ovs", Version: "3.1.0", Source: lawsSource, SHA256: sumOf([]byte(helloSource())), Programs: []string{"bin/hello"}}
	b := build{s.recipe()}
	f, err := b.Check(t.Context(), m.Host().View())
	if err == nil {
		err = b.Apply(t.Context(), m.Host(), f)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	m.Systemctl(host.Enable, databaseUnit)
	gone, bare := s, s
	gone.State, bare.Units = step.Absent, step.Is(false)
	for name, spec := range map[string]OVSSpec{"absent": gone, "without units": bare} {
		if _, err := (build{spec.recipe()}).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "enabled = false") {
			t.Errorf("%s: it says %v", name, err)
		}
	}
	if err := b.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), "systemctl disable "+databaseUnit) {
		t.Errorf("undo says %v", err)
	}
	out := outputs(t, f)
	for _, at := range []string{out["tree"] + "/bin/hello", out["prefix"] + "/bin/hello", out["archive"], "/usr/local/bin/hello"} {
		if _, there := m.File(at); !there {
			t.Errorf("undo took %s away, which a boot starts from", at)
		}
	}
	if _, leads := m.File(links); !leads {
		t.Error("what enables it leads nowhere")
	}
	if _, there := m.File("/etc/systemd/system/" + switchUnit); there {
		t.Error("the other unit, which nobody enabled, is there yet")
	}
	m.Systemctl(host.Disable, databaseUnit)
	if err := b.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
	for _, at := range []string{out["tree"], out["prefix"], out["archive"], "/usr/local/bin/hello", "/etc/systemd/system/" + databaseUnit} {
		if _, err := m.Host().Files.Stat(t.Context(), at); err == nil {
			t.Errorf("the second undo left %s", at)
		}
	}
}

// TestDatabaseThatTheSwitchStarted: nobody enabled or started it by its name, and an undo
// cannot tell who is connected to it by now.
func TestDatabaseThatTheSwitchStarted(t *testing.T) {
	m := machine()
	s := OVSSpec{Name: "ovs", Version: "3.1.0", Source: lawsSource, SHA256: sumOf([]byte(helloSource())), Programs: []string{"bin/hello"}, Units: step.Is(false)}
	apply := func(s OVSSpec) step.Finding {
		t.Helper()
		b := build{s.recipe()}
		f, err := b.Check(t.Context(), m.Host().View())
		if err == nil {
			err = b.Apply(t.Context(), m.Host(), f)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Settled = true
		return f
	}
	old := outputs(t, apply(s))
	s.Units, s.Options = step.Is(true), []string{"--enable-x"}
	f := apply(s)
	out := outputs(t, f)
	m.Systemctl(host.Start, switchUnit)
	m.Systemctl(host.Stop, switchUnit)
	b := build{s.recipe()}
	err := b.Undo(t.Context(), m.Host(), f)
	if !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), "systemctl stop "+databaseUnit+", and then undo again") {
		t.Errorf("undo says %v", err)
	}
	leadsTo := func(want string) {
		t.Helper()
		if text, _ := m.File("/opt/ovs/bin/hello"); !strings.HasSuffix(text, want) {
			t.Errorf("the prefix leads to %q, not to %s", text, want)
		}
	}
	leadsTo(out["tree"])
	m.Systemctl(host.Stop, databaseUnit)
	if err := b.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
	leadsTo(old["tree"])
	if _, there := m.File(out["tree"] + "/bin/hello"); there {
		t.Error("the second undo left the new tree")
	}
}
