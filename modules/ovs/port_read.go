package ovs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// port is the resource behind ovs_port.
type port struct{}

// place is where a port stands in the database.
type place struct {
	bridge, port, iface ovsdb.Row
}

// find returns the place of a port with one interface.
func (t tables) find(name string) (place, bool, error) {
	p, there := named(t.ports, name)
	if !there {
		if i, taken := named(t.interfaces, name); taken {
			return place{}, false, fmt.Errorf("interface %s is a member of a bond", row.String(i, "name"))
		}
		return place{}, false, nil
	}
	b, _ := t.bridgeOf(p)
	if row.String(b, "name") == name {
		return place{}, false, fmt.Errorf("it is the own port of bridge %s: ovs_bridge describes it", name)
	}
	ids := row.Refs(p, "interfaces")
	if len(ids) != 1 {
		return place{}, false, fmt.Errorf("it is a bond of %d interfaces, and ovs_port is for ports of one", len(ids))
	}
	return place{b, p, t.interfaces[ids[0]]}, true, nil
}

func (port) Read(ctx context.Context, v host.View, want PortSpec) (PortSpec, error) {
	have := PortSpec{Name: want.Name, State: step.Absent, Bridge: want.Bridge}
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
	have.Seen.Busy = all[want.Name].busy()
	have.Seen.Peer = t.peerProblem(want)
	at, there, err := t.find(want.Name)
	if err != nil {
		return have, err
	}
	if !there {
		have.Device = asleep(want, all)
		return have, nil
	}
	have.State, have.Bridge = step.Present, row.String(at.bridge, "name")
	if !isNIC(at.iface) {
		have.Seen.Busy = all[want.Name].bears()
	}
	have.Seen.Beside = slices.DeleteFunc(t.carriers(at.bridge, all), func(name string) bool { return name == want.Name })
	if !want.State.There() {
		if have.Saved, err = save(ctx, v.OVSDB, "Port", row.ID(at.port)); err != nil {
			return have, err
		}
		want = wholePort(want.Name, at)
	}
	have = have.fill(want, at, all)
	if have.Error == "" && want.State.There() {
		have.Error, err = unpolled(ctx, v, at.iface)
	}
	return have, err
}

// wholePort manages everything, to record a port that goes.
func wholePort(name string, at place) PortSpec {
	s := PortSpec{
		Name: name, State: step.Absent, Type: step.None[string](), Tag: step.None[int](), Trunks: []int{}, CVLANs: []int{},
		VLANMode: step.None[string](), Protected: step.None[bool](), FakeBridge: step.None[bool](), MAC: step.None[string](), MTU: step.None[int](), OFPort: step.None[int](),
		PolicingRate: step.None[int](), PolicingBurst: step.None[int](), Up: step.None[bool](), Addresses: []string{},
	}
	ofPort, ofInterface := s.keyed()
	for column, keys := range ofPort {
		*keys = allKeys(at.port, column)
	}
	for column, keys := range ofInterface {
		*keys = allKeys(at.iface, column)
	}
	return s
}

// fill answers what want manages of a port that is there.
func (have PortSpec) fill(want PortSpec, at place, all map[string]device) PortSpec {
	have.Type = readString(want.Type, at.iface, "type")
	v := want.vlans().read(at.port)
	have.Tag, have.Trunks, have.CVLANs, have.VLANMode = v.Tag, v.Trunks, v.CVLANs, v.Mode
	have.Protected = readBool(want.Protected, at.port, "protected")
	have.FakeBridge = readBool(want.FakeBridge, at.port, "fake_bridge")
	have.OFPort = readInt(want.OFPort, at.iface, "ofport_request")
	have.PolicingRate = readInt(want.PolicingRate, at.iface, "ingress_policing_rate")
	have.PolicingBurst = readInt(want.PolicingBurst, at.iface, "ingress_policing_burst")
	wantPort, wantInterface := want.keyed()
	havePort, haveInterface := have.keyed()
	for column, keys := range wantPort {
		*havePort[column] = readKeys(*keys, at.port, column)
	}
	for column, keys := range wantInterface {
		*haveInterface[column] = readKeys(*keys, at.iface, column)
	}
	d, here := all[have.Name]
	seen := want.device().read(deviceSpec{
		MTU: readInt(want.MTU, at.iface, "mtu_request"),
		MAC: readString(want.MAC, at.iface, "mac"),
	}, d)
	have.MTU, have.MAC, have.Up, have.Addresses = seen.MTU, seen.MAC, seen.Up, seen.Addresses
	have.ActualMTU, have.ActualMAC = seen.ActualMTU, seen.ActualMAC
	have.Error = portError(at.iface)
	have.Seen.OFPort, _ = row.Int(at.iface, "ofport")
	have.Seen.MAC = strings.ToLower(row.String(at.iface, "mac_in_use"))
	have.Device = have.lost(want, d, here)
	return have
}

// lost is what a change takes from the device and the database does not keep.
func (have PortSpec) lost(want PortSpec, d device, here bool) map[string]device {
	mine := have.Type.Or("") == "internal"
	switch {
	case !here:
		return nil
	case want.Device != nil, want.State == step.Absent && mine:
		return map[string]device{have.Name: d}
	case mine && (have.Bridge != want.Bridge || !sameOrSystem(have.Type, want.Type) || have.ActualMAC != want.device().mac()):
		return map[string]device{have.Name: d} // made anew, or down for the moment of a new MAC address
	}
	return nil
}

// asleep returns a NIC that is down before it becomes a port, which brings it up.
func asleep(want PortSpec, all map[string]device) map[string]device {
	d, here := all[want.Name]
	if !here || !want.State.There() || !want.Up.Managed() || d.Up.Or(false) {
		return nil
	}
	return map[string]device{want.Name: {Up: d.Up}}
}

// portError says in what way a port does not work; empty where it does. A
// patch whose peer is missing has a number and works once the peer comes.
func portError(iface ovsdb.Row) string {
	said := row.String(iface, "error")
	n, ok := row.Int(iface, "ofport")
	switch {
	case row.String(iface, "type") == "patch" && n > 0:
		return ""
	case said != "":
		return said
	case !ok:
		return "ovs-vswitchd has not made it"
	case n <= 0:
		return "it has no OpenFlow port number"
	}
	return ""
}

// peerProblem says what is wrong with the peer of a patch port.
func (t tables) peerProblem(want PortSpec) string {
	peer, ok := want.Options["peer"].Get()
	if !ok || want.kind() != "patch" || !want.State.There() {
		return ""
	}
	i, there := named(t.interfaces, peer)
	switch {
	case !there:
		return "its peer " + peer + " is not there yet"
	case row.String(i, "type") != "patch" || row.Map(i, "options")["peer"] != want.Name:
		return "its peer " + peer + " does not name it in return"
	}
	return ""
}

// sameOrSystem compares types of datapaths and of interfaces, where absent means
// system.
func sameOrSystem(a, b step.Attr[string]) bool {
	return !a.Managed() || !b.Managed() || a.Or("system") == b.Or("system")
}

func (port) Diff(have, want PortSpec) []step.Delta {
	if sameOrSystem(have.Type, want.Type) {
		have.Type = want.Type
	}
	have.MAC = likeMAC(have.MAC, want.MAC)
	have.Persist, have.PersistBy = want.Persist, want.PersistBy // the files say it
	deltas := step.Compare(have, want)
	if have.State.There() && want.State.There() {
		if have.Error != "" && want.Error == "" {
			deltas = append(deltas, step.Change("error", have.Error, nil))
		}
		deltas = append(deltas, want.device().deltas(have.device(), "mtu_request.device", "mac.device")...)
		deltas = append(deltas, deviceDeltas(have.Device, want.Device)...)
	}
	return append(deltas, keptDelta(have.Kept, want.Kept)...)
}

func (port) Advise(f *step.Finding, have, want PortSpec) {
	if want.State.There() {
		f.Outputs = mustJSON(PortOutputs{OFPort: max(have.Seen.OFPort, 0), MAC: have.Seen.MAC})
		if have.Seen.Peer != "" {
			f.Warnings = append(f.Warnings, "patch port "+want.Name+": "+have.Seen.Peer)
		}
	}
	for _, d := range f.Deltas {
		severs(f, have.severedBy(d, want))
	}
	f.Warnings = append(f.Warnings, keptNotes(have.Kept)...)
}
