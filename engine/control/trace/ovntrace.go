package trace

import (
	"regexp"
	"strconv"
	"strings"
)

// stage is a logical flow that the packet came to, or a table in which none
// matched.
type stage struct {
	pipeline string // ingress or egress
	datapath string // the name of a logical switch or router
	inport   string
	outport  string
	table    int
	name     string // ls_in_l2_lkup
	match    string
	priority int
	uuid     string // the first eight digits of the flow's; empty where none matched
	actions  []string
}

// output is a port that a packet came out of.
type output struct{ port, kind string }

// logicalTrace is what ovn-trace says of a packet.
type logicalTrace struct {
	stages  []stage
	outputs []output
	// gateways are the ports that a chassis alone has, and that send the packet
	// there: of a router's gateway (chassisredirect), of a router of one chassis
	// (l3gateway).
	gateways []string
	// unresolved says that a router does not know the next hop's Ethernet
	// address, and generated what the router sends in the packet's stead
	// ("arp", "icmp4", "tcp_reset").
	unresolved bool
	generated  string
}

var (
	pipelineLine = regexp.MustCompile(`^(ingress|egress)\(dp="((?:[^"\\]|\\.)*)", inport="((?:[^"\\]|\\.)*)"(?:, outport="((?:[^"\\]|\\.)*)")?\)$`)
	stageLine    = regexp.MustCompile(`^([0-9]{1,3})\. ([a-z0-9_]+)(?: \([^)]*\))?: (.*), priority ([0-9]{1,6}), uuid ([0-9a-f]{8})$`)
	missLine     = regexp.MustCompile(`^([0-9]{1,3})\. ([a-z0-9_]+)(?: \([^)]*\))?: no match`)
	outputLine   = regexp.MustCompile(`^/\* output to "((?:[^"\\]|\\.)*)", type "([^"]*)" \*/$`)
	redirectLine = regexp.MustCompile(`^/\* Replacing type "chassisredirect" outport "((?:[^"\\]|\\.)*)" with distributed port`)
	sectionLine  = regexp.MustCompile(`^(arp|nd_ns|nd_na|icmp4|icmp4_error|icmp6|icmp6_error|tcp_reset|sctp_abort|reject|igmp|bfd)$`)
)

// readLogicalTrace reads what ovn-trace(8) prints with --detailed. Lines that it
// does not know, as of newer versions, are actions of the stage above them.
func readLogicalTrace(text string) logicalTrace {
	var t logicalTrace
	var at stage // the pipeline
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.Trim(line, "-") == "" || strings.HasPrefix(line, "# "):
		case t.generated != "": // what follows is the way of another packet
		case sectionLine.MatchString(line):
			t.generated = line
		case pipelineLine.MatchString(line):
			m := pipelineLine.FindStringSubmatch(line)
			at = stage{pipeline: m[1], datapath: unquoted(m[2]), inport: unquoted(m[3]), outport: unquoted(m[4])}
		case at.pipeline == "": // not begun
		case stageLine.MatchString(line):
			m := stageLine.FindStringSubmatch(line)
			s := at
			s.table, _ = strconv.Atoi(m[1])
			s.name, s.match, s.uuid = m[2], m[3], m[5]
			s.priority, _ = strconv.Atoi(m[4])
			t.stages = append(t.stages, s)
		case missLine.MatchString(line):
			m := missLine.FindStringSubmatch(line)
			s := at
			s.table, _ = strconv.Atoi(m[1])
			s.name = m[2]
			t.stages = append(t.stages, s)
		default:
			t.action(line)
		}
	}
	return t
}

// action takes in an action of the latest stage, or what ovn-trace remarks on it.
func (t *logicalTrace) action(line string) {
	if m := outputLine.FindStringSubmatch(line); m != nil {
		t.outputs = append(t.outputs, output{unquoted(m[1]), m[2]})
		if m[2] == "l3gateway" {
			t.gateways = append(t.gateways, unquoted(m[1]))
		}
	}
	if m := redirectLine.FindStringSubmatch(line); m != nil {
		t.gateways = append(t.gateways, unquoted(m[1]))
	}
	if line == "/* No MAC binding. */" {
		t.unresolved = true
	}
	if n := len(t.stages); n > 0 {
		t.stages[n-1].actions = append(t.stages[n-1].actions, line)
	}
}

// unquoted takes the escapes out of a string of JSON without its quotes.
func unquoted(s string) string {
	if plain, err := strconv.Unquote(`"` + s + `"`); err == nil {
		return plain
	}
	return s
}

// reaches says whether the packet came out of a port.
func (t logicalTrace) reaches(port string) bool {
	for _, o := range t.outputs {
		if o.port == port {
			return true
		}
	}
	return false
}

// leaves is the port by which the packet leaves the logical network, if it
// does.
func (t logicalTrace) leaves() (output, bool) {
	for _, o := range t.outputs {
		switch o.kind {
		case "localnet", "l2gateway", "vtep":
			return o, true
		}
	}
	return output{}, false
}

// drops says whether a stage ends the packet.
func (s stage) drops() bool {
	for _, a := range s.actions {
		if a == "drop;" {
			return true
		}
	}
	return s.uuid == ""
}
