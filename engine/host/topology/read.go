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
	t.readBonds(ctx, v)
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

// readBonds asks sysfs for the modes of the kernel's bonds, and procfs for the
// VLANs; a kernel that does not say leaves them open.
func (t *Topology) readBonds(ctx context.Context, v host.View) {
	for i := range t.Links {
		l := &t.Links[i]
		switch l.Kind {
		case "bond":
			l.Bond = &Bond{}
			mode, err := v.Kernel.Get(ctx, "/sys/class/net/"+l.Name+"/bonding/mode")
			if err != nil {
				continue
			}
			l.Bond.Mode, _, _ = strings.Cut(strings.TrimSpace(mode), " ") // "802.3ad 4"
			if l.Bond.Mode == "802.3ad" {
				l.Bond.LACP = "active"
			}
		case "vlan":
			text, err := v.Kernel.Get(ctx, "/proc/net/vlan/"+l.Name)
			if err == nil {
				l.VLAN = vlanOf(text)
			}
		}
	}
}

// vlanOf finds the VLAN in a file of /proc/net/vlan, whose first line is
// "eth0.5  VID: 5	 REORDER_HDR: 1  dev->priv_flags: 1021". A device's name may
// hold neither spaces nor slashes.
func vlanOf(text string) int {
	line, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(line)
	for i := 1; i+1 < len(words); i++ {
		if words[i] != "VID:" {
			continue
		}
		if n, err := strconv.ParseUint(words[i+1], 10, 12); err == nil {
			return int(n)
		}
	}
	return 0
}
