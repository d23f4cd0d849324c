package trace

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// frame is a packet as OpenFlow sees it. What a router or NAT on the way makes of the
// packet of a guest is another one.
type frame struct {
	protocol       string // as ovs-fields(7) calls it: one of protocols
	source, target string // Ethernet addresses
	from, to       netip.Addr
	ttl            int
	details        [2]int // the ports of TCP and UDP, type and code of ICMP
}

var protocols = []string{"icmp", "icmp6", "tcp", "tcp6", "udp", "udp6"}

// openFlow is the frame as ofproto/trace takes it, in the language of
// ovs-fields(7).
func (f frame) openFlow(inport int) string {
	details := []string{"icmp_type", "icmp_code"}
	switch f.protocol {
	case "icmp6":
		details = []string{"icmpv6_type", "icmpv6_code"}
	case "tcp", "tcp6":
		details = []string{"tcp_src", "tcp_dst"}
	case "udp", "udp6":
		details = []string{"udp_src", "udp_dst"}
	}
	from, to := "nw_src", "nw_dst"
	if f.from.Is6() {
		from, to = "ipv6_src", "ipv6_dst"
	}
	return fmt.Sprintf("in_port=%d,%s,dl_src=%s,dl_dst=%s,%s=%s,%s=%s,nw_ttl=%d,%s=%d,%s=%d",
		inport, f.protocol, f.source, f.target, from, f.from, to, f.to, f.ttl, details[0], f.details[0], details[1], f.details[1])
}

// readFrame reads a flow as Open vSwitch prints it, and says whether it is one of
// the protocols, with all that a frame has.
func readFrame(fields string) (frame, bool) {
	var f frame
	whole := true
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if slices.Contains(protocols, name) && value == "" {
			f.protocol = name
			continue
		}
		whole = f.put(name, value) && whole
	}
	if !whole || !f.valid() {
		return frame{}, false
	}
	return f, true
}

// valid says that nothing is missing.
func (f frame) valid() bool {
	return f.protocol != "" && f.source != "" && f.target != "" && f.from.IsValid() && f.to.IsValid() &&
		f.from.Is6() == f.to.Is6() && f.from.Is6() == strings.HasSuffix(f.protocol, "6") && f.ttl > 0
}

// put sets a field, by its name of ovs-fields(7); those that a frame does not have
// are left out. It says whether the value is one of the field.
func (f *frame) put(name, value string) bool {
	value, _, _ = strings.Cut(value, "/") // the mask: what it leaves out stays
	switch name {
	case "dl_src":
		return putMAC(&f.source, value)
	case "dl_dst":
		return putMAC(&f.target, value)
	case "nw_src", "ipv6_src":
		return putAddr(&f.from, value)
	case "nw_dst", "ipv6_dst":
		return putAddr(&f.to, value)
	case "nw_ttl":
		return putNumber(&f.ttl, value, 8)
	case "tp_src", "icmp_type", "icmpv6_type":
		return putNumber(&f.details[0], value, 16)
	case "tp_dst", "icmp_code", "icmpv6_code":
		return putNumber(&f.details[1], value, 16)
	}
	return true
}

func putMAC(to *string, value string) bool {
	mac, err := net.ParseMAC(value)
	if err != nil || len(mac) != 6 {
		return false
	}
	*to = mac.String()
	return true
}

func putAddr(to *netip.Addr, value string) bool {
	ip, err := netip.ParseAddr(value)
	if err != nil || ip.Zone() != "" || ip.Is4In6() {
		return false
	}
	*to = ip
	return true
}

func putNumber(to *int, value string, bits int) bool {
	n, err := strconv.ParseUint(value, 0, bits)
	if err != nil {
		return false
	}
	*to = int(n)
	return true
}
