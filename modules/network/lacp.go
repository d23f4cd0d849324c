package network

import (
	"slices"
	"strconv"
	"strings"
)

// lacpBond is what a bond knows of its partners (IEEE 802.1AX).
type lacpBond struct {
	Mode    string // as its driver spells it: "balance-tcp", "IEEE 802.3ad Dynamic link aggregation"
	Members []lacpMember
}

// lacpMember is one leg of a bond.
type lacpMember struct {
	Name     string
	Heard    heard
	Attached bool // of the group of ports that the bond uses
	Enabled  bool // carries traffic
	Down     bool // has no carrier
	Damaged  int  // LACPDUs that came and could not be read

	Partner      string // system id, an Ethernet address; empty where nobody is heard
	PartnerKey   int    // of the partner's group of ports
	PartnerTakes bool   // the partner collects and distributes here
}

// heard is what a member has received of a partner, by ovs-vswitchd's words.
type heard string

const (
	current   heard = "current"   // LACPDUs come
	expired   heard = "expired"   // none came for three times the interval
	defaulted heard = "defaulted" // none came for so long that the partner is forgotten
)

const nobody = "00:00:00:00:00:00"

// good says whether the member does all it should.
func (m lacpMember) good() bool {
	return m.Heard == current && m.Attached && m.Enabled && m.PartnerTakes && !m.Down && m.Partner != ""
}

// member returns the member of a name, which is made where it is new.
func (b *lacpBond) member(name string) *lacpMember {
	i := slices.IndexFunc(b.Members, func(m lacpMember) bool { return m.Name == name })
	if i < 0 {
		b.Members = append(b.Members, lacpMember{Name: name})
		i = len(b.Members) - 1
	}
	return &b.Members[i]
}

// readShow reads what ovs-vswitchd(8) says to lacp/show BOND and bond/show
// BOND. Before Open vSwitch 2.15 a member was called a slave.
func readShow(lacp, bond string) lacpBond {
	var b lacpBond
	var at *lacpMember
	for line := range strings.Lines(lacp) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "member", "slave":
			name, status, _ := strings.Cut(value, ":")
			at = b.member(strings.TrimSpace(name))
			words := strings.Fields(status)
			if len(words) == 2 {
				at.Heard, at.Attached = heard(words[0]), words[1] == "attached"
			}
			continue
		}
		if at == nil {
			continue
		}
		switch name {
		case "partner sys_id":
			if value != nobody {
				at.Partner = value
			}
		case "partner key":
			at.PartnerKey, _ = strconv.Atoi(value)
		case "partner state":
			at.PartnerTakes = takesAll(strings.Fields(value))
		}
	}
	for line := range strings.Lines(bond) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		words := strings.Fields(name)
		switch {
		case name == "bond_mode":
			b.Mode = value
		case len(words) == 2 && (words[0] == "member" || words[0] == "slave"):
			b.member(words[1]).Enabled = value == "enabled"
		}
	}
	return b
}

// readDamaged reads what ovs-vswitchd(8) says to lacp/show-stats BOND.
func (b *lacpBond) readDamaged(stats string) {
	var at *lacpMember
	for line := range strings.Lines(stats) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "member" || name == "slave":
			of, _, _ := strings.Cut(value, ":")
			at = b.member(of)
		case at != nil && name == "RX Bad PDUs":
			at.Damaged, _ = strconv.Atoi(value)
		}
	}
}

func takesAll(state []string) bool {
	return slices.Contains(state, "collecting") && slices.Contains(state, "distributing")
}

// Bits of a port's state, IEEE 802.1AX, 6.4.2.3.
const (
	stateSynchronized = 1 << 3
	stateCollects     = 1 << 4
	stateDistributes  = 1 << 5
	stateDefaulted    = 1 << 6
	stateExpired      = 1 << 7
)

// readBonding reads a file of /proc/net/bonding; see bonding.rst of the kernel.
// What its driver says of LACP is shown to root alone.
func readBonding(text string) lacpBond {
	var b lacpBond
	var at *lacpMember
	active, section := "", ""
	groups := map[string]string{} // of the members' aggregators
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "Slave Interface":
			at, section = b.member(value), ""
		case name == "Bonding Mode":
			b.Mode = value
		case at == nil && name == "Aggregator ID":
			active = value
		case at == nil:
		case name == "Aggregator ID":
			groups[at.Name] = value
		case name == "MII Status":
			at.Down = value != "up"
		case name == "details actor lacp pdu", name == "details partner lacp pdu":
			section = name
		case section == "details actor lacp pdu" && name == "port state":
			at.actor(value)
		case section == "details partner lacp pdu":
			at.partner(name, value)
		}
	}
	for i := range b.Members {
		m := &b.Members[i]
		m.Attached = m.Attached && active != "" && groups[m.Name] == active
	}
	return b
}

func (m *lacpMember) actor(value string) {
	state, err := strconv.Atoi(value)
	if err != nil {
		return
	}
	switch {
	case state&stateDefaulted != 0:
		m.Heard = defaulted
	case state&stateExpired != 0:
		m.Heard = expired
	default:
		m.Heard = current
	}
	m.Attached = state&stateSynchronized != 0
	m.Enabled = state&stateCollects != 0 && state&stateDistributes != 0 && !m.Down
}

func (m *lacpMember) partner(name, value string) {
	switch name {
	case "system mac address":
		if value != nobody {
			m.Partner = value
		}
	case "oper key":
		m.PartnerKey, _ = strconv.Atoi(value)
	case "port state":
		state, _ := strconv.Atoi(value)
		m.PartnerTakes = state&stateCollects != 0 && state&stateDistributes != 0
	}
}
