package acceptance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/host/topology"
)

// pictures draws the overlay that is there: what its playbook wants, and what
// another hand broke. Nothing of it changes a host.
func pictures(t *testing.T) {
	before := everything(t)
	live := must(t, "graph", "-i", inventory, "-o", "mermaid")
	if d := cmp.Diff(before, everything(t)); d != "" {
		t.Errorf("a picture changed the hosts:\n%s", d)
	}
	wanted := must(t, "graph", overlay, "-i", inventory, "-o", "mermaid")
	if got, want := tunnelsIn(live), tunnelsIn(wanted); len(want) != 1 || !slices.Equal(got, want) {
		t.Errorf("tunnels %q, the playbook wants %q", got, want)
	}
	for _, seen := range []string{"ls1-vm1<br>02:ac:10:ff:00:11 172.16.255.11 · on ubuntu2", "ls1-vm2<br>02:ac:10:ff:00:22 172.16.255.22 · on ubuntu3"} {
		if !strings.Contains(live, seen) || !strings.Contains(wanted, seen) {
			t.Errorf("%q is not in both pictures:\n%s\n%s", seen, live, wanted)
		}
	}
	if wrong := wrongIn(t); len(wrong) > 0 {
		t.Errorf("wrong on hosts that converged: %q", wrong)
	}

	on(t, "ubuntu2", "ovs-vsctl add-br br-odd -- set bridge br-odd datapath_type=netdev "+
		"-- add-port br-odd odd -- set interface odd type=patch options:peer=even -- add-port br-odd even -- set interface even type=patch options:peer=odd; "+
		"ovs-vsctl del-port even; ovs-vsctl add-port br-odd nosuch0 tag=300 || true")
	t.Cleanup(func() { on(t, "ubuntu2", "ovs-vsctl del-br br-odd") })
	want := []string{"ubuntu2 nosuch0: could not open network device nosuch0 (No such device)", "ubuntu2 odd: its peer is not there"}
	if got := wrongIn(t); !slices.Equal(got, want) {
		t.Errorf("wrong are %q, want %q", got, want)
	}
}

// tunnelsIn are the lines between hosts.
func tunnelsIn(mermaid string) []string {
	var all []string
	for line := range strings.Lines(mermaid) {
		if strings.Contains(line, "|") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// wrongIn is what a picture of all hosts shows in red.
func wrongIn(t *testing.T) []string {
	t.Helper()
	var read map[string]topology.Topology
	if err := json.Unmarshal([]byte(must(t, "graph", "-i", inventory, "-o", "json")), &read); err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for _, h := range hosts {
		wrong = append(wrong, read[h].Unread...)
		for _, b := range read[h].Bridges {
			for _, p := range b.Ports {
				for _, i := range p.Interfaces {
					if i.Wrong != "" {
						wrong = append(wrong, h+" "+i.Name+": "+i.Wrong)
					}
				}
			}
		}
	}
	return wrong
}
