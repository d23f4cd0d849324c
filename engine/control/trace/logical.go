package trace

import (
	"context"
	"fmt"
	"strings"

	"weft/engine/wire"
)

// newConnections has ovn-trace take every packet for the first of its connection:
// its default is one that was allowed already. It stands once for each time that the
// packet comes to connection tracking.
func newConnections() []string {
	var all []string
	for range 16 {
		all = append(all, "--ct=new,trk")
	}
	return all
}

// throughLogical asks the central what the logical flows do, and adds a hop for
// each pipeline.
func (t *tracer) throughLogical(ctx context.Context) {
	argv := append([]string{"ovn-trace", "--no-leader-only", "--detailed"}, newConnections()...)
	argv = append(argv, t.from.port.switchID, t.packet.logical(t.from.port.name))
	said := t.one(ctx, t.central, wire.Ask{Query: argv})
	if said.Error != "" {
		t.unknown("logical flows", "%s cannot say: %s", t.central, oneLine(said.Error))
		return
	}
	t.logical = readLogicalTrace(said.Text)
	if len(t.logical.stages) == 0 {
		t.dies(Hop{Where: t.from.port.sw + " ingress", What: "no logical flow takes the packet in",
			Why: "the southbound database has no flows for " + t.from.port.sw + ": ovn-northd has not made them", Do: "on " + t.central + ": systemctl status ovn-northd"})
		return
	}
	t.pipelines(ctx)
}

// pipelines adds the hops. The packet dies in the last where it came out
// nowhere that counts.
func (t *tracer) pipelines(ctx context.Context) {
	arrived := t.arrived()
	var at []stage
	for i, s := range t.logical.stages {
		at = append(at, s)
		last := i == len(t.logical.stages)-1
		if !last && samePipeline(s, t.logical.stages[i+1]) {
			continue
		}
		if last && !arrived {
			t.dies(t.logicalDeath(ctx, at))
			return
		}
		if !arrived || !s.drops() { // else a copy of a multicast ends here
			t.pass(where(s), "%s", passed(at))
		}
		at = nil
	}
}

func samePipeline(a, b stage) bool {
	return a.pipeline == b.pipeline && a.datapath == b.datapath && a.inport == b.inport
}

func where(s stage) string { return s.datapath + " " + s.pipeline }

// passed says what a pipeline did, in a few words.
func passed(at []stage) string {
	var parts []string
	in, out := at[0].inport, at[len(at)-1].outport
	for _, s := range at {
		if s.pipeline == "egress" {
			continue
		}
		for _, a := range s.actions {
			if port, ok := strings.CutPrefix(a, "outport = "); ok {
				out = unquoted(strings.Trim(strings.TrimSuffix(port, ";"), `"`))
			}
		}
	}
	if in != "" {
		parts = append(parts, "from "+in)
	}
	if out != "" {
		parts = append(parts, "to "+out)
	}
	if via := nextHopOf(at); via != "" {
		parts = append(parts, "via "+via)
	}
	return strings.Join(parts, " ")
}

// nextHopOf is the next hop that a router chose: reg0, or xxreg0 of IPv6.
func nextHopOf(at []stage) string {
	via := ""
	for _, s := range at {
		if !strings.HasPrefix(s.name, "lr_in_ip_routing") {
			continue
		}
		for _, a := range s.actions {
			for _, register := range []string{"reg0 = ", "xxreg0 = "} {
				if to, ok := strings.CutPrefix(a, register); ok && !strings.Contains(to, ".dst") {
					via = strings.TrimSuffix(to, ";")
				}
			}
		}
	}
	return via
}

// arrived says whether the logical network brings the packet to where it is to
// go: a guest's port, the way out of a switch, or back from a router that
// answers for itself.
func (t *tracer) arrived() bool {
	switch {
	case t.to.port != nil:
		return t.logical.reaches(t.to.port.name)
	case t.to.router != "":
		return t.logical.reaches(t.from.port.name)
	}
	_, out := t.logical.leaves()
	return out
}

// logicalDeath says why the packet ends in a pipeline.
func (t *tracer) logicalDeath(ctx context.Context, at []stage) Hop {
	s := blamed(at)
	h := Hop{Where: where(s), What: "dropped by " + flowOf(s)}
	switch {
	case t.to.port != nil && t.to.port.disabled:
		return disabled(t.to.port)
	case t.logical.unresolved:
		via := nextHopOf(at)
		if via == "" {
			via = t.packet.to.String()
		}
		h.Where = s.datapath
		h.What = fmt.Sprintf("it does not know the Ethernet address of %s", via)
		h.Why = "nobody has answered the router's question for it yet (ARP, or neighbour discovery)"
		h.Do = fmt.Sprintf("send a packet, so that the router asks, and trace again; if it stays so: is %s there, and on the network that the router's port leads to?", via)
		return h
	case t.logical.generated != "":
		h.What = fmt.Sprintf("refused by %s, which answers with %s", flowOf(s), t.logical.generated)
	case outputs(t.logical) != "":
		h.What = fmt.Sprintf("it comes out at %s, and not at %s", outputs(t.logical), t.to.called())
		h.Do = "look at the addresses of the ports of " + s.datapath + ": two may have the same"
		return h
	}
	t.explain(ctx, s, &h)
	return h
}

// blamed is the stage that decided: since OVN 23.06 the verdict on ACLs is carried out
// a table after it was found.
func blamed(at []stage) stage {
	last := at[len(at)-1]
	if !strings.Contains(last.name, "_acl") || !strings.HasSuffix(last.name, "_action") {
		return last
	}
	for _, s := range at {
		if strings.Contains(s.name, "_acl") && strings.HasSuffix(s.name, "_eval") && s.priority > 1 {
			last = s
		}
	}
	return last
}

func flowOf(s stage) string {
	if s.uuid == "" {
		return s.name + ", in which no flow matches"
	}
	return fmt.Sprintf("%s (priority %d, %s)", s.name, s.priority, s.match)
}

// outputs are the ports where the packet leaves OVN.
func outputs(l logicalTrace) string {
	var names []string
	for _, o := range l.outputs {
		if o.kind != "patch" && o.kind != "l3gateway" {
			names = append(names, o.port)
		}
	}
	return strings.Join(names, ", ")
}

// oneLine keeps the last line of what a host said.
func oneLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
