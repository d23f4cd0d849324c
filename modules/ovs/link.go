package ovs

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// deviceSpec is what a bridge's own port and an internal port have in common:
// a network device of the host. ActualMTU and ActualMAC are those of the
// device, where the database's are managed: Open vSwitch leaves a device as it
// is when another hand changes it, or when it is no longer told.
type deviceSpec struct {
	MTU       step.Attr[int]
	MAC       step.Attr[string]
	ActualMTU int
	ActualMAC string
	Up        step.Attr[bool]
	Addresses []string
}

// mtu is what the device should have; 0 where that is open.
func (want deviceSpec) mtu() int {
	if want.ActualMTU != 0 {
		return want.ActualMTU
	}
	return want.MTU.Or(0)
}

// mac is what the device should have; "" where that is open.
func (want deviceSpec) mac() string {
	if want.ActualMAC != "" {
		return want.ActualMAC
	}
	return want.MAC.Or("")
}

// deltas compares devices whose columns are compared elsewhere. The paths are
// those of the fields that hold ActualMTU and ActualMAC.
func (want deviceSpec) deltas(have deviceSpec, mtuPath, macPath string) []step.Delta {
	var deltas []step.Delta
	recorded := want.ActualMTU != 0 || have.MTU == want.MTU // else the column says it already
	_, asked := want.MTU.Get()                              // else Open vSwitch chooses, and chooses again
	if n := want.mtu(); asked && recorded && have.ActualMTU != 0 && n != have.ActualMTU {
		deltas = append(deltas, step.Change(mtuPath, have.ActualMTU, n))
	}
	recorded = want.ActualMAC != "" || sameMAC(have.MAC.Or(""), want.MAC.Or(""))
	if mac := want.mac(); recorded && have.ActualMAC != "" && mac != "" && !sameMAC(mac, have.ActualMAC) {
		deltas = append(deltas, step.Change(macPath, have.ActualMAC, mac))
	}
	return deltas
}

// device is a network device as it was found: what Open vSwitch does not keep
// in its database, and what a device that is made anew has lost. A zero field
// is not known.
type device struct {
	Up        step.Attr[bool] `json:"up,omitzero"`
	MTU       int             `json:"mtu,omitzero"`
	MAC       string          `json:"mac,omitzero"`
	Addresses []string        `json:"addresses,omitzero"`
	Routes    []host.Route    `json:"routes,omitzero"` // by a gateway

	Under  bool   `json:"-"` // another device stands on it
	Master string `json:"-"` // the bridge or bond of Linux that it belongs to, or the kernel's datapath
}

// devices are the links of the host's own namespace by name.
func devices(ctx context.Context, v host.View) (map[string]device, error) {
	links, err := v.Links.List(ctx, "")
	if err != nil {
		return nil, err
	}
	routes, err := v.Links.Routes(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make(map[string]device, len(links))
	for _, l := range links {
		d := device{Up: step.Is(l.Up), MTU: l.MTU, MAC: l.MAC, Addresses: []string{}, Master: l.Master}
		d.Under = slices.ContainsFunc(links, func(o host.Link) bool { return o.Lower == l.Name })
		for _, a := range l.Addresses {
			d.Addresses = append(d.Addresses, a.String())
		}
		slices.Sort(d.Addresses)
		for _, r := range routes {
			if r.Link == l.Name && r.Via.IsValid() {
				d.Routes = append(d.Routes, r)
			}
		}
		out[l.Name] = d
	}
	return out, nil
}

// has says whether a device has all that was found. What came to it since is
// another hand's, and its MTU is Open vSwitch's where nobody asks for one.
func (d device) has(found device) bool {
	return (!found.Up.Or(false) || d.Up.Or(false)) && (found.MAC == "" || d.MAC == found.MAC) &&
		!slices.ContainsFunc(found.Addresses, func(a string) bool { return !slices.Contains(d.Addresses, a) }) &&
		!slices.ContainsFunc(found.Routes, func(r host.Route) bool { return !slices.Contains(d.Routes, r) })
}

// read answers the attributes of a device that the database does not hold.
func (want deviceSpec) read(columns deviceSpec, d device) deviceSpec {
	have := deviceSpec{MTU: columns.MTU, MAC: columns.MAC}
	if want.MTU.Managed() {
		have.ActualMTU = d.MTU
	}
	if want.MAC.Managed() {
		have.ActualMAC = d.MAC
	}
	if want.Up.Managed() {
		have.Up = step.Is(d.Up.Or(false)) // a device that is not there is not up
		if want.Up.Absent() && !d.Up.Or(false) {
			have.Up = step.None[bool]()
		}
	}
	if want.Addresses != nil {
		have.Addresses = append([]string{}, d.Addresses...)
	}
	return have
}

// canonical spells addresses as the kernel does.
func canonical(addresses []string) []string {
	if addresses == nil {
		return nil
	}
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a
		if p, err := netip.ParsePrefix(a); err == nil {
			out[i] = p.String()
		}
	}
	slices.Sort(out)
	return out
}

// change is what makes a device of now what want says: nil where nothing is
// left to do. Found, where not nil, is the device as undo wants it back: it
// fills in what want leaves open.
func (want deviceSpec) change(now device, found *device) *host.LinkChange {
	var c host.LinkChange
	mtu, mac, up, addresses := want.mtu(), want.mac(), want.Up, want.Addresses
	if found != nil {
		if mtu == 0 {
			mtu = found.MTU
		}
		if mac == "" {
			mac = found.MAC
		}
		if !up.Managed() && found.Up.Or(false) {
			up = found.Up
		}
		if addresses == nil {
			addresses = append(slices.Clone(found.Addresses), now.Addresses...)
		}
	}
	if mtu != 0 && mtu != now.MTU {
		c.MTU = mtu
	}
	if mac != "" && !sameMAC(mac, now.MAC) {
		c.MAC = strings.ReplaceAll(strings.ToLower(mac), "-", ":")
	}
	if up.Managed() && up.Or(false) != now.Up.Or(false) {
		state := up.Or(false)
		c.Up = &state
	}
	if addresses != nil {
		c.AddAddresses, c.RemoveAddresses = addressChanges(now.Addresses, canonical(addresses))
	}
	if found != nil {
		for _, r := range found.Routes {
			if !slices.Contains(now.Routes, r) {
				c.AddRoutes = append(c.AddRoutes, r)
			}
		}
	}
	if c.MTU == 0 && c.MAC == "" && c.Up == nil && len(c.AddAddresses)+len(c.RemoveAddresses)+len(c.AddRoutes) == 0 {
		return nil
	}
	return &c
}

func addressChanges(now, want []string) (add, remove []netip.Prefix) {
	for _, a := range slices.Compact(slices.Sorted(slices.Values(want))) {
		if p, err := netip.ParsePrefix(a); err == nil && !slices.Contains(now, a) {
			add = append(add, p)
		}
	}
	for _, a := range now {
		if p, err := netip.ParsePrefix(a); err == nil && !slices.Contains(want, a) {
			remove = append(remove, p)
		}
	}
	return add, remove
}

// set brings a device of the host's own namespace to what want says. A device
// that is not there (it lives in another namespace) is left.
func (want deviceSpec) set(ctx context.Context, h host.Host, name string, found *device) error {
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	now, there := all[name]
	if !there {
		return nil
	}
	if c := want.change(now, found); c != nil {
		return h.Links.Set(ctx, "", name, *c)
	}
	return nil
}
