package host

import (
	"context"
	"net/netip"
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
	Addresses []netip.Prefix // without IPv6 link-local ones
}

// Route is a route of the main table.
type Route struct {
	Destination netip.Prefix // 0.0.0.0/0 or ::/0 for the default
	Via         netip.Addr   // invalid where on-link
	Link        string
	Metric      int
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

// LinkChange is what Set changes of a link; a nil or empty field stays.
type LinkChange struct {
	Up              *bool
	MTU             int
	MAC             string
	Checksum        *bool // of a veth: transmit checksum offload
	Name            string
	Namespace       *string // moves the link; "" is the host's own
	AddAddresses    []netip.Prefix
	RemoveAddresses []netip.Prefix
	AddRoutes       []Route
	RemoveRoutes    []Route
}

// LinkWriter changes links. Each call is one effect.
type LinkWriter interface {
	AddNamespace(ctx context.Context, name string) error
	RemoveNamespace(ctx context.Context, name string) error
	// AddVeth makes a pair in the host's own namespace, both ends down.
	AddVeth(ctx context.Context, name, peer string) error
	RemoveLink(ctx context.Context, namespace, name string) error
	// Set changes a link in one go: move, name, MAC, MTU, checksum offload,
	// addresses, up and then routes, in that order.
	Set(ctx context.Context, namespace, name string, c LinkChange) error
}

// Links is the door to the kernel's network configuration.
type Links interface {
	LinkReader
	LinkWriter
}
