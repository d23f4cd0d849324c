package netconf

import (
	"net/netip"
	"slices"

	"weft/engine/host"
)

// A Part is what one step keeps of one device: [Link], [Addresses], [Bond],
// [VLAN], [Bridge], [OVSBridge], [OVSPort] or [OVSPatch]. A family that cannot
// keep a part says so by an error.
type Part interface {
	// Of is the device.
	Of() string
}

// Link is state, MTU and Ethernet address of a device.
type Link struct {
	Device string
	Kind   string // of the device, as [host.Link] has it
	MTU    int    // bytes; 0 leaves what there is
	MAC    string // empty leaves what there is
	Down   bool   // not brought up at boot
}

// Addresses are all addresses and routes of a device. Those that routers
// advertise are no part of them.
type Addresses struct {
	Device    string
	Kind      string         // of the device, as [host.Link] has it
	Addresses []netip.Prefix // of one IPv4 subnet the primary comes first
	Routes    []host.Route   // those without a gateway first
	DHCP      bool           // an IPv4 address by DHCP, too
	MTU       int            // bytes; 0 leaves what there is
	From      string         // a device that gets nothing at boot any more
	FromKind  string         // of that, as [host.Link] has it
}

// Bond is a bond of the kernel's driver (bonding.rst).
type Bond struct {
	Device string
	// Members are all that belong to it; nil leaves that as it is.
	Members []string
	// Options are spelt as package linkinfo has them. Others stay as they are.
	Options map[string]string
	Station
}

// VLAN is a device for one VLAN of another.
type VLAN struct {
	Device   string
	Link     string // the device below
	ID       int
	Protocol string // "802.1Q" or "802.1ad"; empty is 802.1Q
	// Options are reorder_hdr, gvrp, mvrp, loose_binding: "0" or "1".
	Options map[string]string
	Station
}

// Bridge is a bridge of the kernel.
type Bridge struct {
	Device string
	// Members belong to it; nil leaves that as it is.
	Members []string
	// Open says that others may belong to it, too, by whatever describes them.
	Open bool
	// Options are spelt as package linkinfo has them, times in hundredths of a
	// second. Others stay as they are.
	Options map[string]string
	Station
}

// Station is what every device has that is made.
type Station struct {
	MTU  int    // bytes; 0 leaves what there is
	MAC  string // empty leaves what there is
	Down bool   // not brought up at boot
}

// link is a station as a part of its own.
func (s Station) link(device, kind string) Link { return Link{device, kind, s.MTU, s.MAC, s.Down} }

// Of implements [Part].
func (p Link) Of() string { return p.Device }

// Of implements [Part].
func (p Addresses) Of() string { return p.Device }

// Of implements [Part].
func (p Bond) Of() string { return p.Device }

// Of implements [Part].
func (p VLAN) Of() string { return p.Device }

// Of implements [Part].
func (p Bridge) Of() string { return p.Device }

// making is what a part makes its device; empty of one that sets a device up.
func making(p Part) string {
	switch p.(type) {
	case Bond:
		return "bond"
	case VLAN:
		return "VLAN"
	case Bridge:
		return "bridge"
	}
	return ""
}

// both are the device and the one whose addresses it takes.
func (p Addresses) both() []string {
	if p.From == "" {
		return []string{p.Device}
	}
	return []string{p.Device, p.From}
}

// four and six are the addresses of one IP version.
func (p Addresses) four() []netip.Prefix { return filter(p.Addresses, true) }
func (p Addresses) six() []netip.Prefix  { return filter(p.Addresses, false) }

func filter(list []netip.Prefix, four bool) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Prefix) bool { return a.Addr().Is4() != four })
}

// empty says whether the device gets nothing.
func (p Addresses) empty() bool { return len(p.Addresses)+len(p.Routes) == 0 && !p.DHCP }

// routes are those of one IP version.
func (p Addresses) routes(four bool) []host.Route {
	return slices.DeleteFunc(slices.Clone(p.Routes), func(r host.Route) bool { return r.Destination.Addr().Is4() != four })
}
