package frame

import "net/netip"

// Match says which frames are meant: those that agree in all that is set. The
// zero value means every frame.
type Match struct {
	Source, Destination string // Ethernet addresses, as a Frame spells them
	VLAN                *int   // 0 for frames without a tag; a priority tag is none
	EtherType           uint16

	From, To         netip.Prefix // of IP and of ARP
	Protocol         uint8
	FromPort, ToPort uint16

	VNI   *int   // of a tunnel of any sort
	Inner *Match // of what a tunnel carries
}

// Matches says whether f is meant.
func (m Match) Matches(f Frame) bool {
	return agree(m.Source, f.Source) && agree(m.Destination, f.Destination) &&
		(m.VLAN == nil || *m.VLAN == f.VLAN()) &&
		agree(m.EtherType, f.EtherType) &&
		within(m.From, f.From) && within(m.To, f.To) &&
		agree(m.Protocol, f.Protocol) && agree(m.FromPort, f.FromPort) && agree(m.ToPort, f.ToPort) &&
		(m.VNI == nil || f.Tunnel != "" && *m.VNI == f.VNI) &&
		(m.Inner == nil || f.Inner != nil && m.Inner.Matches(*f.Inner))
}

func agree[T comparable](want, have T) bool {
	var any T
	return want == any || want == have
}

func within(want netip.Prefix, have netip.Addr) bool {
	return !want.IsValid() || have.IsValid() && want.Contains(have)
}
