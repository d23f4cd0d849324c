package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// Read reads the topology of a host. What is not installed is left out; what
// is there and cannot be read is noted in Unread, and hides nothing else. The
// error is that of a ctx that ended.
func Read(ctx context.Context, v host.View) (*Topology, error) {
	t := &Topology{}
	note := func(what string, err error) {
		if err != nil && !errors.Is(err, host.ErrNotReady) {
			t.Unread = append(t.Unread, fmt.Sprintf("%s: %v", what, err))
		}
	}
	note("Open vSwitch", t.readOpenVSwitch(ctx, v.OVSDB))
	note("links", t.readLinks(ctx, v))
	note("OVN's northbound database", t.readNorthbound(ctx, v.OVSDB))
	return t, ctx.Err()
}

// readLinks leaves out the devices that Open vSwitch makes of its own ports
// and tunnels: they are among its bridges. Their addresses are not lost.
func (t *Topology) readLinks(ctx context.Context, v host.View) error {
	links, err := v.Links.List(ctx, "")
	if err != nil {
		return err
	}
	found := map[string]Link{}
	for _, l := range links {
		if l.Name == "lo" || l.Kind == "openvswitch" && l.Name == "ovs-system" || l.Name == "ovs-netdev" || tunnelDevice(l.Name) {
			continue
		}
		link := Link{Name: l.Name, Kind: l.Kind, Master: l.Master, Lower: l.Lower, MTU: l.MTU}
		if l.Master == "ovs-system" {
			link.Master = "" // the database says more
		}
		switch l.Kind {
		case "bond":
			link.Bond = &Bond{Mode: l.Options["mode"]}
			if link.Bond.Mode == "802.3ad" {
				link.Bond.LACP = "active"
			}
		case "vlan":
			link.VLAN, _ = strconv.Atoi(l.Options["id"])
		}
		for _, a := range l.Addresses {
			link.Addresses = append(link.Addresses, a.String())
		}
		switch {
		case !l.Up:
			link.State = "down"
		case !l.Carrier:
			link.State = "no carrier"
		}
		found[l.Name] = link
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		t.Links = append(t.Links, found[name])
	}
	return nil
}

// tunnelDevice says whether a device is one that the kernel's datapath shares
// among all tunnels of a type: genev_sys_6081, vxlan_sys_4789, gre_sys.
func tunnelDevice(name string) bool {
	for _, prefix := range []string{"genev_sys", "vxlan_sys", "gre_sys", "erspan_sys", "ip6gre_sys", "lisp_sys", "stt_sys"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
