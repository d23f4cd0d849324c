package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/guests"
	"weft/engine/host/row"
	"weft/engine/step"
)

// bridge is the resource behind ovs_bridge.
type bridge struct{}

func (bridge) Read(ctx context.Context, v host.View, want BridgeSpec) (BridgeSpec, error) {
	have := BridgeSpec{Name: want.Name, State: step.Absent}
	t, err := readTables(ctx, v)
	if err != nil {
		return have, err
	}
	if have.Kept, err = want.keeping().read(ctx, v); err != nil {
		return have, err
	}
	b, there := named(t.bridges, want.Name)
	if !there {
		return have, noOther(t, want.Name)
	}
	have.State = step.Present
	all, err := devices(ctx, v)
	if err != nil {
		return have, err
	}
	if !want.State.There() {
		if have.Saved, err = save(ctx, v.OVSDB, "Bridge", row.ID(b)); err != nil {
			return have, err
		}
		want = wholeBridge(b)
	}
	if other := t.rapidNeighbour(have.Name); want.RSTP.Or(false) && !t.rapid(have.Name) && other != "" {
		return have, fmt.Errorf("patch ports join it to bridge %s, which has rstp_enable, and ovs-vswitchd aborts where frames of RSTP cross a patch port, also each time it is started again; set stp_enable = true instead, on both: %w",
			other, step.ErrNotYet)
	}
	have = have.fill(want, t, b, all)
	if have.madeAnew(want) {
		hit, err := guests.OnSwitch(ctx, v, have.Name)
		if err != nil {
			return have, fmt.Errorf("find the virtual machines on bridge %s: %w", have.Name, err)
		}
		have.Seen.Guests, have.Seen.Unsure = hit.Names, hit.Warnings
	}
	return have, nil
}

// madeAnew says whether a change takes the ports of the bridge away for a moment:
// taps and vhost-user ports live in one datapath.
func (have BridgeSpec) madeAnew(want BridgeSpec) bool {
	return have.State.There() && want.State.There() && !sameOrSystem(have.DatapathType, want.DatapathType)
}

// noOther refuses a name that a port already has: names of ports are one
// space in Open vSwitch.
func noOther(t tables, name string) error {
	if _, taken := named(t.ports, name); taken {
		return fmt.Errorf("the name is taken by a port of another bridge")
	}
	return nil
}

// wholeBridge manages everything, to record a bridge that goes.
func wholeBridge(b ovsdb.Row) BridgeSpec {
	return BridgeSpec{
		State: step.Absent, DatapathType: step.None[string](), FailMode: step.None[string](), Hwaddr: step.None[string](), Protocols: []string{},
		STP: step.None[bool](), RSTP: step.None[bool](), Snooping: step.None[bool](), MTU: step.None[int](), Up: step.None[bool](),
		OtherConfig: allKeys(b, "other_config", "hwaddr"), ExternalIDs: allKeys(b, "external_ids"), Addresses: []string{}, Controllers: []Remote{},
	}
}

// fill answers what want manages of a bridge that is there.
func (have BridgeSpec) fill(want BridgeSpec, t tables, b ovsdb.Row, all map[string]device) BridgeSpec {
	own, _ := named(t.interfaces, want.Name)
	if want.Name == "" {
		own, _ = named(t.interfaces, have.Name)
	}
	d, deviceThere := all[have.Name]
	have.DatapathType = readString(want.DatapathType, b, "datapath_type")
	have.FailMode = readString(want.FailMode, b, "fail_mode")
	have.Protocols = readStrings(want.Protocols, b, "protocols")
	have.STP = readBool(want.STP, b, "stp_enable")
	have.RSTP = readBool(want.RSTP, b, "rstp_enable")
	have.Snooping = readBool(want.Snooping, b, "mcast_snooping_enable")
	have.Controllers, have.Remotes = controllers().read(want.Controllers, b, t.controllers)
	have.Seen.Silent = silent(want.Controllers, have.Remotes)
	have.OtherConfig = readKeys(want.OtherConfig, b, "other_config")
	have.ExternalIDs = readKeys(want.ExternalIDs, b, "external_ids")
	columns := deviceSpec{MTU: readInt(want.MTU, own, "mtu_request")}
	if hw, ok := row.Map(b, "other_config")["hwaddr"]; want.Hwaddr.Managed() && ok {
		columns.MAC = step.Is(hw)
	} else if want.Hwaddr.Managed() {
		columns.MAC = step.None[string]()
	}
	seen := want.device().read(columns, d)
	have.MTU, have.Hwaddr, have.Up, have.Addresses = seen.MTU, seen.MAC, seen.Up, seen.Addresses
	have.ActualMTU = seen.ActualMTU
	if columns.MAC.Or("") != "" { // else Open vSwitch chooses, and chooses again
		have.ActualMAC = seen.ActualMAC
	}
	have.Error = bridgeError(own, deviceThere)
	have.see(t, b, own, all)
	switch {
	case want.State == step.Absent || want.Device != nil || have.madeAnew(want):
		have.Device = t.devicesOf(b, all)
	case want.Hwaddr.Managed() && likeMAC(have.Hwaddr, want.Hwaddr) != want.Hwaddr && deviceThere:
		// Open vSwitch takes the device down to change its MAC address, and
		// IPv6 addresses do not survive that.
		d.MAC = ""
		have.Device = map[string]device{have.Name: d}
	}
	return have
}

// devicesOf are the devices that die with a bridge. Its own gets its address
// from Open vSwitch.
func (t tables) devicesOf(b ovsdb.Row, all map[string]device) map[string]device {
	out := map[string]device{}
	for _, i := range t.interfacesOf(b) {
		name := row.String(i, "name")
		d, here := all[name]
		if !here || row.String(i, "type") != "internal" {
			continue
		}
		if name == row.String(b, "name") {
			d.MAC = ""
		}
		out[name] = d
	}
	return out
}

// bridgeError says in what way a bridge is not at work; empty where it is.
func bridgeError(own ovsdb.Row, deviceThere bool) string {
	if said := row.String(own, "error"); said != "" {
		return said
	}
	switch n, ok := row.Int(own, "ofport"); {
	case !ok:
		return "ovs-vswitchd has not made it"
	case n <= 0:
		return "its own port has no number"
	case !deviceThere:
		return "there is no network device of its name"
	}
	return ""
}

func (have *BridgeSpec) see(t tables, b, own ovsdb.Row, all map[string]device) {
	have.Seen.Carries = t.carriers(b, all)
	have.Seen.DatapathID = row.String(b, "datapath_id")
	have.Seen.MAC = strings.ToLower(row.String(own, "mac_in_use"))
	for _, i := range t.interfacesOf(b) {
		name := row.String(i, "name")
		_, here := all[name]
		if name == have.Name {
			continue
		}
		have.Seen.Ports = append(have.Seen.Ports, name)
		if n, _ := row.Int(i, "ofport"); !here && n > 0 && row.String(i, "type") == "internal" {
			have.Seen.Elsewhere = append(have.Seen.Elsewhere, name)
		}
	}
	slices.Sort(have.Seen.Ports)
	slices.Sort(have.Seen.Elsewhere)
}

func (bridge) Diff(have, want BridgeSpec) []step.Delta {
	if sameOrSystem(have.DatapathType, want.DatapathType) {
		have.DatapathType = want.DatapathType
	}
	have.Hwaddr = likeMAC(have.Hwaddr, want.Hwaddr)
	have.Persist, have.PersistBy = want.Persist, want.PersistBy // the files say it
	deltas := step.Compare(have, want)
	if have.State.There() && want.State.There() {
		if have.Error != "" && want.Error == "" {
			deltas = append(deltas, step.Change("error", have.Error, nil))
		}
		deltas = append(deltas, want.device().deltas(have.device(), "mtu.device", "hwaddr.device")...)
		deltas = append(deltas, deviceDeltas(have.Device, want.Device)...)
	}
	return append(deltas, keptDelta(have.Kept, want.Kept)...)
}

// likeMAC spells an address as want does where both are the same.
func likeMAC(have, want step.Attr[string]) step.Attr[string] {
	h, _ := have.Get()
	if w, ok := want.Get(); ok && sameMAC(w, h) {
		return want
	}
	return have
}

// deviceDeltas compares devices that undo wants back, where they are known.
func deviceDeltas(have, want map[string]device) []step.Delta {
	var deltas []step.Delta
	if have == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if found := have[name]; !found.has(want[name]) {
			deltas = append(deltas, step.Change("devices."+name, found, want[name]))
		}
	}
	return deltas
}

func (bridge) Advise(f *step.Finding, have, want BridgeSpec) {
	if want.State.There() {
		f.Outputs = mustJSON(BridgeOutputs{DatapathID: have.Seen.DatapathID, MAC: have.Seen.MAC})
	}
	for _, d := range f.Deltas {
		severs(f, have.severedBy(d, want))
		switch {
		case d.Path == "state" && !want.State.There():
			if n := len(have.Seen.Ports); n > 0 {
				f.Cost.Disruption = fmt.Sprintf("removes %d ports: %s", n, strings.Join(have.Seen.Ports, ", "))
			}
			for _, name := range have.Seen.Elsewhere {
				f.Warnings = append(f.Warnings, "the device of port "+name+" lives in a network namespace; undo brings it back in the host's own")
			}
		case d.Path == "datapath_type" && have.State.There():
			f.Cost.Disruption = "makes the bridge and the devices of its ports anew: a dataplane outage of seconds"
			f.Cost.Guests = have.Seen.Guests
			f.Warnings = append(f.Warnings, have.Seen.Unsure...)
		}
	}
	if want.State.There() {
		f.Warnings = append(append(f.Warnings, openWarnings(want.Controllers)...), have.Seen.Silent...)
	}
	f.Warnings = append(f.Warnings, keptNotes(have.Kept)...)
}
