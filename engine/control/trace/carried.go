package trace

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// carried is a frame in a tunnel, and what the tunnel says of it.
type carried struct {
	frame  frame // not valid where it cannot be read
	source netip.Addr
	remote netip.Addr
	key    uint64 // the VNI of geneve and VXLAN: of the logical datapath
	// ports are the logical ports that it came in by and goes out of, as OVN puts
	// them into a geneve option (ovn-architecture(7), Tunnel Encapsulations). VXLAN
	// has no room for them.
	ports    uint32
	hasPorts bool
	// outer are the Ethernet addresses around it, where Open vSwitch makes the
	// tunnel's packets itself; and tag the VLAN that they leave in, 0 for none.
	outerSource, outerTarget string
	tag                      int
}

// openFlow is what comes out of the other end of the tunnel, as ofproto/trace takes
// it there.
func (c carried) openFlow(inport int) string {
	flow := c.frame.openFlow(inport) + fmt.Sprintf(",tun_id=%#x", c.key)
	if c.hasPorts {
		flow += fmt.Sprintf(",tun_metadata0=%#x", c.ports)
	}
	source, remote := "tun_src", "tun_dst"
	if c.remote.Is6() {
		source, remote = "tun_ipv6_src", "tun_ipv6_dst"
	}
	if c.source.IsValid() {
		flow += "," + source + "=" + c.source.String()
	}
	return flow + "," + remote + "=" + c.remote.String()
}

// called is what the tunnel says, in a few words.
func (c carried) called() string {
	if !c.hasPorts {
		return fmt.Sprintf("key %#x", c.key)
	}
	return fmt.Sprintf("key %#x, from port %d to %d", c.key, c.ports>>16&0x7fff, c.ports&0xffff)
}

var (
	tunnelKey   = regexp.MustCompile(`(?:^|[,(])(?:vni|tun_id)=0x([0-9a-f]{1,16})[,)]`)
	tunnelPorts = regexp.MustCompile(`\{class=0x102,type=0x80,len=4,0x([0-9a-f]{1,8})[/}]`)
	// The datapath in the kernel is told where a tunnel leads, the one in userspace
	// the headers.
	tunnelSource = regexp.MustCompile(`(?:^|,)(?:ipv6_)?src=([^,)]*)`)
	tunnelRemote = regexp.MustCompile(`(?:^|,)(?:ipv6_)?dst=([^,)]*)`)
	pushedOuter  = regexp.MustCompile(`[,(]eth\(dst=([^,)]*),src=([^,)]*)`)
	pushedEnds   = regexp.MustCompile(`[,(]ipv[46]\(src=([^,)]*),dst=([^,)]*)`)
)

// courier is a frame on its way through the actions of a datapath.
type courier struct {
	frame   frame
	whole   bool // all that was done to it could be read
	tunnel  *carried
	carried []carried
}

// nesting is how deep actions are in one another at most. Open vSwitch has fewer.
const nesting = 16

// carriedBy is what the actions of a datapath put into tunnels, of a frame.
func carriedBy(f frame, actions string) []carried {
	c := courier{frame: f, whole: true}
	c.walk(actions, 0)
	return c.carried
}

func (c *courier) walk(actions string, depth int) {
	if depth > nesting {
		return
	}
	for _, action := range listed(actions) {
		name, in := opened(action)
		switch name {
		case "set":
			c.set(opened(in))
		case "tnl_push":
			c.push(in)
		case "push_vlan":
			c.vlan(in)
		case "clone": // of the frame as it is: it goes on as it was
			c.aside(in, depth)
		case "check_pkt_len": // what is traced is small
			for _, branch := range listed(in) {
				if size, in := opened(branch); size == "le" {
					c.aside(in, depth)
				}
			}
		default:
			if c.tunnel != nil && in == "" { // an output
				c.put(*c.tunnel)
				c.tunnel = nil
			}
		}
	}
}

func (c *courier) aside(actions string, depth int) {
	copied := *c
	copied.walk(actions, depth+1)
	c.carried = copied.carried
}

func (c *courier) put(in carried) {
	in.frame = c.frame
	if !c.whole {
		in.frame = frame{}
	}
	c.carried = append(c.carried, in)
}

// set changes a header, or says into which tunnel the next output goes.
func (c *courier) set(header, values string) {
	names := map[string]string{}
	switch header {
	case "tunnel":
		c.tunnel = nil
		in := tunnelOf(values)
		if m := tunnelSource.FindStringSubmatch(values); m != nil {
			putAddr(&in.source, m[1])
		}
		if m := tunnelRemote.FindStringSubmatch(values); m != nil {
			putAddr(&in.remote, m[1])
		}
		if in.remote.IsValid() {
			c.tunnel = &in
		}
		return
	case "eth":
		names = map[string]string{"src": "dl_src", "dst": "dl_dst"}
	case "ipv4":
		names = map[string]string{"src": "nw_src", "dst": "nw_dst", "ttl": "nw_ttl"}
	case "ipv6":
		names = map[string]string{"src": "ipv6_src", "dst": "ipv6_dst", "hlimit": "nw_ttl"}
	case "tcp", "udp":
		names = map[string]string{"src": "tp_src", "dst": "tp_dst"}
	case "icmp", "icmpv6":
		names = map[string]string{"type": "icmp_type", "code": "icmp_code"}
	}
	for value := range strings.SplitSeq(values, ",") {
		name, value, _ := strings.Cut(value, "=")
		c.whole = c.frame.put(names[name], value) && c.whole
	}
}

// push puts the frame behind headers that userspace makes.
func (c *courier) push(headers string) {
	in := tunnelOf(headers)
	if m := pushedEnds.FindStringSubmatch(headers); m != nil {
		putAddr(&in.source, m[1])
		putAddr(&in.remote, m[2])
	}
	if m := pushedOuter.FindStringSubmatch(headers); m != nil && (!putMAC(&in.outerTarget, m[1]) || !putMAC(&in.outerSource, m[2])) {
		in.outerTarget, in.outerSource = "", ""
	}
	if in.remote.IsValid() {
		c.put(in)
	}
}

// vlan tags what was pushed last.
func (c *courier) vlan(fields string) {
	for field := range strings.SplitSeq(fields, ",") {
		if vid, ok := strings.CutPrefix(field, "vid="); ok && len(c.carried) > 0 && c.carried[len(c.carried)-1].outerTarget != "" {
			putNumber(&c.carried[len(c.carried)-1].tag, vid, 12)
		}
	}
}

// tunnelOf reads what both datapaths say of a tunnel in one way.
func tunnelOf(text string) carried {
	var c carried
	if m := tunnelKey.FindStringSubmatch(text); m != nil {
		c.key, _ = strconv.ParseUint(m[1], 16, 64) // it fits
	}
	if m := tunnelPorts.FindStringSubmatch(text); m != nil {
		ports, _ := strconv.ParseUint(m[1], 16, 32)
		c.ports, c.hasPorts = uint32(ports), true
	}
	return c
}

// listed are the parts of a list with commas, where parentheses and braces hold
// together what is in them.
func listed(text string) []string {
	var parts []string
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, text[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, text[from:])
}

// opened takes name(what is inside) apart.
func opened(text string) (name, in string) {
	name, in, ok := strings.Cut(text, "(")
	if !ok {
		return text, ""
	}
	return name, strings.TrimSuffix(in, ")")
}
