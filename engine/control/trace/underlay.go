package trace

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weft/engine/wire"
)

// udpPort is that of a tunnel by the type of its interface, see dst_port in
// ovs-vswitchd.conf.db(5); 0 for those that have none.
func udpPort(kind string) int { return map[string]int{"geneve": 6081, "vxlan": 4789}[kind] }

// underlay looks at whether a tunnel's packets, as one chassis sends them, come up to
// the other's address: where Open vSwitch of both makes and takes in tunnels itself,
// that address is the local port of a bridge, and the packets come by its uplink.
// Elsewhere the kernel has its part in it, and nothing is said.
func (t *tracer) underlay(ctx context.Context, a, b *machine, c carried, in iface) {
	up, ok := b.uplink(in.outlet)
	if !ok || c.outerTarget == "" || !c.source.IsValid() || udpPort(in.kind) == 0 {
		return
	}
	outer := frame{protocol: "udp", source: c.outerSource, target: c.outerTarget, from: c.source, to: c.remote, ttl: 64, details: [2]int{sourcePort, udpPort(in.kind)}}
	if c.remote.Is6() {
		outer.protocol = "udp6"
	}
	hop := Hop{Where: up.bridge + " on " + b.name}
	for _, tag := range b.tags(up.bridge, c.tag) {
		flow := outer.openFlow(up.number)
		if tag > 0 {
			flow += ",dl_vlan=" + strconv.Itoa(tag)
		}
		said := t.one(ctx, b.name, wire.Ask{Daemon: &wire.DaemonCall{Daemon: "ovs-vswitchd", Command: "ofproto/trace", Args: []string{up.bridge, flow}}})
		switch popped := strings.Contains(readFlowTrace(said.Text).actions, "tnl_pop("); {
		case said.Error != "":
			t.unknown(hop.Where, "%s cannot say: %s", b.name, oneLine(said.Error))
			return
		case popped && tag == c.tag:
			return
		case popped:
			t.unknown(hop.Where, "%s sends the tunnel's packets %s, and %s wants them %s: does a switch between change that?", a.name, vlan(c.tag), b.name, vlan(tag))
			return
		}
	}
	hop.What = fmt.Sprintf("the tunnel's packets come in by %s, %s, and do not come up to %s", up.name, vlan(c.tag), c.remote)
	hop.Why = "the tag or the trunks of a port of " + up.bridge + " keep them from it, or its flows"
	hop.Do = fmt.Sprintf("on %s: ovs-vsctl show; ovs-ofctl dump-flows %s", b.name, argument(up.bridge))
	t.dies(hop)
}

func vlan(tag int) string {
	if tag == 0 {
		return "untagged"
	}
	return "in VLAN " + strconv.Itoa(tag)
}

// uplink is the one interface that leads out of the bridge of a name; false where
// there are none or several, or where the datapath is the kernel's.
func (m *machine) uplink(bridge string) (iface, bool) {
	var all []iface
	for _, i := range m.ifaces {
		if i.bridge == bridge && i.kind != "internal" && i.kind != "patch" && i.remote == "" && i.number > 0 {
			all = append(all, i)
		}
	}
	if len(all) != 1 || !m.userspace {
		return iface{}, false
	}
	return all[0], true
}

// tags are the VLANs that the ports of a bridge have to do with, 0 for none; one
// comes first.
func (m *machine) tags(bridge string, first int) []int {
	all := []int{first, 0}
	for _, i := range m.ifaces {
		if i.bridge == bridge {
			all = append(all, i.tag)
		}
	}
	slices.Sort(all[1:])
	return slices.Compact(all)
}
