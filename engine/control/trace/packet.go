package trace

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// sourcePort is that of the UDP or TCP packet that is traced, of those that
// guests choose for themselves.
const sourcePort = 49152

// packet is the one whose way is looked for, as it leaves its guest.
type packet struct {
	from, to     netip.Addr
	mac, nextMAC string // the guest's, and that of the guest or router next to it
	protocol     string // icmp, udp or tcp
	port         int    // the destination's, of udp and tcp
}

// logical is the microflow of ovn-trace(8), in the language of ovn-sb(5).
func (p packet) logical(inport string) string {
	ip, echo := "ip4", "icmp4.type == 8"
	if p.from.Is6() {
		ip, echo = "ip6", "icmp6.type == 128"
	}
	parts := []string{
		"inport == " + strconv.Quote(inport), "eth.src == " + p.mac, "eth.dst == " + p.nextMAC,
		ip + ".src == " + p.from.String(), ip + ".dst == " + p.to.String(), "ip.ttl == 64",
	}
	if p.protocol == "icmp" {
		parts = append(parts, echo)
	} else {
		parts = append(parts, fmt.Sprintf("%s.src == %d", p.protocol, sourcePort), fmt.Sprintf("%s.dst == %d", p.protocol, p.port))
	}
	return strings.Join(parts, " && ")
}

// openFlow is the flow of ofproto/trace, in the language of ovs-fields(7).
func (p packet) openFlow(inport int) string {
	family, source, destination, echo := "", "nw_src", "nw_dst", "icmp_type=8,icmp_code=0"
	if p.from.Is6() {
		family, source, destination, echo = "6", "ipv6_src", "ipv6_dst", "icmpv6_type=128,icmpv6_code=0"
	}
	last := echo
	if p.protocol != "icmp" {
		last = fmt.Sprintf("tp_src=%d,tp_dst=%d", sourcePort, p.port)
	}
	return fmt.Sprintf("in_port=%d,%s%s,dl_src=%s,dl_dst=%s,%s=%s,%s=%s,nw_ttl=64,%s",
		inport, p.protocol, family, p.mac, p.nextMAC, source, p.from, destination, p.to, last)
}

// called is the packet in a few words.
func (p packet) called() string {
	if p.protocol == "icmp" {
		return "ICMP echo request"
	}
	return strings.ToUpper(p.protocol) + " to port " + strconv.Itoa(p.port)
}
