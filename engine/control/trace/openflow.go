package trace

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// flowTrace is what ofproto/trace says of a packet.
type flowTrace struct {
	remotes []netip.Addr // the other ends of the tunnels that it goes into
	actions string       // what the datapath does with it last
	// remarks are what Open vSwitch has to say of what goes wrong.
	remarks []string
	// last is the flow that it came to last before it was dropped.
	last string
}

var (
	flowLine   = regexp.MustCompile(`^[0-9]{1,3}\. (.*)$`)
	pushed     = regexp.MustCompile(`tnl_push\(.*?ipv[46]\(src=[^,)]*,dst=([^,)]*)`)
	tunnelSet  = regexp.MustCompile(`set\(tunnel\([^()]*?(?:ipv6_dst|dst)=([^,)]*)`)
	tunnelling = regexp.MustCompile(`^-> tunneling to (\S+) via `)
	// What Open vSwitch calls a warning or an error is marked; that a tunnel does
	// not find its way is not.
	remark = regexp.MustCompile(`^(?:>{2,4} (.*)|-> ((?:neighbor cache miss|native tunnel routing failed).*))$`)
)

// readFlowTrace reads an answer to ofproto/trace. Where connection tracking cuts
// the way in pieces, they are one way.
func readFlowTrace(text string) flowTrace {
	var t flowTrace
	add := func(text string) {
		if ip, err := netip.ParseAddr(text); err == nil && !slices.Contains(t.remotes, ip) {
			t.remotes = append(t.remotes, ip)
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if actions, ok := strings.CutPrefix(line, "Datapath actions: "); ok {
			t.actions = actions
			for _, form := range []*regexp.Regexp{pushed, tunnelSet} {
				for _, m := range form.FindAllStringSubmatch(actions, -1) {
					add(m[1])
				}
			}
			continue
		}
		if m := tunnelling.FindStringSubmatch(line); m != nil {
			add(m[1])
		}
		if m := remark.FindStringSubmatch(line); m != nil {
			t.remarks = append(t.remarks, m[1]+m[2])
		}
		if m := flowLine.FindStringSubmatch(line); m != nil {
			t.last = m[1]
		}
	}
	return t
}

// dropped says that nothing leaves Open vSwitch.
func (t flowTrace) dropped() bool { return t.actions == "drop" || t.actions == "" }

// unresolved says that a tunnel's other end is not known to the Ethernet below.
func (t flowTrace) unresolved() bool {
	return slices.ContainsFunc(t.remarks, func(r string) bool { return strings.Contains(r, "neighbor cache miss") })
}
