// Package topology is what the network of one host is made of: its links, the
// bridges of Open vSwitch with their ports, and the logical network of OVN
// where the host has its northbound database.
//
// [Read] reads it from the kernel and the live databases, for `weft graph`. The
// same types say what a playbook wants, so that one drawing shows either.
// Everything in them is data that others chose: names may hold anything.
package topology

// A Topology is one host's network. Lists are sorted by name.
type Topology struct {
	// Version is that of Open vSwitch; empty where it does not run.
	Version string   `json:"version,omitempty"`
	Bridges []Bridge `json:"bridges,omitempty"` // of Open vSwitch
	Links   []Link   `json:"links,omitempty"`   // of the host's own namespace, without the loopback
	// Chassis is what ovn-controller is told; nil where it is told nothing.
	Chassis *Chassis `json:"chassis,omitempty"`
	Logical *Logical `json:"logical,omitempty"` // nil without a northbound database
	// Unread says what could not be read, and why.
	Unread []string `json:"unread,omitempty"`
}

// Chassis is a host's part in OVN.
type Chassis struct {
	Name       string            `json:"name,omitempty"` // system-id
	EncapTypes []string          `json:"encap_types,omitempty"`
	EncapIPs   []string          `json:"encap_ips,omitempty"`
	Mappings   map[string]string `json:"mappings,omitempty"` // bridges by physical network
}

// A Bridge is one of Open vSwitch.
type Bridge struct {
	Name     string `json:"name"`
	Datapath string `json:"datapath,omitempty"`  // netdev; empty for the kernel's
	FailMode string `json:"fail_mode,omitempty"` // secure; empty for standalone
	// Spanning is the spanning tree protocol at work: stp, rstp, or empty.
	Spanning    string   `json:"spanning,omitempty"`
	Controllers []string `json:"controllers,omitempty"` // their targets
	Mirrors     []Mirror `json:"mirrors,omitempty"`
	// Wrong is of the bridge's own port.
	Wrong string `json:"wrong,omitempty"`
	// Ports are without the bridge's own.
	Ports []Port `json:"ports,omitempty"`
}

// A Mirror copies packets of a bridge to a port or a VLAN.
type Mirror struct {
	Name string `json:"name"`
	Port string `json:"port,omitempty"`
	VLAN int    `json:"vlan,omitempty"` // where there is no port
}

// A Port is one of a bridge. Its interfaces are two or more in a bond.
type Port struct {
	Name       string      `json:"name"`
	Tag        *int        `json:"tag,omitempty"`
	Trunks     []int       `json:"trunks,omitempty"` // empty for all
	VLANMode   string      `json:"vlan_mode,omitempty"`
	FakeBridge bool        `json:"fake_bridge,omitempty"` // stands for a bridge of its VLAN
	Bond       *Bond       `json:"bond,omitempty"`
	Interfaces []Interface `json:"interfaces"`
}

// A Bond is several links that act as one.
type Bond struct {
	Mode string `json:"mode,omitempty"` // of ovs-vswitchd.conf.db(5), or of the kernel
	LACP string `json:"lacp,omitempty"` // active or passive; empty for off
}

// An Interface is what a port sends through.
type Interface struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // empty for a device of the host
	// Peer is the port at the other end of a patch port.
	Peer string `json:"peer,omitempty"`
	// Remote, Local and Key are of a tunnel: addresses, or "flow", or empty.
	Remote string `json:"remote,omitempty"`
	Local  string `json:"local,omitempty"`
	Key    string `json:"key,omitempty"`
	// Logical is the logical port of OVN that it is bound to (iface-id).
	Logical string `json:"logical,omitempty"`
	// Guest is what the interface leads to, where a playbook says so.
	Guest string `json:"guest,omitempty"`
	// Wrong says what is wrong with it, in the words of Open vSwitch where it
	// has any.
	Wrong string `json:"wrong,omitempty"`
}

// A Link is a network device that the kernel knows.
type Link struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind,omitempty"` // of rtnetlink: bond, bridge, vlan, …; empty for a NIC
	Master    string   `json:"master,omitempty"`
	Lower     string   `json:"lower,omitempty"` // what it stands on
	VLAN      int      `json:"vlan,omitempty"`  // of a VLAN device, where known
	Bond      *Bond    `json:"bond,omitempty"`
	MTU       int      `json:"mtu,omitempty"` // bytes; 0 where not known
	Addresses []string `json:"addresses,omitempty"`
	// State is "down" or "no carrier"; empty where it is up or not known.
	State string `json:"state,omitempty"`
}

// Logical is the logical network in a northbound database.
type Logical struct {
	Switches []Switch `json:"switches,omitempty"`
	Routers  []Router `json:"routers,omitempty"`
}

// A Switch is a logical switch. Names of switches need not be unique: the id
// tells them apart, and tells that two members of a cluster speak of the same.
type Switch struct {
	ID    string       `json:"id,omitempty"`
	Name  string       `json:"name"`
	Ports []SwitchPort `json:"ports,omitempty"`
}

// A SwitchPort is a port of a logical switch.
type SwitchPort struct {
	Name      string   `json:"name"`
	Type      string   `json:"type,omitempty"` // empty for a VIF
	Addresses []string `json:"addresses,omitempty"`
	Tag       *int     `json:"tag,omitempty"`
	Router    string   `json:"router,omitempty"`  // the router port that it leads to
	Network   string   `json:"network,omitempty"` // the physical network of a localnet or l2gateway port
	// Down says that OVN reports it bound to no chassis.
	Down bool `json:"down,omitempty"`
}

// A Router is a logical router.
type Router struct {
	ID    string       `json:"id,omitempty"`
	Name  string       `json:"name"`
	Ports []RouterPort `json:"ports,omitempty"`
}

// A RouterPort is a port of a logical router.
type RouterPort struct {
	Name     string   `json:"name"`
	Networks []string `json:"networks,omitempty"`
	// Chassis are the names of the gateway chassis, by priority.
	Chassis []string `json:"chassis,omitempty"`
}

// Tunnel says whether a type of interface is a tunnel.
func Tunnel(kind string) bool {
	switch kind {
	case "geneve", "vxlan", "gre", "stt", "erspan", "lisp", "gtpu", "bareudp", "srv6", "ip6gre", "ip6erspan":
		return true
	}
	return false
}
