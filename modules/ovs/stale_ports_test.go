package ovs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

const (
	sightings = "/var/lib/weft/dead-ports-" + homeName + ".json"
	bootID    = "/proc/sys/kernel/random/boot_id"
)

// graveyard is a machine with a bridge of guests, up for a while, with a container
// that has no name in /run/netns.
func graveyard() *fake.Machine {
	m := withPorts()
	m.Mkdir("/var/lib/weft")
	m.SetKernel(bootID, "6f0c6a1e")
	m.SetKernel("/proc/uptime", "1000.57 1990.11")
	m.LinkKernel("/proc/1/ns/net", "net:[4026531840]")
	m.SetKernel("/proc/1/net/dev", devTable("lo", "eth1"))
	m.LinkKernel("/proc/77/ns/net", "net:[4026532001]")
	m.SetKernel("/proc/77/net/dev", devTable("lo", "weft-laws-far"))
	m.LinkKernel("/proc/78/ns/net", "net:[4026532002]") // ends while it is looked at
	return m
}

func devTable(names ...string) string {
	out := "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	for _, name := range names {
		out += fmt.Sprintf("%6s: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n", name)
	}
	return out
}

// guest is a port whose device is nowhere; ovs-vsctl exits with an error then, and
// does not with --no-wait.
func guest(path, name string, more ...string) steptest.Hand {
	h := vsctl(path, append([]string{"add-port", homeName, name, "--", "set", "interface", name, "external_ids:iface-id=" + name}, more...)...)
	h.Host[0].Argv = append([]string{"ovs-vsctl", "--no-wait"}, h.Host[0].Argv[2:]...)
	h.Host = append(h.Host, wait(name)...)
	return h
}

// wait until ovs-vswitchd has tried a port.
func wait(name string) []host.Command {
	return steptest.Run("sh", "-c", "for i in $(seq 100); do [ \"$(ovs-vsctl get interface "+name+" ofport)\" = -1 ] && exit 0; sleep 0.1; done; exit 1")
}

// noted is a sighting of a port in this boot, long ago.
func noted(name string) steptest.Hand {
	return steptest.Hand{
		Name: "noted",
		Fake: func(m *fake.Machine) { note(m, name, 12) },
		Host: steptest.Run("sh", "-ec", `printf '{\n  "%s": {\n    "boot": "%s",\n    "uptime": 0,\n    "port": "%s"\n  }\n}\n' "$1" "$(cat `+bootID+`)" "$(ovs-vsctl get port "$1" _uuid)" > `+sightings, "sh", name),
	}
}

func note(m *fake.Machine, name string, uptime int) {
	boot, _ := m.KernelValue(bootID)
	for _, p := range m.Rows(host.OpenVSwitch, "Port") {
		if row.String(p, "name") == name {
			m.WriteFile(sightings, fmt.Sprintf("{\n  %q: {\n    \"boot\": %q,\n    \"uptime\": %d,\n    \"port\": %q\n  }\n}\n", name, boot, uptime, row.ID(p)))
		}
	}
}

func TestStalePortsLaws(t *testing.T) {
	dead := func(more ...steptest.Hand) []steptest.Hand {
		return slices.Concat(mirrorNeeds(), []steptest.Hand{guest("", "weft-laws-old", "--", "set", "port", "weft-laws-old", "tag=7", "external_ids:hand=1")}, more)
	}
	other := vsctl("a dead tunnel", "add-port", homeName, "weft-laws-tun", "--", "set", "interface", "weft-laws-tun", "type=geneve", "external_ids:iface-id=x")
	other.Host[0].Argv = append([]string{"ovs-vsctl", "--no-wait"}, other.Host[0].Argv[2:]...)
	laws(t, steptest.Subject{
		Kind: kind(t, "ovs_stale_ports"), Machine: graveyard,
		Found: []steptest.Hand{
			steps("none", mirrorNeeds()...),
			steps("dead", dead()...),
			steps("dead twice", dead(noted("weft-laws-old"))...),
			steps("dead and revived", dead(noted("weft-laws-old"), vsctl("", "set", "interface", "weft-laws-old", "type=internal"))...),
		},
		Cases: []steptest.Case{{
			Name: "guests", Spec: ovs.StalePortsSpec{Bridge: homeName, After: 60e9},
			Drift: []steptest.Hand{
				guest("bridge.dead.weft-laws-new", "weft-laws-new"),
				steps("bridge.dead.weft-laws-new", guest("", "weft-laws-new"), noted("weft-laws-new")),
				edit("bridge.revived.weft-laws-ago", sightings, "{\n  \"weft-laws-ago\": {\n    \"boot\": \"b\",\n    \"uptime\": 1,\n    \"port\": \"p\"\n  }\n}\n"),
			},
			Spellings: []steptest.Hand{
				other,
				{Name: "a port whose device a container has", Fake: func(m *fake.Machine) {
					guest("", "weft-laws-far").Fake(m)
				}},
			},
		}},
		Policy: []string{"after"},
		Touches: steptest.Touches{Queries: slices.Concat(
			steptest.Run("sh", "-c", `! test -e "$1" || grep -v '"port":' "$1"`, "sh", sightings), // each walk has ports of its own
			steptest.Run("ovs-vsctl", "list-ports", homeName),
			query("Port", "weft-laws-old", "name,tag,external_ids"), query("Interface", "weft-laws-old", "name,type,external_ids"))},
		Clean: append(steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			append(steptest.Run("ip", "link", "del", uplinkName), steptest.Run("rm", "-f", sightings)...)...),
	})
}

func stale(t *testing.T) step.Step {
	t.Helper()
	return made(t, "ovs_stale_ports", ovs.StalePortsSpec{Bridge: homeName, After: 60e9})
}

func TestDeadPortsGoWhenSeenTwice(t *testing.T) {
	m := graveyard()
	guest("", "vnet3").Fake(m)
	s := stale(t)
	f := apply(t, m, s)
	if len(f.Deltas) != 1 || !strings.Contains(string(f.Deltas[0].To), "for the first time") {
		t.Fatalf("the first pass: %v", f.Deltas)
	}
	if f = check(t, m, s); f.Changed() || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "vnet3") {
		t.Errorf("a pass at once: %v, warnings %q", f.Deltas, f.Warnings)
	}
	m.SetKernel("/proc/uptime", "1059.99 0")
	if f = check(t, m, s); f.Changed() {
		t.Errorf("a pass before its time: %v", f.Deltas)
	}
	m.SetKernel("/proc/uptime", "1060.00 0")
	f = journalled(t, apply(t, m, s))
	if len(f.Deltas) != 1 || f.Deltas[0].To != nil {
		t.Errorf("the second pass: %v", f.Deltas)
	}
	if _, there := m.File(sightings); there || check(t, m, s).Changed() {
		t.Error("a third pass finds something")
	}
	guest("", "vnet3", "--", "set", "port", "vnet3", "tag=9").Fake(m)
	before := m.Snapshot()
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || m.Snapshot() != before {
		t.Errorf("undo where another hand made the port: %v", err)
	}
}

func TestSightingsThatDoNotCount(t *testing.T) {
	for name, change := range map[string]func(*fake.Machine){
		"another boot": func(m *fake.Machine) { m.SetKernel(bootID, "another") },
		"another port of the name": func(m *fake.Machine) {
			ovsVsctl(m, []string{"del-port", "vnet3"})
			guest("", "vnet3").Fake(m)
		},
	} {
		m := graveyard()
		guest("", "vnet3").Fake(m)
		note(m, "vnet3", 12)
		change(m)
		if f := check(t, m, stale(t)); len(f.Deltas) != 1 || !strings.Contains(string(f.Deltas[0].To), "for the first time") {
			t.Errorf("%s: %v", name, f.Deltas)
		}
	}
}

// TestRevivedPortsStay: a guest that comes back takes its note away, also where the
// plan was made before.
func TestRevivedPortsStay(t *testing.T) {
	m := graveyard()
	guest("", "vnet3").Fake(m)
	note(m, "vnet3", 12)
	s := stale(t)
	f := check(t, m, s)
	m.AddLink("", host.Link{Name: "vnet3", Up: true})
	ovsVsctl(m, []string{"set", "interface", "vnet3", "external_ids:x=1"}) // ovs-vswitchd finds it
	if err := s.Apply(t.Context(), m.Host(), f); !errors.Is(err, row.ErrChanged) {
		t.Errorf("a port that lives again was removed: %v", err)
	}
	f = apply(t, m, s)
	if len(f.Deltas) != 1 || f.Deltas[0].Path != "bridge.revived.vnet3" || check(t, m, s).Changed() {
		t.Errorf("%v", f.Deltas)
	}
}

// TestUndoOfANote: that time has passed since is nobody's work.
func TestUndoOfANote(t *testing.T) {
	m := graveyard()
	guest("", "vnet3").Fake(m)
	s := stale(t)
	f := journalled(t, apply(t, m, s))
	f.Settled = true
	m.SetKernel("/proc/uptime", "2000.00 0")
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
	if _, there := m.File(sightings); there {
		t.Error("the note is left")
	}
}

func TestDeadPortsOfNoGuest(t *testing.T) {
	m := graveyard()
	ovsVsctl(m, []string{"add-port", homeName, "eth9"})
	m.LinkKernel("/proc/80/ns/net", "net:[4026532009]")
	f := check(t, m, stale(t))
	if f.Changed() || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "eth9") || !strings.Contains(f.Warnings[0], "uplink") {
		t.Errorf("%v, warnings %q", f.Deltas, f.Warnings)
	}
	if _, err := made(t, "ovs_stale_ports", ovs.StalePortsSpec{Bridge: "br9"}).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without a bridge: %v", err)
	}
	m.WriteFile(sightings, "{")
	if _, err := stale(t).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), sightings) {
		t.Errorf("notes that cannot be read: %v", err)
	}
	for want, s := range map[string]ovs.StalePortsSpec{"bridge": {Bridge: "a b"}, "after": {Bridge: "br-int", After: -1}} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != want {
			t.Errorf("%s: %v", want, p)
		}
	}
}
