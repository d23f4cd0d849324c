package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host/topology"
)

// logical adds OVN's switches and routers. The members of a clustered database
// tell of the same ones.
func (c *composer) logical(p Picture) {
	seen := map[string]bool{}
	first := func(kind, id, name string) bool {
		key := kind + cmp.Or(id, "\x00"+name)
		defer func() { seen[key] = true }()
		return !seen[key]
	}
	ports := map[string]string{} // ids of the rows of router ports, by name
	for _, h := range p.Hosts {
		if h.Topology == nil || h.Topology.Logical == nil {
			continue
		}
		for _, r := range h.Topology.Logical.Routers {
			if first("router", r.ID, r.Name) {
				c.router(r, ports)
			}
		}
	}
	for _, h := range p.Hosts {
		if h.Topology == nil || h.Topology.Logical == nil {
			continue
		}
		for _, s := range h.Topology.Logical.Switches {
			if first("switch", s.ID, s.Name) {
				c.logicalSwitch(s, ports)
			}
		}
	}
}

func (c *composer) router(r topology.Router, ports map[string]string) {
	b := &box{id: fmt.Sprintf("r%d", len(c.scene.routers)+1), kind: routerBox, name: r.Name, text: "logical router"}
	c.scene.routers = append(c.scene.routers, b)
	for i, p := range r.Ports {
		gateway := ""
		if len(p.Chassis) > 0 {
			gateway = "gateway " + strings.Join(c.chassisNames(p.Chassis), ", ")
		}
		at := &row{id: fmt.Sprintf("%sp%d", b.id, i+1), kind: internalRow, name: p.Name, text: words(strings.Join(p.Networks, " "), gateway)}
		b.rows = append(b.rows, at)
		ports[p.Name] = at.id
	}
	if c.scene.detail == Summary {
		b.text = words(b.text, plural(len(r.Ports), "port"))
	}
	limited(b, c.scene.detail)
}

// chassisNames are the hosts of chassis, where they are known.
func (c *composer) chassisNames(chassis []string) []string {
	out := make([]string, len(chassis))
	for i, name := range chassis {
		out[i] = name
		if at, ok := c.chassis[name]; ok {
			out[i] = c.ends.names[at]
		}
	}
	return out
}

func (c *composer) logicalSwitch(s topology.Switch, routerPorts map[string]string) {
	b := &box{id: fmt.Sprintf("s%d", len(c.scene.switches)+1), kind: switchBox, name: s.Name, text: "logical switch"}
	c.scene.switches = append(c.scene.switches, b)
	down, leads := 0, []string{}
	for i, p := range s.Ports {
		r := c.switchPort(p)
		r.id = fmt.Sprintf("%sp%d", b.id, i+1)
		b.rows = append(b.rows, r)
		if r.wrong != "" {
			down++
		}
		if lead := cmp.Or(p.Network, p.Router); lead != "" {
			leads = append(leads, words(p.Type, lead, tagText(p.Tag)))
		}
		if at := routerPorts[p.Router]; at != "" {
			c.scene.lines = append(c.scene.lines, line{from: at, to: r.id, kind: routeLine})
		}
		for _, at := range c.bound[p.Name] {
			c.scene.lines = append(c.scene.lines, line{from: r.id, to: at.row, kind: boundLine})
		}
	}
	if c.scene.detail == Summary {
		count := plural(len(s.Ports), "port")
		if down > 0 {
			count += fmt.Sprintf(", %d down", down)
		}
		b.text = words(append([]string{b.text, count}, leads...)...)
	}
	limited(b, c.scene.detail)
}

func (c *composer) switchPort(p topology.SwitchPort) *row {
	r := &row{name: p.Name, kind: guestRow}
	switch p.Type {
	case "", "virtual", "external":
	case "router":
		r.kind = internalRow
	default:
		r.kind = nicRow
	}
	var hosts []string
	for _, at := range c.bound[p.Name] {
		hosts = append(hosts, c.ends.names[at.card])
	}
	slices.Sort(hosts)
	on := ""
	switch hosts = slices.Compact(hosts); {
	case len(hosts) > 0:
		on = "on " + strings.Join(hosts, ", ")
		if p.Down {
			r.wrong = "plugged in, but not bound"
		}
	case p.Down:
		r.wrong = "bound to no chassis"
	}
	leads := ""
	if p.Router != "" {
		leads = "to " + p.Router
	}
	addresses := strings.Join(p.Addresses, ", ")
	if p.Type == "router" {
		addresses = ""
	}
	r.text = words(p.Type, leads, p.Network, tagText(p.Tag), addresses, on)
	return r
}

func tagText(tag *int) string {
	if tag == nil {
		return ""
	}
	return fmt.Sprintf("VLAN %d", *tag)
}
