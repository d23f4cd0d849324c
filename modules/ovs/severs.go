package ovs

import (
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// carriers are the devices whose traffic goes through a bridge: its NICs and,
// where they have addresses or other devices stand on them, its own port and its
// internal ports; those of bridges that patch ports join to it too.
func (t tables) carriers(bridge ovsdb.Row, all map[string]device) []string {
	var names []string
	for _, b := range t.joined(bridge) {
		for _, i := range t.interfacesOf(b) {
			name := row.String(i, "name")
			switch d, here := all[name]; {
			case !here:
			case row.String(i, "type") == "internal" && d.bears(), isNIC(i) && d.busy():
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isNIC says whether an interface is a device that Open vSwitch did not make.
func isNIC(i ovsdb.Row) bool {
	kind := row.String(i, "type")
	return kind == "" || kind == "system"
}

// bears says whether anything is lost where the device passes nothing.
func (d device) bears() bool { return len(d.Addresses) > 0 || d.Under }

// busy says the same of a NIC, whose traffic may be that of others: it need only
// be up.
func (d device) busy() bool { return d.bears() || d.Up.Or(false) }

// joined are a bridge and those that patch ports join to it.
func (t tables) joined(bridge ovsdb.Row) []ovsdb.Row {
	out := []ovsdb.Row{bridge}
	for n := 0; n < len(out); n++ {
		for _, i := range t.interfacesOf(out[n]) {
			if row.String(i, "type") != "patch" {
				continue
			}
			far, _ := named(t.ports, row.Map(i, "options")["peer"])
			b, there := t.bridgeOf(far)
			if there && !slices.ContainsFunc(out, func(o ovsdb.Row) bool { return row.ID(o) == row.ID(b) }) {
				out = append(out, b)
			}
		}
	}
	return out
}

// severedBy are the links that a change of a bridge may cut.
func (have BridgeSpec) severedBy(d step.Delta, want BridgeSpec) []string {
	if !have.State.There() {
		return nil
	}
	switch d.Path {
	case "state", "datapath_type", "stp_enable", "rstp_enable", "controllers":
		return have.Seen.Carries
	case "fail_mode", "protocols":
		if want.FailMode.Or("") == "secure" || d.Path == "protocols" {
			return have.Seen.Carries // without a controller it drops
		}
	case "addresses", "up", "hwaddr", "hwaddr.device", "other_config.hwaddr":
		if slices.Contains(have.Seen.Carries, have.Name) {
			return []string{have.Name}
		}
	}
	return nil
}

// severedBy are the links that a change of a port may cut: the NIC that joins or
// leaves a bridge, and what is beside a port that no longer passes what it did.
func (have PortSpec) severedBy(d step.Delta, want PortSpec) []string {
	alone := []string{}
	if have.Seen.Busy {
		alone = append(alone, have.Name)
	}
	switch d.Path {
	case "state", "bridge":
		if want.State.There() && want.kind() == "system" || have.State.There() {
			return slices.Concat(alone, have.Seen.Beside)
		}
	case "tag", "trunks", "cvlans", "vlan_mode", "protected", "type", "options.peer":
		if have.State.There() {
			return slices.Concat(alone, have.Seen.Beside)
		}
	case "up":
		if have.Up.Or(false) {
			return slices.Concat(alone, have.Seen.Beside)
		}
	case "mac", "mac.device", "addresses":
		if have.State.There() {
			return alone
		}
	}
	return nil
}

// severs adds links to those that a finding names.
func severs(f *step.Finding, links []string) {
	for _, l := range links {
		if !slices.Contains(f.Cost.Severs, l) {
			f.Cost.Severs = append(f.Cost.Severs, l)
		}
	}
}
