package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/control/run"
)

// chassisName is the name of a host's chassis, once Open vSwitch says it.
func chassisName(t *testing.T, host string) string {
	t.Helper()
	name := strings.Trim(strings.TrimSpace(on(t, host, "for i in $(seq 100); do ovs-vsctl --timeout=5 get open_vswitch . external_ids:system-id 2>/dev/null && exit 0; sleep 0.2; done; exit 1")), `"`)
	if file := strings.TrimSpace(on(t, host, "cat /etc/openvswitch/system-id.conf")); file != name {
		t.Errorf("%s is named %q and its file says %q", host, name, file)
	}
	return name
}

// registered wants each compute to have one chassis with one end of a tunnel, and
// nobody else any.
func registered(t *testing.T) {
	t.Helper()
	var want []string
	for i, h := range hosts[1:] {
		want = append(want, fmt.Sprintf("10.127.0.%d %s", i+3, chassisName(t, h)))
	}
	slices.Sort(want)
	got := strings.Fields(on(t, "ubuntu1", "ovn-sbctl --format=csv --no-headings --columns=ip,chassis_name list encap | tr -d '\"'"))
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], ",", " ")
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("ends of tunnels are\n%q, want\n%q", got, want)
	}
	for _, table := range []string{"chassis", "chassis_private"} {
		if n := len(strings.Fields(on(t, "ubuntu1", "ovn-sbctl --bare --columns=name list "+table))); n != len(want) {
			t.Errorf("%d rows in %s, want %d", n, table, len(want))
		}
	}
}

// namesThatStay: a chassis has its name through reboots, and where the database of
// Open vSwitch is made anew.
func namesThatStay(t *testing.T) {
	name := chassisName(t, "ubuntu3")
	for range 3 {
		must(t, "lab", "reboot", "ubuntu3", "-i", inventory)
		if now := chassisName(t, "ubuntu3"); now != name {
			t.Fatalf("after a reboot ubuntu3 is named %q, before it was %q", now, name)
		}
	}
	on(t, "ubuntu3", "systemctl stop ovn-controller openvswitch-switch ovs-vswitchd ovsdb-server && rm /etc/openvswitch/conf.db && systemctl start openvswitch-switch ovn-controller")
	if now := chassisName(t, "ubuntu3"); now != name {
		t.Errorf("with a new database ubuntu3 is named %q, before it was %q", now, name)
	}
	converged(t, overlay, "-i", inventory)
	overlayWorks(t)
	registered(t)
}

// reinstalled: a compute that comes back empty under its old address, and with
// another name, takes its place again without a hand.
func reinstalled(t *testing.T) {
	before := chassisName(t, "ubuntu2")
	must(t, "lab", "reinstall", "ubuntu2", "-i", inventory)
	must(t, "lab", "up", "-i", inventory) // which learns its new host key
	converged(t, overlay, "-i", inventory)
	if now := chassisName(t, "ubuntu2"); now == before {
		t.Errorf("a host that was installed anew is still named %s: nothing was tried", now)
	}
	registered(t)
	overlayWorks(t)
	unchanged(t)
}

// garbage: what dead guests and lost hosts left goes, nothing else does, and a
// second pass finds nothing.
func garbage(t *testing.T) {
	gc := func(args ...string) string {
		return must(t, append([]string{"gc", "-y", "-i", inventory, "-e", "after=2s"}, args...)...)
	}
	if r := weft(t, "gc", "--plan", "--detailed-exitcode", "-i", inventory); r.exit != int(run.OK) {
		t.Errorf("there is garbage in a lab that is new: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
	}
	const guests = "ovs-vsctl list-ports br-int | grep -v ^ovn-" // tunnels come and go with chassis
	before := on(t, "ubuntu2", guests)
	on(t, "ubuntu2", "ovs-vsctl --no-wait add-port br-int vnet9 -- set interface vnet9 external_ids:iface-id=gone -- add-port br-int eth9; sleep 1")
	on(t, "ubuntu1", "ovn-sbctl chassis-add foreign geneve 192.0.2.9")
	t.Cleanup(func() {
		on(t, "ubuntu1", "ovn-sbctl --if-exists chassis-del foreign")
		on(t, "ubuntu2", "ovs-vsctl --if-exists del-port eth9")
	})
	if out := gc(); !strings.Contains(out, "for the first time") || !strings.Contains(on(t, "ubuntu2", guests), "vnet9") {
		t.Errorf("the first pass removes, or notes nothing:\n%s", out)
	}
	on(t, "ubuntu2", "sleep 2.1")
	second := gc()
	if left := on(t, "ubuntu2", "ovs-vsctl --if-exists del-port eth9; "+guests); left != before {
		t.Errorf("the second pass left %q, want %q\n%s", left, before, second)
	}
	if out := gc(); changedAny.MatchString(out) || !strings.Contains(out, "left alone: chassis foreign (geneve 192.0.2.9)") {
		t.Errorf("the third pass:\n%s", out)
	}
	must(t, "rollback", "-y", runID.FindString(second), "-i", inventory)
	if back := on(t, "ubuntu2", guests); !strings.Contains(back, "vnet9") {
		t.Errorf("a rollback brought back %q", back)
	}
	on(t, "ubuntu2", "ovs-vsctl del-port vnet9")
	gc() // forgets it
}
