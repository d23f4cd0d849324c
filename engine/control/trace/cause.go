package trace

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/wire"
)

// explain says on whose behalf a logical flow drops the packet, and what to do. The
// names of the stages are those of ovn-northd(8).
func (t *tracer) explain(ctx context.Context, s stage, h *Hop) {
	name := strings.TrimPrefix(strings.TrimPrefix(s.name, "ls_"), "lr_")
	h.Do = "look at the flow: ovn-sbctl lflow-list " + argument(s.datapath)
	switch {
	case strings.Contains(s.name, "_acl"):
		t.acl(ctx, s, h)
	case strings.HasPrefix(name, "in_apply_port_sec"), strings.HasPrefix(name, "in_port_sec"), name == "in_check_port_sec" && t.from.port.disabled:
		t.portSecurity(t.from, t.packet.mac, t.packet.from, "source", h)
	case strings.HasPrefix(name, "out_apply_port_sec"), strings.HasPrefix(name, "out_port_sec"), name == "out_check_port_sec":
		t.portSecurity(t.to, t.to.known(), t.packet.to, "destination", h)
	case strings.HasPrefix(name, "in_l2_lkup"), strings.HasPrefix(name, "in_l2_unknown"):
		mac := t.packet.nextMAC
		if s.datapath != t.from.port.sw {
			mac = t.to.known()
		}
		h.Why = fmt.Sprintf("no port of %s has the Ethernet address %s", s.datapath, mac)
		h.Do = "look at the addresses of the guest's port, and at those that the guest has"
	case strings.HasPrefix(name, "in_ip_routing"):
		h.Where, h.What = s.datapath, fmt.Sprintf("no route to %s", t.packet.to)
		h.Do = fmt.Sprintf("add an ovn_static_route to %s, or join a router's port to the network of %s", s.datapath, t.packet.to)
	case strings.HasPrefix(name, "in_policy"):
		h.Why, h.Do = "a routing policy of "+s.datapath+" says so", "ovn-nbctl lr-policy-list "+argument(s.datapath)
	case strings.HasPrefix(name, "in_admission"):
		h.Why = "no port of " + s.datapath + " takes the frame in: the chassis that has its gateway is elsewhere, or the port is disabled"
		h.Do = "look at the gateway chassis of its ports: ovn-nbctl show " + argument(s.datapath)
	case strings.HasPrefix(name, "in_ip_input"):
		h.Why = "the router itself refuses it: an address that no router forwards, or its own at a port that does not answer for it"
	}
}

// portSecurity compares the packet with the pairs that a port may use, see
// port_security in ovn-nb(5).
func (t *tracer) portSecurity(e end, mac string, ip netip.Addr, side string, h *Hop) {
	if e.port == nil {
		return
	}
	if e.port.disabled {
		*h = disabled(e.port)
		return
	}
	h.Where = "port security of " + e.port.name
	var macs, ips []string
	own := false // the address is one of the port's, or in a network of it
	for _, text := range e.port.security {
		words := strings.Fields(text)
		if a, ok := readAddress(text); ok {
			macs, ips = append(macs, a.mac), append(ips, words[1:]...)
		}
	}
	for _, text := range ips {
		one, err := netip.ParseAddr(text)
		network, err2 := netip.ParsePrefix(text)
		own = own || err == nil && one.Unmap() == ip || err2 == nil && network.Contains(ip)
	}
	switch {
	case !slices.Contains(macs, mac):
		h.What = fmt.Sprintf("%s MAC %s is not one of its own (%s)", side, mac, strings.Join(macs, ", "))
		h.Do = fmt.Sprintf("give the guest the port's MAC, or the port the guest's: addresses and port_security of %s", e.port.name)
	case len(ips) > 0 && !own:
		h.What = fmt.Sprintf("%s address %s is not one of its own (%s)", side, ip, strings.Join(ips, ", "))
		h.Do = fmt.Sprintf("add the address to port_security of %s, if the guest may have it", e.port.name)
	default:
		h.Do = "look at port_security of " + e.port.name
	}
}

// disabled is the hop at a port that takes and gives nothing.
func disabled(p *logicalPort) Hop {
	return Hop{Where: "port " + p.name, What: "it is disabled", Do: "enable the logical port: ovn-nbctl lsp-set-enabled " + argument(p.name) + " enabled"}
}

// argument is a name that others chose as an operator may give it to a shell.
func argument(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$`)

// acl finds the ACL of a flow: the flow's stage-hint begins its id, see
// external_ids of Logical_Flow in ovn-sb(5).
func (t *tracer) acl(ctx context.Context, s stage, h *Hop) {
	h.Why, h.Do = "an ACL says so", "ovn-nbctl acl-list "+argument(s.datapath)
	flow := wire.Rows{Database: host.Southbound, Table: "Logical_Flow", Columns: []string{"external_ids"},
		Where: map[string]any{"pipeline": s.pipeline, "table_id": s.table, "priority": s.priority}}
	all := wire.Rows{Database: host.Northbound, Table: "ACL", Columns: []string{"name", "direction", "priority", "match", "action"}}
	groups := wire.Rows{Database: host.Northbound, Table: "Port_Group", Columns: []string{"name", "acls"}}
	said := t.asker.Ask(ctx, map[string][]wire.Ask{t.central: {{Rows: &flow}, {Rows: &all}, {Rows: &groups}}})[t.central]
	if len(said) != 3 {
		return
	}
	hint := ""
	for _, r := range said[0].Rows {
		if id := row.ID(ovsdb.Row(r)); s.uuid != "" && strings.HasPrefix(id, s.uuid) {
			hint = row.Map(ovsdb.Row(r), "external_ids")["stage-hint"]
		}
	}
	if hint == "" {
		if s.priority <= 1 {
			h.Why = "no ACL allows it, and what none allows is dropped"
		}
		return
	}
	for _, r := range said[1].Rows {
		a := ovsdb.Row(r)
		if !strings.HasPrefix(row.ID(a), hint) {
			continue
		}
		owner := s.datapath
		for _, g := range said[2].Rows {
			if slices.Contains(row.Refs(ovsdb.Row(g), "acls"), row.ID(a)) {
				owner = "port group " + row.String(ovsdb.Row(g), "name")
			}
		}
		priority, _ := row.Int(a, "priority")
		h.Where = "ACL of " + owner
		h.What = fmt.Sprintf("%s %d %s: %s", row.String(a, "direction"), priority, row.String(a, "match"), row.String(a, "action"))
		if name := row.String(a, "name"); name != "" {
			h.What = name + ": " + h.What
		}
		h.Why = ""
		h.Do = fmt.Sprintf("if the packet may pass, let an ACL of a priority above %d allow it, or take this one away", priority)
	}
}
