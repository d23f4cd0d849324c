package fake

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"weft/engine/host"
)

// network is the namespaces of the machine by name; "" is the host's own.
type network struct {
	spaces    map[string]*space
	index     int // the last link's
	announced []netip.Addr
	without   []string // kinds of links that the kernel does not have
}

// space is one network namespace.
type space struct {
	links  []*device
	routes []host.Route // beyond those that come of addresses
}

// device is a link. A veth's peer may be in any space.
type device struct {
	host.Link
	peer   *device
	ownMAC bool // a hand chose it: of a bond, a bridge or a VLAN, whose MAC is else another's
	ownMTU bool // a hand chose it, of a bridge
	former struct {
		mac string
		mtu int
	} // of a bond's member: what it gets back
}

func newNetwork() network {
	return network{spaces: map[string]*space{"": {links: []*device{newLoopback(true)}}}, index: 1}
}

func newLoopback(up bool) *device {
	lo := &device{Link: host.Link{Name: "lo", MAC: "00:00:00:00:00:00", MTU: 65536, Up: up, Index: 1}}
	if up {
		lo.addLoopback()
	}
	return lo
}

// addLoopback gives a loopback that comes up the addresses that the kernel
// gives it by itself.
func (d *device) addLoopback() {
	for _, a := range []string{"127.0.0.1/8", "::1/128"} {
		if p := netip.MustParsePrefix(a); !slices.Contains(d.Addresses, p) {
			d.Addresses = append(d.Addresses, p)
		}
	}
}

func (n network) clone() network {
	copies := map[*device]*device{}
	c := network{spaces: map[string]*space{}, index: n.index, announced: slices.Clone(n.announced), without: slices.Clone(n.without)}
	for name, s := range n.spaces {
		d := &space{routes: slices.Clone(s.routes)}
		for _, l := range s.links {
			copied := *l
			copied.Addresses, copied.Special, copied.Options = slices.Clone(l.Addresses), maps.Clone(l.Special), maps.Clone(l.Options)
			copies[l] = &copied
			d.links = append(d.links, &copied)
		}
		c.spaces[name] = d
	}
	for _, l := range copies {
		if l.peer != nil {
			l.peer = copies[l.peer]
		}
	}
	return c
}

func noNamespace(name string) error {
	return fmt.Errorf("network namespace %q: %w", name, fs.ErrNotExist)
}

func (n *network) space(name string) (*space, error) {
	s := n.spaces[name]
	if s == nil {
		return nil, noNamespace(name)
	}
	return s, nil
}

func (n *network) find(namespace, name string) (*space, *device, error) {
	s, err := n.space(namespace)
	if err != nil {
		return nil, nil, err
	}
	if d := s.find(name); d != nil {
		return s, d, nil
	}
	return nil, nil, fmt.Errorf("link %q: %w", name, fs.ErrNotExist)
}

func (s *space) find(name string) *device {
	for _, d := range s.links {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// add puts a link into a space. Links are kept by index.
func (n *network) add(s *space, d *device) error {
	switch {
	case d.Name == "" || len(d.Name) > 15 || d.Name == "." || d.Name == "..":
		return fmt.Errorf("link %q: a name has 1 to 15 characters: %w", d.Name, syscall.EINVAL)
	case s.find(d.Name) != nil:
		return fmt.Errorf("link %q: %w", d.Name, syscall.EEXIST)
	}
	if d.Index == 0 {
		n.index++
		d.Index = n.index
	}
	if d.MTU == 0 {
		d.MTU = 1500
	}
	if d.MAC == "" {
		d.MAC = fmt.Sprintf("0a:00:00:00:%02x:%02x", d.Index>>8&0xff, d.Index&0xff)
	}
	s.links = append(s.links, d)
	slices.SortFunc(s.links, func(a, b *device) int { return cmp.Compare(a.Index, b.Index) })
	return nil
}

// remove takes a link away, with its routes, what stands on it, and the other end
// of a veth.
func (n *network) remove(gone *device) {
	for _, s := range n.spaces {
		if !slices.Contains(s.links, gone) {
			continue
		}
		s.leave(gone)
		for _, d := range s.members(gone) {
			s.leave(d)
		}
		s.links = slices.DeleteFunc(s.links, func(d *device) bool { return d == gone })
		s.dropRoutes(gone.Name)
		for _, d := range slices.Clone(s.links) {
			if d.Lower == gone.Name {
				n.remove(d)
			}
		}
	}
	if peer := gone.peer; peer != nil {
		gone.peer, peer.peer = nil, nil
		n.remove(peer)
	}
}

func (s *space) dropRoutes(link string) {
	s.routes = slices.DeleteFunc(s.routes, func(r host.Route) bool { return r.Link == link })
}

// removeSpace takes a namespace away. Virtual links die with it, others come
// home to the host's own (network_namespaces(7)).
func (n *network) removeSpace(name string) {
	s := n.spaces[name]
	delete(n.spaces, name)
	for _, d := range slices.Clone(s.links) {
		switch {
		case d.Kind == "" && d.Name != "lo":
			d.Up, d.Master, d.Addresses = false, "", nil
			_ = n.add(n.spaces[""], d) // one of that name there already: the kernel renames it, we lose it
		case d.peer != nil:
			peer := d.peer
			d.peer, peer.peer = nil, nil
			n.remove(peer)
		}
	}
}

// view is the link as another process reads it.
func (d *device) view() host.Link {
	l := d.Link
	l.Addresses, l.Special, l.Options = slices.Clone(d.Addresses), maps.Clone(d.Special), d.shownOptions()
	l.Carrier = d.Up
	if d.peer != nil {
		l.Peer = d.peer.Index
		l.Carrier = d.Up && d.peer.Up
	}
	return l
}

// connected are the routes that the kernel makes of the addresses of links
// that are up.
func (s *space) connected() []host.Route {
	var routes []host.Route
	for _, d := range s.links {
		for _, a := range d.Addresses {
			if d.Up && !a.IsSingleIP() && !a.Addr().IsLoopback() {
				routes = append(routes, host.Route{Destination: a.Masked(), Link: d.Name, Metric: metric(a)})
			}
		}
	}
	return routes
}

// metric is what the kernel gives a route without one.
func metric(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 256
	}
	return 0
}

func (n network) names() []string {
	names := slices.Sorted(maps.Keys(n.spaces))
	return names[1:] // "" sorts first, and is the host's own
}
