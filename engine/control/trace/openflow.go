package trace

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// flowTrace is what ofproto/trace says of a packet.
type flowTrace struct {
	remotes []netip.Addr // the other ends of the tunnels that it goes into
	carried []carried    // what goes into them
	outputs []outlet     // the OpenFlow ports that it comes out of
	actions string       // what the datapath does with it last
	// remarks are what Open vSwitch has to say of what goes wrong.
	remarks []string
	// last is the table and the flow that it came to last.
	last string
}

// outlet is an OpenFlow port of a bridge.
type outlet struct {
	bridge string
	port   int
}

var (
	bridgeLine = regexp.MustCompile(`^bridge\("([^"]*)"\)$`)
	flowLine   = regexp.MustCompile(`^([0-9]{1,3})\. (.*)$`)
	outputTo   = regexp.MustCompile(`^output:([0-9]{1,5})$`)
	tunnelling = regexp.MustCompile(`^-> tunneling to (\S+) via `)
	// What Open vSwitch calls a warning or an error is marked; that a tunnel does
	// not find its way is not.
	remark = regexp.MustCompile(`^(?:>{2,4} (.*)|-> ((?:neighbor cache miss|native tunnel routing failed).*))$`)
)

// flowReader is at a line of an answer to ofproto/trace.
type flowReader struct {
	flowTrace
	frame   frame
	bridges []section // the innermost last
}

// section is what the answer says of a bridge: all that is further in than its
// headline, but for the first, which goes on to the next headline.
type section struct {
	bridge string
	indent int
}

// readFlowTrace reads an answer to ofproto/trace. Where connection tracking cuts
// the way in pieces, they are one way.
func readFlowTrace(text string) flowTrace {
	var r flowReader
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if bare != "" {
			r.line(bare, len(line)-len(strings.TrimLeft(line, " ")))
		}
	}
	return r.flowTrace
}

func (r *flowReader) line(text string, indent int) {
	if fields, ok := strings.CutPrefix(text, "Flow: "); ok {
		r.frame, _ = readFrame(fields)
		r.bridges = nil
		return
	}
	if actions, ok := strings.CutPrefix(text, "Datapath actions: "); ok {
		r.actions = actions
		for _, c := range carriedBy(r.frame, actions) {
			r.carried = append(r.carried, c)
			r.leads(c.remote)
		}
		return
	}
	if m := bridgeLine.FindStringSubmatch(text); m != nil {
		r.bridges = append(r.bridges, section{m[1], indent})
		return
	}
	for n := len(r.bridges); n > 1 && indent <= r.bridges[n-1].indent && strings.Trim(text, "-") != ""; n-- {
		r.bridges = r.bridges[:n-1]
	}
	if m := outputTo.FindStringSubmatch(text); m != nil && len(r.bridges) > 0 {
		port, _ := strconv.Atoi(m[1]) // it fits
		r.outputs = append(r.outputs, outlet{r.bridges[len(r.bridges)-1].bridge, port})
	}
	if m := tunnelling.FindStringSubmatch(text); m != nil {
		var ip netip.Addr
		if putAddr(&ip, m[1]) {
			r.leads(ip)
		}
	}
	if m := remark.FindStringSubmatch(text); m != nil {
		r.remarks = append(r.remarks, m[1]+m[2])
	}
	if m := flowLine.FindStringSubmatch(text); m != nil {
		r.last = "table " + m[1] + ", " + strings.TrimSuffix(m[2], ".")
	}
}

// leads notes the other end of a tunnel.
func (t *flowTrace) leads(ip netip.Addr) {
	if !slices.Contains(t.remotes, ip) {
		t.remotes = append(t.remotes, ip)
	}
}

// dropped says that nothing leaves Open vSwitch.
func (t flowTrace) dropped() bool { return t.actions == "drop" || t.actions == "" }

// unresolved says that a tunnel's other end is not known to the Ethernet below.
func (t flowTrace) unresolved() bool {
	return slices.ContainsFunc(t.remarks, func(r string) bool { return strings.Contains(r, "neighbor cache miss") })
}

// into is what goes into the tunnel to one of the addresses.
func (t flowTrace) into(encaps []string) (carried, bool) {
	for _, c := range t.carried {
		if slices.Contains(encaps, c.remote.String()) {
			return c, true
		}
	}
	return carried{}, false
}

func (t flowTrace) leadsTo(encaps []string) bool {
	return slices.ContainsFunc(t.remotes, func(ip netip.Addr) bool { return slices.Contains(encaps, ip.String()) })
}

func (t flowTrace) whither() string {
	var all []string
	for _, ip := range t.remotes {
		all = append(all, ip.String())
	}
	return orText(strings.Join(all, ", "), "no tunnel")
}
