package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// NetAddressSpec is the attributes of a net_address.
type NetAddressSpec struct {
	Name      string            `json:"name,omitzero" weft:"label" doc:"Name of the device. It must be there; it is brought up where it has addresses."`
	Addresses []string          `json:"addresses,omitzero" weft:"whole" doc:"All its addresses with prefix lengths, IPv4 and IPv6: \"192.0.2.5/24\". Of one IPv4 subnet the first is the primary; else the order means nothing. Addresses that routers advertise are no part of it."`
	Routes    []NetRoute        `json:"routes,omitzero" weft:"set" doc:"All its routes in the main table, but for those that come of addresses or of routers' advertisements."`
	Gateway   step.Attr[string] `json:"gateway,omitzero" doc:"Short for one more of the routes: to default by this gateway."`
	DHCP      step.Attr[bool]   `json:"dhcp,omitzero" doc:"Whether a DHCP client (isc-dhcp-client) has an IPv4 address for the device, beside the addresses named. With from, the client of that device ends, and this one asks for the same address by the same client identifier."`
	MTU       step.Attr[int]    `json:"mtu,omitzero" doc:"MTU of the device, bytes."`
	From      string            `json:"from,omitzero" doc:"Device that loses all its addresses and routes in the same moment. Where addresses or routes are left out, this device gets those of that one."`
	Persist   step.Attr[bool]   `json:"persist,omitzero" doc:"Whether the device gets the same at boot, and nothing else: what other files give it, or give the device it was taken from, is put out of force."`
	PersistBy string            `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What gives it at boot. Left out, it is what configures the device now."`

	Up step.Attr[bool] `json:"up,omitzero" weft:"found"`
	// Held is what the device that is named by From has.
	Held *device `json:"from.holds,omitzero" weft:"found"`
	// Kernel is the device as it was found, for what the attributes do not say.
	Kernel *device `json:"kernel,omitzero" weft:"found"`
	// Flushed says that the change may take routes along that nobody manages.
	Flushed bool `json:"flushed,omitzero" weft:"found"`
	// Kept are the files that give the device the same at boot: what Persist means.
	Kept *netconf.State `json:"persist.files,omitzero" weft:"found"`
	// Daemon is the one that configures the device, as the files say, and
	// FromDaemon that of the device named by From.
	Daemon     string   `json:"daemon,omitzero" weft:"found"`
	FromDaemon string   `json:"from.daemon,omitzero" weft:"found"`
	Also       []string `json:"also,omitzero" weft:"found"` // warnings
}

// NetRoute is a route of a device.
type NetRoute struct {
	To     string `json:"to" weft:"required" doc:"Network with its prefix length, or default."`
	Via    string `json:"via,omitzero" doc:"Address of the gateway. Without one the network is on the link."`
	Metric int    `json:"metric,omitzero" doc:"Of two routes to one network the one with the lesser metric wins. Left out, the kernel's own: 0, or 1024 for IPv6."`
	Source string `json:"source,omitzero" doc:"Address of the host that its own packets bear."`
	OnLink bool   `json:"onlink,omitzero" doc:"Whether the gateway is on the link though no address of the device says so."`
}

func netAddressKind() step.Kind {
	return step.Kind{
		Name:    "net_address",
		Summary: "Addresses and routes of a network device, taken from another where they move.",
		Doc: `Addresses and routes are managed as a whole: what is not named goes. After an address came onto the device, its neighbours are
told by an ARP announcement (RFC 5227) or an unsolicited neighbour advertisement (RFC 4861), so that they and the switches between
learn its new place.

With ` + "`from`" + ` the addresses and routes move from another device in one go, and undo moves them back: this is how a management NIC
goes into a bridge. Put the steps in this order, behind a guard: ` + "`ovs_bridge`" + ` with the NIC's own address as ` + "`hwaddr`" + `,
` + "`ovs_port`" + ` of the NIC, ` + "`net_address`" + ` of the bridge.

` + keepDoc + `What other files of interfaces(5) or of netplan say is put out of force, as comments that begin with ` + "`#weft`" + `: addresses and
routes of this device and of the one in ` + "`from`" + `, and commands that set them. All other lines stay. Stanzas of ` + "`inet6 auto`" + ` stay. Of
NetworkManager and network-scripts the servers of DNS move with the addresses.

With ` + "`dhcp`" + ` and ` + "`from`" + ` the lease moves. The client identifier is made of the lease file, which is taken along, and of the
Ethernet address: give the bridge that of the NIC, else the server takes it for another client. A default route that the client set
is the client's, and no part of ` + "`routes`" + `.

A change is refused where a DHCP client gave one of the devices an address and ` + "`dhcp`" + ` is left out.`,
		Spec: NetAddressSpec{},
		Example: `step "net_address" "br-mgmt" {
  from    = "eth0"
  persist = true
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[NetAddressSpec](u)
			if err != nil {
				return nil, err
			}
			return addressStep{want.complete()}, nil
		},
	}
}

// complete spells what was given in one way, and fills in what follows.
func (s NetAddressSpec) complete() NetAddressSpec {
	if s.Addresses != nil {
		s.Addresses = inOrder(parsed(s.Addresses))
	}
	if via, ok := s.Gateway.Get(); ok {
		s.Routes = append(slices.Clone(s.Routes), NetRoute{To: "default", Via: via})
	}
	if s.Routes != nil {
		routes := []NetRoute{}
		for _, r := range s.Routes {
			if k, err := r.route(s.Name); err == nil {
				routes = append(routes, spell(k))
			}
		}
		s.Routes = slices.Compact(sortedRoutes(routes))
	}
	if len(s.Addresses)+len(s.Routes) > 0 || s.DHCP.Or(false) {
		s.Up = step.Is(true)
	}
	if s.From != "" {
		s.Held = &device{}
	}
	s.Kept = goal(s.Persist)
	return s
}

func (s NetAddressSpec) keeping() keeping { return keeping{s.Persist, s.PersistBy, s.Kept} }

// part is what is kept of the addresses.
func (s NetAddressSpec) part(own, from host.Link) netconf.Part {
	p := netconf.Addresses{Device: s.Name, Kind: own.Kind, Addresses: parsed(s.Addresses), DHCP: s.DHCP.Or(false), MTU: s.MTU.Or(0), From: s.From, FromKind: from.Kind}
	if s.Routes == nil {
		return p
	}
	p.Routes = []host.Route{}
	for _, r := range onLinkFirst(s.Routes) {
		if k, err := r.route(s.Name); err == nil { // Validate refused others
			p.Routes = append(p.Routes, k)
		}
	}
	return p
}

func sortedRoutes(routes []NetRoute) []NetRoute {
	slices.SortFunc(routes, func(a, b NetRoute) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Via, b.Via), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Source, b.Source))
	})
	return routes
}

// route is what the kernel makes of r.
func (r NetRoute) route(link string) (host.Route, error) {
	out := host.Route{Link: link, Metric: r.Metric, OnLink: r.OnLink}
	var err error
	if r.Via != "" {
		if out.Via, err = netip.ParseAddr(r.Via); err != nil || out.Via.Zone() != "" {
			return out, fmt.Errorf("%q is not an IP address", r.Via)
		}
	}
	if r.Source != "" {
		if out.Source, err = netip.ParseAddr(r.Source); err != nil || out.Source.Zone() != "" {
			return out, fmt.Errorf("%q is not an IP address", r.Source)
		}
	}
	switch {
	case r.To == "default" && (out.Via.Is6() || out.Source.Is6()):
		out.Destination = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	case r.To == "default":
		out.Destination = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	default:
		if out.Destination, err = netip.ParsePrefix(r.To); err != nil {
			return out, fmt.Errorf("%q is neither a network with its prefix length nor default", r.To)
		}
		out.Destination = out.Destination.Masked()
	}
	four := out.Destination.Addr().Is4()
	if out.Via.IsValid() && out.Via.Is4() != four || out.Source.IsValid() && out.Source.Is4() != four {
		return out, fmt.Errorf("network, gateway and source are of different IP versions")
	}
	if !four && out.Metric == 0 {
		out.Metric = 1024
	}
	return out, nil
}

// spell is a route as a playbook has it.
func spell(r host.Route) NetRoute {
	out := NetRoute{To: r.Destination.String(), Metric: r.Metric, OnLink: r.OnLink}
	if !r.Destination.Addr().Is4() && r.Metric == 1024 {
		out.Metric = 0
	}
	if r.Via.IsValid() {
		out.Via = r.Via.String()
	}
	if r.Source.IsValid() {
		out.Source = r.Source.String()
	}
	if r.Destination.Bits() == 0 && (r.Destination.Addr().Is4() || r.Via.IsValid() || r.Source.IsValid()) {
		out.To = "default"
	}
	return out
}

// Validate finds what cannot be.
func (s *NetAddressSpec) Validate() []step.Problem {
	problems := keepProblems(s.Persist, s.PersistBy)
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if !linkName.MatchString(s.Name) {
		bad("name", fmt.Sprintf("%q is no name for a link", s.Name), nameHint)
	}
	if s.From != "" && !linkName.MatchString(s.From) {
		bad("from", fmt.Sprintf("%q is no name for a link", s.From), nameHint)
	}
	if s.From != "" && s.From == s.Name {
		bad("from", "is the device itself", "name the device that has the addresses now")
	}
	for _, a := range s.Addresses {
		if p, err := netip.ParsePrefix(a); err != nil || p.Addr().Zone() != "" {
			bad("addresses", fmt.Sprintf("%q is not an IP address with its prefix length", a), `write "192.0.2.5/24"`)
		} else if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			bad("addresses", fmt.Sprintf("%s is a link-local address, which the kernel gives each device", a), "leave it out")
		}
	}
	if mtu, ok := s.MTU.Get(); ok && (mtu < 68 || mtu > 65535) {
		bad("mtu", fmt.Sprintf("%d is not from 68 to 65535", mtu), "")
	}
	if s.MTU.Absent() {
		bad("mtu", "cannot be absent", "leave it out")
	}
	if via, ok := s.Gateway.Get(); ok {
		if _, err := (NetRoute{To: "default", Via: via}).route(s.Name); err != nil {
			bad("gateway", err.Error(), "")
		}
	} else if s.Gateway.Absent() {
		bad("gateway", "cannot be absent", "say routes = [] for no routes")
	}
	problems = append(problems, s.routeProblems()...)
	if s.DHCP.Absent() {
		bad("dhcp", "cannot be absent", "say dhcp = false for no client")
	}
	if s.Persist.Or(false) && s.Addresses == nil && s.From == "" && !s.DHCP.Managed() {
		bad("persist", "keeps nothing, since addresses are left out", "name the addresses, or none by addresses = []")
	}
	return problems
}

func (s *NetAddressSpec) routeProblems() []step.Problem {
	var problems []step.Problem
	for _, r := range s.Routes {
		if _, err := r.route(s.Name); err != nil {
			problems = append(problems, step.Problem{Path: "routes", Message: err.Error(), Hint: `write { to = "198.51.100.0/24", via = "192.0.2.1" }`})
		} else if r.OnLink && r.Via == "" {
			problems = append(problems, step.Problem{Path: "routes", Message: "onlink says something of a gateway, and there is none", Hint: "without via the network is on the link"})
		} else if r.Metric < 0 {
			problems = append(problems, step.Problem{Path: "routes", Message: fmt.Sprintf("%d is no metric", r.Metric)})
		}
	}
	return problems
}

// onLinkFirst puts routes without a gateway before those that may need them.
func onLinkFirst(routes []NetRoute) []NetRoute {
	sorted := slices.Clone(routes)
	slices.SortStableFunc(sorted, func(a, b NetRoute) int {
		return cmp.Compare(min(len(a.Via), 1), min(len(b.Via), 1))
	})
	return sorted
}
