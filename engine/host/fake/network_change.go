package fake

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"weft/engine/host"
)

func (n *network) addSpace(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("not a name for a network namespace: %w", syscall.EINVAL)
	}
	if n.spaces[name] != nil {
		return syscall.EEXIST
	}
	n.spaces[name] = &space{links: []*device{newLoopback(false)}}
	return nil
}

func (n *network) addVeth(name, peer string) error {
	home := n.spaces[""]
	if home.find(peer) != nil || name == peer {
		return fmt.Errorf("link %q: %w", peer, syscall.EEXIST)
	}
	a := &device{Link: host.Link{Name: name, Kind: "veth", Checksum: true}}
	b := &device{Link: host.Link{Name: peer, Kind: "veth", Checksum: true}}
	if err := n.add(home, a); err != nil {
		return err
	}
	if err := n.add(home, b); err != nil {
		n.remove(a)
		return err
	}
	a.peer, b.peer = b, a
	return nil
}

// set changes a link. As in the kernel, what was done before a refusal stays.
func (n *network) set(namespace, name string, c host.LinkChange) error {
	s, d, err := n.find(namespace, name)
	if err != nil {
		return err
	}
	if c.Namespace != nil && *c.Namespace != namespace {
		if s, err = n.move(s, d, *c.Namespace); err != nil {
			return err
		}
	}
	if c.Name != "" && c.Name != d.Name {
		if err := s.rename(d, c.Name); err != nil {
			return err
		}
	}
	if err := s.unroute(d, c.RemoveRoutes); err != nil {
		return err
	}
	if c.Master != nil {
		if err := s.setMaster(d, *c.Master); err != nil {
			return err
		}
	}
	if err := s.set(d, c); err != nil {
		return err
	}
	if err := s.release(c.Release); err != nil {
		return err
	}
	if err := s.address(d, c); err != nil {
		return err
	}
	if c.Up != nil {
		if err := s.setUp(d, *c.Up); err != nil {
			return err
		}
	}
	if err := s.route(d, c.AddRoutes); err != nil {
		return err
	}
	if d.Up {
		n.announced = append(n.announced, c.Announce...)
	}
	return nil
}

// set changes what a device has by itself.
func (s *space) set(d *device, c host.LinkChange) error {
	if c.MAC != "" {
		mac, err := net.ParseMAC(c.MAC)
		if err != nil || len(mac) != 6 || mac[0]&1 == 1 {
			return fmt.Errorf("MAC %q: %w", c.MAC, syscall.EADDRNOTAVAIL)
		}
		d.ownMAC = true
		s.setMAC(d, mac.String())
	}
	if c.MTU != 0 {
		if c.MTU < 68 || c.MTU > 65535 {
			return fmt.Errorf("MTU %d: %w", c.MTU, syscall.EINVAL)
		}
		if lower := s.find(d.Lower); d.Kind == "vlan" && lower != nil && c.MTU > lower.MTU {
			return fmt.Errorf("MTU %d: %w", c.MTU, syscall.ERANGE)
		}
		d.ownMTU = true
		s.setMTU(d, c.MTU)
	}
	if len(c.Options) > 0 {
		if err := s.setOptions(d, c.Options); err != nil {
			return err
		}
	}
	if c.Checksum != nil {
		if d.Kind != "veth" {
			return fmt.Errorf("checksum offload of %q, which is no veth: %w", d.Name, syscall.EOPNOTSUPP)
		}
		d.Checksum = *c.Checksum
	}
	return nil
}

// release takes from another link what it gives up.
func (s *space) release(r *host.Release) error {
	if r == nil {
		return nil
	}
	d := s.find(r.Link)
	if d == nil {
		return fmt.Errorf("release of link %q: %w", r.Link, fs.ErrNotExist)
	}
	err := s.unroute(d, r.Routes)
	if err == nil {
		err = s.unaddress(d, r.Addresses)
	}
	if err != nil {
		return fmt.Errorf("release of link %s: %w", r.Link, err)
	}
	return nil
}

// setUp takes a link up or down, and with it the VLANs that stand on it. Going
// down, it loses its routes and its IPv6 addresses (keep_addr_on_down of the
// kernel's ip-sysctl, which is 0).
func (s *space) setUp(d *device, up bool) error {
	lower := s.find(d.Lower)
	if up && d.Kind == "vlan" && lower != nil && !lower.Up && d.Options["loose_binding"] != "1" {
		return fmt.Errorf("up true: %w", syscall.ENETDOWN)
	}
	if d.Up != up {
		for _, v := range s.links {
			if v.Kind == "vlan" && v.Lower == d.Name && v.Options["loose_binding"] != "1" {
				d.Up = up
				if err := s.setUp(v, up); err != nil {
					return err
				}
			}
		}
	}
	d.Up = up
	if up && d.Name == "lo" {
		d.addLoopback()
	}
	if !up {
		s.dropRoutes(d.Name)
		d.Addresses = slices.DeleteFunc(d.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })
	}
	return nil
}

// move takes a link to another namespace, where it arrives down and bare.
func (n *network) move(from *space, d *device, namespace string) (*space, error) {
	to, err := n.space(namespace)
	if err != nil {
		return nil, err
	}
	if to.find(d.Name) != nil {
		return nil, fmt.Errorf("link %q in %q: %w", d.Name, namespace, syscall.EEXIST)
	}
	from.leave(d)
	from.links = slices.DeleteFunc(from.links, func(o *device) bool { return o == d })
	from.dropRoutes(d.Name)
	d.Up, d.Master, d.Addresses = false, "", nil
	return to, n.add(to, d)
}

func (s *space) rename(d *device, name string) error {
	if len(name) > 15 {
		return fmt.Errorf("link %q: a name has 1 to 15 characters: %w", name, syscall.EINVAL)
	}
	if s.find(name) != nil {
		return fmt.Errorf("link %q: %w", name, syscall.EEXIST)
	}
	for i := range s.routes {
		if s.routes[i].Link == d.Name {
			s.routes[i].Link = name
		}
	}
	for _, other := range s.links {
		if other.Master == d.Name {
			other.Master = name
		}
		if other.Lower == d.Name {
			other.Lower = name
		}
	}
	d.Name = name
	return nil
}

func (s *space) address(d *device, c host.LinkChange) error {
	if err := s.unaddress(d, c.RemoveAddresses); err != nil {
		return err
	}
	for _, a := range c.AddAddresses {
		if slices.Contains(d.Addresses, a) {
			return fmt.Errorf("add address %s: %w", a, syscall.EEXIST)
		}
		d.Addresses = append(d.Addresses, a)
		if o := c.Special[a]; o != (host.AddressOptions{}) {
			if d.Special == nil {
				d.Special = map[netip.Prefix]host.AddressOptions{}
			}
			d.Special[a] = o
		}
	}
	return nil
}

// unaddress takes addresses from a link. As in a kernel without
// promote_secondaries (its ip-sysctl), a primary takes the others of its subnet
// along; the last IPv4 address takes the IPv4 routes.
func (s *space) unaddress(d *device, remove []netip.Prefix) error {
	for _, a := range remove {
		i := slices.Index(d.Addresses, a)
		if i < 0 {
			return fmt.Errorf("remove address %s: %w", a, syscall.EADDRNOTAVAIL)
		}
		sameSubnet := func(o netip.Prefix) bool { return a.Addr().Is4() && o.Masked() == a.Masked() }
		primary := !slices.ContainsFunc(d.Addresses[:i], sameSubnet)
		d.Addresses = slices.DeleteFunc(d.Addresses, func(o netip.Prefix) bool { return o == a || primary && sameSubnet(o) })
	}
	for a := range d.Special {
		if !slices.Contains(d.Addresses, a) {
			delete(d.Special, a)
		}
	}
	four := slices.ContainsFunc(d.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() })
	s.routes = slices.DeleteFunc(s.routes, func(r host.Route) bool {
		lost := r.Source.IsValid() && slices.ContainsFunc(remove, func(a netip.Prefix) bool { return a.Addr() == r.Source })
		return r.Link == d.Name && (lost || len(remove) > 0 && !four && r.Destination.Addr().Is4())
	})
	return nil
}

func (s *space) unroute(d *device, remove []host.Route) error {
	for _, r := range remove {
		r = complete(r, d)
		i := slices.Index(s.routes, r)
		if i < 0 {
			return fmt.Errorf("remove route %s: %w", r.Destination, syscall.ESRCH)
		}
		s.routes = slices.Delete(s.routes, i, i+1)
	}
	return nil
}

func (s *space) route(d *device, add []host.Route) error {
	for _, r := range add {
		r = complete(r, d)
		same := func(o host.Route) bool { return o.Destination == r.Destination && o.Metric == r.Metric }
		switch {
		case !d.Up:
			return fmt.Errorf("add route %s: %w", r.Destination, syscall.ENETDOWN)
		case slices.ContainsFunc(append(s.connected(), s.routes...), same):
			return fmt.Errorf("add route %s: %w", r.Destination, syscall.EEXIST)
		case r.Via.IsValid() && !r.OnLink && !s.onLink(d, r.Via):
			return fmt.Errorf("add route %s via %s: %w", r.Destination, r.Via, syscall.ENETUNREACH)
		}
		s.routes = append(s.routes, r)
	}
	return nil
}

// complete fills in what the kernel chooses.
func complete(r host.Route, d *device) host.Route {
	r.Link = d.Name
	r.Destination = r.Destination.Masked()
	if r.Metric == 0 && r.Destination.Addr().Is6() {
		r.Metric = 1024
	}
	return r
}

// onLink says whether a gateway is reached without another gateway.
func (s *space) onLink(d *device, gateway netip.Addr) bool {
	for _, r := range append(s.connected(), s.routes...) {
		if r.Link == d.Name && !r.Via.IsValid() && r.Destination.Contains(gateway) {
			return true
		}
	}
	return false
}
