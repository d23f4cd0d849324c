package host

import (
	"context"
	"net/netip"
	"slices"
)

// Link is a network interface.
type Link struct {
	Name      string
	Kind      string // rtnetlink's kind: "veth", "bridge", "tun", …; empty for a physical device
	MAC       string // lower case, with colons
	MTU       int
	Up        bool   // administratively
	Carrier   bool   // IFF_LOWER_UP
	Master    string // name of the bridge or bond it belongs to
	Lower     string // name of the device it stands on (IFLA_LINK): of a VLAN or a macvlan; else empty
	Peer      int    // of a veth: index of the other end in its namespace, else 0
	Checksum  bool   // of a veth: transmit checksum offload is on, so its packets may leave without one (ethtool's tx)
	Index     int
	Addresses []netip.Prefix // without IPv6 link-local ones; of one IPv4 subnet the primary comes first
	// Special holds what sets addresses apart from ordinary ones.
	Special map[netip.Prefix]AddressOptions
	// Options are what a bond, a bridge or a VLAN has beyond all other devices,
	// as package linkinfo writes them; nil of other kinds.
	Options map[string]string
}

// AddressOptions is what an address has beyond itself. The zero value is an
// ordinary address.
type AddressOptions struct {
	Scope     int          `json:"scope,omitzero"`     // rtnetlink(7)'s number: 0 global, 253 link, 254 host
	Label     string       `json:"label,omitzero"`     // of IPv4, other than the link's name: "eth0:1"
	Peer      netip.Prefix `json:"peer,omitzero"`      // of a point-to-point address
	Broadcast netip.Addr   `json:"broadcast,omitzero"` // of IPv4, other than the subnet's last; 0.0.0.0 for none
	// Flags are those of if_addr.h that a hand may set, of an IPv6 address: 2 for
	// no duplicate address detection, 0x200 for no route of its own, ….
	Flags int `json:"flags,omitzero"`
	// Leased says that the address has a lifetime: a DHCP client or a router's
	// advertisement gave it. One that is added so lives for an hour, unless
	// its client prolongs that.
	Leased bool `json:"leased,omitzero"`
}

// Route is a route of the main table.
type Route struct {
	Destination netip.Prefix // 0.0.0.0/0 or ::/0 for the default
	Via         netip.Addr   // invalid where on-link
	Link        string
	Metric      int
	Source      netip.Addr // preferred source, where a hand chose one; else invalid
	// Protocol says who made it, by rtnetlink(7)'s number: 4 an
	// administrator, 9 a router's advertisement, 16 DHCP, …; 0 for the kernel
	// itself and for tools that do not say.
	Protocol int
	OnLink   bool // the gateway is taken to be on the link, whatever the addresses say
}

// Outlet is the link that packets to target leave by: one that is up, of the most
// specific network, and of two the route with the lesser metric. Rules of
// ip-rule(8) are not looked at.
func Outlet(links []Link, routes []Route, target netip.Addr) (outlet Link, there bool) {
	bits, metric := -1, 0
	take := func(name string, to netip.Prefix, m int) {
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name && l.Up })
		if i < 0 || !to.Contains(target) || to.Bits() < bits || to.Bits() == bits && m >= metric {
			return
		}
		bits, metric, outlet = to.Bits(), m, links[i]
	}
	for _, l := range links {
		for _, a := range l.Addresses {
			take(l.Name, a.Masked(), 0)
		}
	}
	for _, r := range routes {
		take(r.Link, r.Destination, r.Metric)
	}
	return outlet, bits >= 0
}

// LinkReader reads the network of one namespace: the host's own where
// namespace is empty, else one by its name below /run/netns. The error wraps
// [fs.ErrNotExist] where there is no such namespace.
type LinkReader interface {
	Namespaces(ctx context.Context) ([]string, error)
	// List returns the links with their addresses, by index.
	List(ctx context.Context, namespace string) ([]Link, error)
	Routes(ctx context.Context, namespace string) ([]Route, error)
}

// NewLink is a bond, a bridge or a VLAN to be made. What is left empty the
// kernel chooses.
type NewLink struct {
	Name    string
	Kind    string // "bond", "bridge" or "vlan"
	Lower   string // the device that a VLAN stands on
	MAC     string
	MTU     int
	Options map[string]string // as package linkinfo writes them
}

// LinkChange is what Set changes of a link; a nil or empty field stays.
type LinkChange struct {
	Up              *bool
	Master          *string           // the bridge or bond that it is to belong to; "" for none
	Options         map[string]string // of a bond, a bridge or a VLAN, as package linkinfo writes them
	MTU             int
	MAC             string
	Checksum        *bool // of a veth: transmit checksum offload
	Name            string
	Namespace       *string // moves the link; "" is the host's own
	AddAddresses    []netip.Prefix
	RemoveAddresses []netip.Prefix
	Special         map[netip.Prefix]AddressOptions // of AddAddresses, where they are no ordinary ones
	AddRoutes       []Route
	RemoveRoutes    []Route
	Release         *Release
	// Announce are addresses of the link that its neighbours are told of, so
	// that they and the switches between learn where they are now: by an ARP
	// announcement (RFC 5227, 2.3) or an unsolicited neighbour advertisement
	// (RFC 4861, 7.2.6).
	Announce []netip.Addr
}

// Release is what another link of the namespace gives up in the same effect,
// before this one gets its addresses: so nothing is lost of a move.
type Release struct {
	Link      string
	Addresses []netip.Prefix
	Routes    []Route
}

// LinkWriter changes links. Each call is one effect.
type LinkWriter interface {
	AddNamespace(ctx context.Context, name string) error
	RemoveNamespace(ctx context.Context, name string) error
	// AddVeth makes a pair in the host's own namespace, both ends down.
	AddVeth(ctx context.Context, name, peer string) error
	// AddLink makes a device in the host's own namespace, down. The error wraps
	// [syscall.EOPNOTSUPP] where the kernel has no devices of the kind: it was
	// built without them, or their module is not there.
	AddLink(ctx context.Context, l NewLink) error
	// RemoveLink removes a link. What stands on it goes with it; the members of a
	// bridge or a bond leave it.
	RemoveLink(ctx context.Context, namespace, name string) error
	// Set changes a link in one go: move, name, routes that go, master, MAC, MTU,
	// options, checksum offload, what another link releases, addresses that go and
	// that come, up, routes that come, announcements, in that order. A bond takes a
	// link that is down alone, brings it up, and gives it its own MAC and MTU; one
	// that leaves it has its own again and is down. What was done
	// before a refusal stays. Addresses are taken one by one as listed: where
	// the primary of an IPv4 subnet goes, the kernel may take the others of the
	// subnet along, so they are listed before it. With its last IPv4 address a
	// link loses its IPv4 routes.
	Set(ctx context.Context, namespace, name string, c LinkChange) error
}

// Links is the door to the kernel's network configuration.
type Links interface {
	LinkReader
	LinkWriter
}
