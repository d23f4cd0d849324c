package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host/topology"
)

// A cardMaker makes the card of one host.
type cardMaker struct {
	*composer
	at    int
	card  *card
	t     *topology.Topology
	links map[string]topology.Link
	drawn map[string]bool   // links that are among the rows
	rows  map[string]string // ids of rows by the device's or port's name
	count int
}

func (c *composer) card(at int, h Host) *card {
	out := &card{id: fmt.Sprintf("h%d", at+1), name: h.Name}
	if len(h.Roles) > 0 {
		out.text = append(out.text, strings.Join(h.Roles, ", "))
	}
	if h.Topology == nil {
		out.wrong, out.lost = append(out.wrong, "not reached"), true
		return out
	}
	m := &cardMaker{composer: c, at: at, card: out, t: h.Topology,
		links: map[string]topology.Link{}, drawn: map[string]bool{}, rows: map[string]string{}}
	for _, l := range m.t.Links {
		m.links[l.Name] = l
	}
	if m.t.Version != "" {
		out.text = append(out.text, "Open vSwitch "+m.t.Version)
	}
	if ch := m.t.Chassis; ch != nil {
		out.text = append(out.text, words("chassis", strings.Join(ch.EncapTypes, ","), strings.Join(ch.EncapIPs, ",")))
	}
	out.wrong = slices.Concat(m.t.Unread, loops(m.t))
	for _, b := range m.t.Bridges {
		m.bridge(b)
	}
	m.linuxBridges()
	m.loose()
	m.join()
	if c.scene.detail == Summary {
		m.summarise()
	}
	for _, b := range out.boxes {
		limited(b, c.scene.detail)
	}
	return out
}

func (m *cardMaker) box(kind boxKind, name, text string) *box {
	b := &box{id: fmt.Sprintf("%sb%d", m.card.id, len(m.card.boxes)+1), kind: kind, name: name, text: text}
	m.card.boxes = append(m.card.boxes, b)
	return b
}

// add makes a row; the device of that name is then drawn.
func (m *cardMaker) add(b *box, r row) *row {
	m.count++
	r.id = fmt.Sprintf("%sp%d", m.card.id, m.count)
	b.rows = append(b.rows, &r)
	m.drawn[r.name] = true
	if m.rows[r.name] == "" {
		m.rows[r.name] = r.id
	}
	return &r
}

func (m *cardMaker) bridge(b topology.Bridge) {
	var mapped []string
	if m.t.Chassis != nil {
		for _, network := range slices.Sorted(maps.Keys(m.t.Chassis.Mappings)) {
			if m.t.Chassis.Mappings[network] == b.Name {
				mapped = append(mapped, network)
			}
		}
	}
	controllers := ""
	if len(b.Controllers) > 0 {
		controllers = "controller " + strings.Join(b.Controllers, ", ")
	}
	m.drawn[b.Name] = true
	out := m.box(ovsBox, b.Name, words(b.Datapath, b.FailMode, b.Spanning, controllers, strings.Join(mapped, ", "), addresses(m.links[b.Name]), mirrors(b)))
	out.wrong = b.Wrong
	folded := m.foldedTunnels(b)
	told := map[string]bool{}
	for _, p := range b.Ports {
		if kind := m.foldable(p); folded[kind] > 0 {
			if !told[kind] {
				told[kind] = true
				m.add(out, row{name: plural(folded[kind], kind+" tunnel"), kind: tunnelRow})
			}
			continue
		}
		m.port(out, p)
	}
}

// foldedTunnels counts the tunnels of each type that are more than a few.
func (m *cardMaker) foldedTunnels(b topology.Bridge) map[string]int {
	out := map[string]int{}
	for _, p := range b.Ports {
		if kind := m.foldable(p); kind != "" {
			out[kind]++
		}
	}
	maps.DeleteFunc(out, func(_ string, n int) bool { return n <= 3 })
	return out
}

// foldable is the type of a tunnel that is well and leads to another host of the
// picture: the mesh or a line tells of it. Else it is empty.
func (m *cardMaker) foldable(p topology.Port) string {
	if len(p.Interfaces) != 1 || p.Interfaces[0].Wrong != "" || !topology.Tunnel(p.Interfaces[0].Type) {
		return ""
	}
	if _, known := m.ends.host(p.Interfaces[0].Remote); !known {
		return ""
	}
	return p.Interfaces[0].Type
}

func (m *cardMaker) port(b *box, p topology.Port) {
	if p.Bond != nil {
		m.add(b, row{name: p.Name, kind: bondRow, text: words(bondText(*p.Bond), vlans(p))})
		for _, i := range p.Interfaces {
			r := m.interfaceRow(i)
			r.member = true
			m.add(b, r)
		}
		return
	}
	if len(p.Interfaces) == 0 {
		m.add(b, row{name: p.Name, kind: internalRow, text: vlans(p), wrong: "it has no interface"})
		return
	}
	i := p.Interfaces[0]
	r := m.interfaceRow(i)
	r.name, r.text = p.Name, words(vlans(p), r.text)
	added := m.add(b, r)
	if i.Logical != "" {
		m.bound[i.Logical] = append(m.bound[i.Logical], place{m.at, added.id})
	}
	m.members(b, p.Name)
}

func (m *cardMaker) interfaceRow(i topology.Interface) row {
	r := row{name: i.Name, wrong: i.Wrong}
	link, known := m.links[i.Name]
	switch {
	case topology.Tunnel(i.Type):
		r.kind = tunnelRow
		r.text = words(i.Type, m.far(i.Remote), keyText(i.Key))
	case i.Type == "patch":
		r.kind, r.text = patchRow, "patch to "+i.Peer
	case i.Logical != "" || i.Guest != "":
		r.kind, r.text = guestRow, words(i.Guest, i.Logical)
	case i.Type == "internal":
		r.kind, r.text = internalRow, words("internal", addresses(link))
	case i.Type != "":
		r.kind, r.text = nicRow, i.Type // dpdk, dpdkvhostuserclient, …
	case known:
		r = m.linkRow(link)
		r.wrong = i.Wrong
	default:
		r.kind = nicRow
	}
	return r
}

// far names the host at the other end of a tunnel.
func (m *cardMaker) far(remote string) string {
	if remote == "" {
		return ""
	}
	if at, ok := m.ends.host(remote); ok {
		return "to " + m.ends.names[at] + " " + remote
	}
	return "to " + remote
}

// join makes the lines within the host.
func (m *cardMaker) join() {
	seen := map[[2]string]bool{}
	for _, b := range m.t.Bridges {
		for _, p := range b.Ports {
			for _, i := range p.Interfaces {
				if i.Type != "patch" || seen[pairOf(i.Name, i.Peer)] || m.rows[i.Peer] == "" {
					continue
				}
				seen[pairOf(i.Name, i.Peer)] = true
				m.card.lines = append(m.card.lines, line{from: m.rows[i.Name], to: m.rows[i.Peer], kind: patchLine})
			}
		}
	}
	for _, l := range m.t.Links {
		if l.Kind == "vlan" && m.rows[l.Name] != "" && m.rows[l.Lower] != "" {
			m.card.lines = append(m.card.lines, line{from: m.rows[l.Name], to: m.rows[l.Lower], kind: vlanLine})
		}
	}
}

func mirrors(b topology.Bridge) string {
	var all []string
	for _, m := range b.Mirrors {
		to := m.Port
		if to == "" {
			to = fmt.Sprintf("VLAN %d", m.VLAN)
		}
		all = append(all, fmt.Sprintf("mirror %s to %s", m.Name, to))
	}
	return words(all...)
}

func bondText(b topology.Bond) string {
	lacp := ""
	if b.LACP != "" {
		lacp = "LACP " + b.LACP
	}
	return words("bond", b.Mode, lacp)
}

func keyText(key string) string {
	if key == "" || key == "flow" {
		return ""
	}
	return "key " + key
}

func vlans(p topology.Port) string {
	tag, trunks := "", ""
	if p.Tag != nil {
		tag = fmt.Sprintf("VLAN %d", *p.Tag)
	}
	if len(p.Trunks) > 0 {
		trunks = "trunk " + ranges(p.Trunks)
	}
	mode := ""
	switch p.VLANMode {
	case "native-tagged", "native-untagged", "dot1q-tunnel":
		mode = p.VLANMode
	case "trunk":
		trunks = cmp.Or(trunks, "trunk")
		tag = ""
	}
	fake := ""
	if p.FakeBridge {
		fake = "fake bridge"
	}
	return words(tag, mode, trunks, fake)
}
