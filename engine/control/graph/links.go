package graph

import (
	"fmt"
	"slices"
	"strings"

	"weft/engine/host/topology"
)

func (m *cardMaker) linkRow(l topology.Link) row {
	r := row{name: l.Name, kind: nicRow}
	mtu := ""
	if l.MTU != 0 && l.MTU != 1500 {
		mtu = fmt.Sprintf("mtu %d", l.MTU)
	}
	switch l.Kind {
	case "bond":
		r.kind = bondRow
		bond := topology.Bond{}
		if l.Bond != nil {
			bond = *l.Bond
		}
		r.text = words(bondText(bond), addresses(l), mtu)
	case "vlan":
		vlan := "VLAN"
		if l.VLAN != 0 {
			vlan = fmt.Sprintf("VLAN %d", l.VLAN)
		}
		if l.Lower != "" {
			vlan += " on " + l.Lower
		}
		r.kind, r.text = internalRow, words(vlan, addresses(l), mtu)
	default:
		r.text = words(l.Kind, addresses(l), mtu)
	}
	used := l.Master != "" || len(l.Addresses) > 0
	if used {
		r.wrong = l.State
	} else {
		r.text = words(r.text, l.State)
	}
	return r
}

// members adds the rows of a Linux bond's members.
func (m *cardMaker) members(b *box, bond string) {
	if m.links[bond].Kind != "bond" {
		return
	}
	for _, l := range m.t.Links {
		if l.Master == bond {
			r := m.linkRow(l)
			r.member = true
			m.add(b, r)
		}
	}
}

func (m *cardMaker) linuxBridges() {
	for _, l := range m.t.Links {
		if l.Kind != "bridge" || m.drawn[l.Name] {
			continue
		}
		m.drawn[l.Name] = true
		b := m.box(linuxBox, l.Name, words("Linux bridge", addresses(l)))
		for _, p := range m.t.Links {
			if p.Master == l.Name {
				m.add(b, m.linkRow(p))
				m.members(b, p.Name)
			}
		}
	}
}

// loose draws what is in no bridge.
func (m *cardMaker) loose() {
	var b *box
	for _, l := range m.t.Links {
		if m.drawn[l.Name] || l.Master != "" && m.links[l.Master].Kind == "bond" || m.idle(l) {
			continue
		}
		if b == nil {
			b = m.box(linksBox, "", "")
		}
		m.add(b, m.linkRow(l))
		m.members(b, l.Name)
	}
}

// idle says whether a device is one of those that kernel modules bring along
// (gre0, sit0, bond0, …) and nobody uses.
func (m *cardMaker) idle(l topology.Link) bool {
	brought := []string{"gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "ifb", "dummy", "bond"}
	return slices.Contains(brought, l.Kind) && l.State == "down" && len(l.Addresses) == 0 && l.Master == "" &&
		!slices.ContainsFunc(m.t.Links, func(o topology.Link) bool { return o.Lower == l.Name || o.Master == l.Name })
}

func addresses(l topology.Link) string {
	list := slices.Clone(l.Addresses)
	if len(list) > 3 {
		list = append(list[:2], fmt.Sprintf("and %d more", len(list)-2))
	}
	return strings.Join(list, " ")
}
