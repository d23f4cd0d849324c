package local

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// chosenFlags are the flags of an address that are no state of the kernel's.
const chosenFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// leasedFor is how long an address lives that is put back for a client that will
// prolong it, in seconds.
const leasedFor = 3600

// setSpecial notes what sets an address of a link apart.
func setSpecial(link *host.Link, p netip.Prefix, a netlink.Addr) {
	o := host.AddressOptions{Scope: a.Scope, Flags: a.Flags & chosenFlags, Leased: a.Flags&unix.IFA_F_PERMANENT == 0}
	if p.Addr().IsLoopback() {
		o.Scope, o.Flags = 0, 0 // the kernel's own choice
	}
	if a.Label != link.Name {
		o.Label = a.Label
	}
	if peer, ok := prefixOf(a.Peer); ok && peer.Addr() != p.Addr() {
		o.Peer = peer
	}
	if b, _ := netip.AddrFromSlice(a.Broadcast.To4()); p.Addr().Is4() && !p.Addr().IsLoopback() && b != lastOf(p) {
		o.Broadcast = b
		if !b.IsValid() {
			o.Broadcast = netip.IPv4Unspecified()
		}
	}
	if o == (host.AddressOptions{}) {
		return
	}
	if link.Special == nil {
		link.Special = map[netip.Prefix]host.AddressOptions{}
	}
	link.Special[p] = o
}

// lastOf is the broadcast address that package netlink gives an address: the
// last of its subnet, where that has one (RFC 3021).
func lastOf(p netip.Prefix) netip.Addr {
	if p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	for i := range b {
		b[i] |= ^net.CIDRMask(p.Bits(), 32)[i]
	}
	return netip.AddrFrom4(b)
}

// addressOf is an address in rtnetlink's terms.
func addressOf(p netip.Prefix, o host.AddressOptions) *netlink.Addr {
	a := &netlink.Addr{IPNet: netOf(p), Label: o.Label, Scope: o.Scope, Flags: o.Flags}
	if o.Leased {
		a.ValidLft, a.PreferedLft = leasedFor, leasedFor
	}
	if o.Peer.IsValid() {
		a.Peer = netOf(o.Peer)
	}
	if o.Broadcast.IsValid() {
		a.Broadcast = o.Broadcast.AsSlice()
	}
	return a
}
