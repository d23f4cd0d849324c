package acceptance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
	"weft/engine/control/trace"
)

// traces follows packets of the overlay: where all is well, where a guest lies
// about its MAC, and where another hand breaks one thing.
func traces(t *testing.T) {
	before := everything(t)
	if r := traced(t, run.OK, "vm1", "vm2"); len(r.Hops) < 5 {
		t.Errorf("a way of %d hops: %+v", len(r.Hops), r.Hops)
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
