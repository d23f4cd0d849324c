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

// frame is the packet as the OpenFlow of its guest's chassis meets it.
func (p packet) frame() frame {
	f := frame{protocol: p.protocol, source: p.mac, target: p.nextMAC, from: p.from, to: p.to, ttl: 64, details: [2]int{sourcePort, p.port}}
	if p.protocol == "icmp" {
		f.details = [2]int{8, 0}
	}
	if p.from.Is6() {
		f.protocol += "6"
		if p.protocol == "icmp" {
			f.details = [2]int{128, 0}
		}
	}
	return f
}

// called is the packet in a few words.
func (p packet) called() string {
	if p.protocol == "icmp" {
		return "ICMP echo request"
	}
	return strings.ToUpper(p.protocol) + " to port " + strconv.Itoa(p.port)
}
