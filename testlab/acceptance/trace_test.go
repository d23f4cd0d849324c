package acceptance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
	"weft/engine/control/trace"
)

// flowing waits for the flows that give packets to the guests of a chassis.
const flowing = "for i in $(seq 100); do ovs-ofctl dump-flows br-int table=65 | grep -q output: && exit 0; sleep 0.1; done; exit 1"

// traces follows packets of the overlay: where all is well, where a guest lies
// about its MAC, and where another hand breaks one thing.
func traces(t *testing.T) {
	before := everything(t)
	if r := traced(t, run.OK, "vm1", "vm2"); len(r.Hops) < 7 || r.Hops[5].Where != "br-int on ubuntu3" || len(r.Hops[4].Counted) != 2 || len(r.Hops[6].Counted) != 1 {
		t.Errorf("a way of %d hops: %+v", len(r.Hops), r.Hops)
	}
	for _, p := range []string{"--udp", "--tcp"} {
		if r := traced(t, run.OK, "vm1", "vm2", p, "7"); slices.ContainsFunc(r.Hops, func(h trace.Hop) bool { return h.State != trace.Passes }) {
			t.Errorf("with %s: %+v", p, r.Hops)
		}
	}
	mallory := traced(t, run.ProbeFailed, "mallory", "vm2")
	if mallory.Died.Where != "port security of ls1-mallory" || !strings.Contains(mallory.Died.What, "02:ac:10:ff:00:66 is not one of its own") {
		t.Errorf("mallory's packet dies at %+v", mallory.Died)
	}
	if d := cmp.Diff(before, everything(t)); d != "" {
		t.Errorf("a trace changed the hosts:\n%s", d)
	}
	if r := traced(t, run.OK, "vm1", "vm2", "--ping"); !strings.Contains(r.Hops[len(r.Hops)-1].What, "answered") {
		t.Errorf("nothing is said of the ping: %+v", r.Hops)
	}
	for _, c := range []struct{ what, host, breaks, mends, where string }{
		{"an ACL", "ubuntu1", `ovn-nbctl --wait=hv acl-add ls1 to-lport 1001 'outport=="ls1-vm2" && icmp4' drop`, "ovn-nbctl --wait=hv acl-del ls1", "ACL of ls1"},
		{"a port that nobody is bound to", "ubuntu3", "ovs-vsctl remove interface vm2 external_ids iface-id; ovn-appctl -t ovn-controller recompute; sleep 1",
			"ovs-vsctl set interface vm2 external_ids:iface-id=ls1-vm2", "port ls1-vm2"},
		{"flows of the destination that are gone", "ubuntu3", "ovs-ofctl del-flows br-int table=65", "systemctl restart ovn-controller; " + flowing, "br-int on ubuntu3"},
		{"all flows of the destination gone", "ubuntu3", "ovs-ofctl del-flows br-int", "systemctl restart ovn-controller; " + flowing, "br-int on ubuntu3"},
		{"a tag on the destination's uplink", "ubuntu3", "ovs-vsctl set port eth1 tag=9", "ovs-vsctl clear port eth1 tag", "br-phy on ubuntu3"},
		{"a destination without its tunnel back", "ubuntu3", "systemctl kill -s STOP ovn-controller; ovs-vsctl del-port br-int $(ovs-vsctl --bare --columns=name find interface type=geneve)",
			"systemctl kill -s CONT ovn-controller; for i in $(seq 100); do ovs-vsctl --bare --columns=ofport find interface type=geneve | grep -q '^[1-9]' && exit 0; sleep 0.1; done; exit 1", "tunnel ubuntu2 to ubuntu3"},
		{"a guest that is down", "ubuntu3", "ip -n vm2 link set eth0 down; sleep 1", "ip -n vm2 link set eth0 up", "port ls1-vm2 on ubuntu3"},
	} {
		on(t, c.host, c.breaks)
		if r := traced(t, run.ProbeFailed, "172.16.255.11", "ls1-vm2"); r.Died.Where != c.where || r.Died.Do == "" {
			t.Errorf("%s: it dies at %+v", c.what, r.Died)
		}
		on(t, c.host, c.mends)
	}
	must(t, "lab", "cut", "-i", inventory, "--network", "underlay", "ubuntu3")
	if r := traced(t, run.ProbeFailed, "vm1", "vm2", "--ping"); r.Died.Where != "tunnel ubuntu2 to ubuntu3" {
		t.Errorf("without the underlay it dies at %+v", r.Died)
	}
	must(t, "lab", "mend", "-i", inventory, "ubuntu3")
	overlayWorks(t)
}

// traced wants a trace to end with a status.
func traced(t *testing.T, exit run.Exit, args ...string) trace.Result {
	t.Helper()
	r := weft(t, append([]string{"trace", "-i", inventory, "-o", "json"}, args...)...)
	var result trace.Result
	if err := json.Unmarshal([]byte(r.stdout), &result); err != nil {
		t.Fatalf("trace %s: %v\n%s%s", strings.Join(args, " "), err, r.stdout, r.stderr)
	}
	if r.exit != int(exit) || result.Arrives != (exit == run.OK) || (result.Died == nil) != result.Arrives {
		t.Fatalf("trace %s: exit %d, want %d\n%s", strings.Join(args, " "), r.exit, exit, r.stdout)
	}
	return result
}
