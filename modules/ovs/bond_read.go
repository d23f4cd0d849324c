package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// bond is the resource behind ovs_bond.
type bond struct{}

// bondPlace is where a bond stands in the database.
type bondPlace struct {
	bridge, port ovsdb.Row
	members      map[string]ovsdb.Row // by name
}

// findBond returns the place of a port, whatever the number of its interfaces:
// another hand may have left one.
func (t tables) findBond(name string) (bondPlace, bool, error) {
	p, there := named(t.ports, name)
	if !there {
		if i, taken := named(t.interfaces, name); taken {
			port, _ := t.portOf(i)
			return bondPlace{}, false, fmt.Errorf("the name is that of a member of bond %s", row.String(port, "name"))
		}
		return bondPlace{}, false, nil
	}
	at := bondPlace{port: p, members: map[string]ovsdb.Row{}}
	if at.bridge, _ = t.bridgeOf(p); row.String(at.bridge, "name") == name {
		return bondPlace{}, false, fmt.Errorf("the name is that of bridge %s's own port", name)
	}
	for _, id := range row.Refs(p, "interfaces") {
		at.members[row.String(t.interfaces[id], "name")] = t.interfaces[id]
	}
	return at, true, nil
}

// portOf returns the port of an interface.
func (t tables) portOf(iface ovsdb.Row) (ovsdb.Row, bool) {
	for _, p := range t.ports {
		if slices.Contains(row.Refs(p, "interfaces"), row.ID(iface)) {
			return p, true
		}
	}
	return nil, false
}

// outside finds the members that are interfaces of other ports, which must be
// theirs alone: of another bond none is taken.
func (t tables) outside(bond string, members []string) (map[string]place, error) {
	out := map[string]place{}
	for _, m := range members {
		i, known := named(t.interfaces, m)
		p, _ := t.portOf(i)
		if !known || row.String(p, "name") == bond {
			continue
		}
		b, _ := t.bridgeOf(p)
		if row.String(b, "name") == m {
			return nil, fmt.Errorf("member %s is the own port of a bridge", m)
		}
		if len(row.Refs(p, "interfaces")) > 1 {
			return nil, fmt.Errorf("member %s belongs to bond %s of bridge %s: let a step ovs_bond take it out there first",
				m, row.String(p, "name"), row.String(b, "name"))
		}
		out[m] = place{b, p, i}
	}
	return out, nil
}

func (bond) Read(ctx context.Context, v host.View, want BondSpec) (BondSpec, error) {
	have := BondSpec{Name: want.Name, State: step.Absent, Bridge: want.Bridge}
	t, err := readTables(ctx, v)
	if err != nil {
		return have, err
	}
	if have.Kept, err = want.keeping().read(ctx, v); err != nil {
		return have, err
	}
	if _, err := t.bridgeBefore(want.Bridge); err != nil && want.State.There() {
		return have, err
	}
	all, err := devices(ctx, v)
	if err != nil {
		return have, err
	}
	at, there, err := t.findBond(want.Name)
	if err != nil {
		return have, err
	}
	others, err := t.outside(want.Name, slices.Concat(want.Members, slices.Collect(maps.Keys(want.Alone))))
	if err != nil {
		return have, err
	}
	if err := refuse(want, t, all); err != nil {
		return have, err
	}
	if have.Alone, err = saveAll(ctx, v, others); err != nil {
		return have, err
	}
	if there {
		have.State, have.Bridge = step.Present, row.String(at.bridge, "name")
		have.Members = slices.Sorted(maps.Keys(at.members))
		if !want.State.There() || len(without(have.Members, want.Members)) > 0 {
			if have.Saved, err = save(ctx, v.OVSDB, "Port", row.ID(at.port)); err != nil {
				return have, err
			}
		}
		have.fill(want, at)
	}
	have.fillMembers(want, at, others, all)
	have.see(want, t, at, others, all)
	for _, m := range have.Members {
		said, err := unpolled(ctx, v, at.members[m])
		if err != nil {
			return have, err
		}
		if said != "" && want.State.There() && have.Error == "" {
			have.Error = m + ": " + said
		}
	}
	return have, nil
}

// without is what the second list does not hold of the first.
func without(list, less []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(less, s) })
}

// refuse refuses members that are no device here, or belong elsewhere: that
// should be said before anything is cut. A device of Open vSwitch's own, or of
// DPDK, needs not be there.
func refuse(want BondSpec, t tables, all map[string]device) error {
	if !want.State.There() {
		return nil
	}
	for _, m := range want.Members {
		_, known := named(t.interfaces, m)
		d, here := all[m]
		if !known && d.Master != "" {
			return fmt.Errorf("member %s belongs to %s, a bridge or bond of Linux: take it out there first (ip link set %s nomaster, and what makes it so at boot)", m, d.Master, m)
		}
		if !known && !here && sameOrSystem(step.Is(want.Interfaces[m].Type.Or("system")), step.Is("system")) {
			return fmt.Errorf("member %s is no device of this host: it may have another name, or another driver (vfio); or the step that brings it comes later: %w",
				m, step.ErrNotYet)
		}
	}
	return nil
}

// fill answers what want manages of a bond that is there; all of it, where the
// bond goes.
func (have *BondSpec) fill(want BondSpec, at bondPlace) {
	v := want.vlans()
	if !want.State.There() {
		want.Mode, want.LACP, want.FakeIface = step.None[string](), step.None[string](), step.None[bool]()
		want.UpDelay, want.DownDelay, v = step.None[int](), step.None[int](), wholeVLANs()
		want.OtherConfig, want.ExternalIDs = allKeys(at.port, "other_config"), allKeys(at.port, "external_ids")
	}
	have.Mode = readString(want.Mode, at.port, "bond_mode")
	have.LACP = readString(want.LACP, at.port, "lacp")
	have.UpDelay = readInt(want.UpDelay, at.port, "bond_updelay")
	have.DownDelay = readInt(want.DownDelay, at.port, "bond_downdelay")
	have.FakeIface = readBool(want.FakeIface, at.port, "bond_fake_iface")
	have.OtherConfig = readKeys(want.OtherConfig, at.port, "other_config")
	have.ExternalIDs = readKeys(want.ExternalIDs, at.port, "external_ids")
	v = v.read(at.port)
	have.Tag, have.Trunks, have.CVLANs, have.VLANMode = v.Tag, v.Trunks, v.CVLANs, v.Mode
	var broken []string
	for _, m := range have.Members {
		if said := portError(at.members[m]); said != "" {
			broken = append(broken, m+": "+said)
		}
	}
	have.Error = strings.Join(broken, "; ")
}

// fillMembers answers what want manages of interfaces and devices, in the bond
// or where they stand by themselves.
func (have *BondSpec) fillMembers(want BondSpec, at bondPlace, others map[string]place, all map[string]device) {
	for name, m := range want.Interfaces {
		iface, known := at.members[name]
		if !known {
			iface, known = others[name].iface, others[name].iface != nil
		}
		if have.Interfaces == nil {
			have.Interfaces = map[string]MemberSpec{}
		}
		have.Interfaces[name] = MemberSpec{}
		if known {
			have.Interfaces[name] = m.read(iface, all[name])
		}
	}
	have.Now = map[string]device{}
	for _, m := range slices.Concat(want.Members, have.Members, slices.Collect(maps.Keys(want.Device)), []string{have.Name}) {
		if d, here := all[m]; here {
			have.Now[m] = d
		}
	}
	have.Up = have.readUp(want)
	have.Device = have.lost(want, at, others)
}

func (want MemberSpec) read(iface ovsdb.Row, d device) MemberSpec {
	have := MemberSpec{
		Type:        readString(want.Type, iface, "type"),
		Options:     readKeys(want.Options, iface, "options"),
		MTU:         readInt(want.MTU, iface, "mtu_request"),
		OtherConfig: readKeys(want.OtherConfig, iface, "other_config"),
		ExternalIDs: readKeys(want.ExternalIDs, iface, "external_ids"),
	}
	if want.MTU.Managed() {
		have.ActualMTU = d.MTU
	}
	return have
}

// readUp says true where all devices are up and false where none is; where they
// differ, the other of what is wanted.
func (have *BondSpec) readUp(want BondSpec) step.Attr[bool] {
	if !want.Up.Managed() {
		return step.Attr[bool]{}
	}
	for _, m := range want.Members {
		if d, here := have.Now[m]; here && d.Up.Or(false) != want.Up.Or(false) {
			return d.Up
		}
	}
	return want.Up
}

// lost is what a change takes from devices, and the database does not keep: all
// of one that Open vSwitch makes anew, and of a NIC its state and its MTU.
func (have *BondSpec) lost(want BondSpec, at bondPlace, others map[string]place) lostDevices {
	out := lostDevices{}
	for m, d := range have.Now {
		iface, inBond := at.members[m]
		if !inBond {
			iface = others[m].iface
		}
		_, requested := row.Int(iface, "mtu_request")
		_, asked := want.Interfaces[m].MTU.Get()
		stays := inBond && want.State.There() && slices.Contains(want.Members, m) && have.Bridge == want.Bridge
		var lost device
		switch {
		case m == have.Name && !inBond:
			if on, _ := row.Bool(at.port, "bond_fake_iface"); on && (!want.State.There() || !want.FakeIface.Or(true) || have.Bridge != want.Bridge) {
				lost = d
				lost.MTU = 0
			}
		case iface != nil && !isNIC(iface) && !stays:
			lost = d
			lost.MTU = 0 // Open vSwitch's, which keeps what was asked for
		case iface == nil || isNIC(iface):
			if want.Up.Managed() && d.Up.Or(false) != want.Up.Or(false) {
				lost.Up = d.Up
			}
			if asked && !requested {
				lost.MTU = d.MTU
			}
		}
		if lost.Up.Managed() || lost.MTU != 0 {
			out[m] = lost
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// see collects what costs and warnings speak of.
func (have *BondSpec) see(want BondSpec, t tables, at bondPlace, others map[string]place, all map[string]device) {
	if at.bridge != nil {
		have.Seen.Carries = t.carriers(at.bridge, all)
	}
	for _, m := range want.Members {
		d, here := all[m]
		if here && !d.Up.Or(false) {
			have.Seen.Down = append(have.Seen.Down, m)
		}
		if _, inBond := at.members[m]; inBond {
			continue
		}
		if o, alone := others[m]; alone {
			have.Seen.Joins = append(have.Seen.Joins, t.carriers(o.bridge, all)...)
		} else if d.busy() {
			have.Seen.Joins = append(have.Seen.Joins, m)
		}
	}
	have.Seen.Mode, have.Seen.LACP = row.String(at.port, "bond_mode"), row.String(at.port, "lacp")
	have.Seen.Falls = row.Map(at.port, "other_config")["lacp-fallback-ab"]
}
