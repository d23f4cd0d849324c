package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// patch is the resource behind ovs_patch.
type patch struct{}

func (patch) Read(ctx context.Context, v host.View, want PatchSpec) (PatchSpec, error) {
	have := PatchSpec{State: step.Absent, Near: PatchEnd{Port: want.Near.Port}, Far: PatchEnd{Port: want.Far.Port}}
	t, err := readTables(ctx, v)
	if err != nil {
		return have, err
	}
	if have.Kept, err = want.keeping().read(ctx, v); err != nil {
		return have, err
	}
	if err := t.joinable(want); err != nil {
		return have, err
	}
	have.Now, err = devices(ctx, v)
	if err != nil {
		return have, err
	}
	if have.Replaced, err = t.replaced(ctx, v, want); err != nil {
		return have, err
	}
	near, err := have.readEnd(ctx, v, t, want.State, &have.Near, want.Near)
	if err != nil {
		return have, err
	}
	far, err := have.readEnd(ctx, v, t, want.State, &have.Far, want.Far)
	if err != nil {
		return have, err
	}
	if have.State.There() {
		have.Half = missing(near, far, want)
		have.Error = pairError(near.iface, far.iface)
	}
	have.Device = have.lost(want)
	have.see(want, t, near, far)
	return have, nil
}

// missing names the end that is not there, where the other is.
func missing(near, far place, want PatchSpec) string {
	switch {
	case near.port == nil:
		return "without " + want.Near.Port
	case far.port == nil:
		return "without " + want.Far.Port
	}
	return ""
}

// pairError says in what way a pair carries nothing, though each end names the
// other; empty where it works.
func pairError(near, far ovsdb.Row) string {
	for i, iface := range []ovsdb.Row{near, far} {
		other := []ovsdb.Row{far, near}[i]
		peer := map[string]string{"peer": row.String(other, "name")}
		if row.String(iface, "type") != "patch" || !maps.Equal(row.Map(iface, "options"), peer) {
			return "" // that is what is wrong
		}
	}
	for _, iface := range []ovsdb.Row{near, far} {
		said := portError(iface)
		if said == "" {
			said = row.String(iface, "error")
		}
		if said != "" {
			return "port " + row.String(iface, "name") + ": " + said
		}
	}
	return ""
}

// joinable refuses bridges that no patch port joins.
func (t tables) joinable(want PatchSpec) error {
	var kinds []string
	for _, e := range []PatchEnd{want.Near, want.Far} {
		b, err := t.bridgeBefore(e.Bridge)
		if err != nil && want.State.There() && e.Bridge != "" {
			return err
		}
		if err == nil {
			kinds = append(kinds, datapathOf(b))
		}
	}
	if want.State.There() && len(kinds) == 2 && kinds[0] != kinds[1] {
		return fmt.Errorf("bridge %s is of datapath_type %s and %s of %s, and no patch port joins the two: give both the same in their steps ovs_bridge: %w",
			want.Near.Bridge, kinds[0], want.Far.Bridge, kinds[1], step.ErrNotYet)
	}
	if want.State.There() && !t.joins(want) && t.rapid(want.Near.Bridge) && t.rapid(want.Far.Bridge) {
		return fmt.Errorf("bridges %s and %s both have rstp_enable, and ovs-vswitchd aborts where frames of RSTP cross a patch port, also each time it is started again; set stp_enable = true instead in their steps ovs_bridge: %w",
			want.Near.Bridge, want.Far.Bridge, step.ErrNotYet)
	}
	return nil
}

func datapathOf(bridge ovsdb.Row) string {
	if kind := row.String(bridge, "datapath_type"); kind != "" {
		return kind
	}
	return "system"
}

// replaced records the ports that are still there and should not, or that undo
// wants there.
func (t tables) replaced(ctx context.Context, v host.View, want PatchSpec) (map[string]alone, error) {
	ports, names := map[string]place{}, slices.Collect(maps.Keys(want.Replaced))
	if want.State.There() {
		names = append(names, want.Replaces...)
	}
	for _, name := range names {
		at, there, err := t.find(name)
		if err != nil {
			return nil, fmt.Errorf("port %s, which is to be replaced: %w", name, err)
		}
		if there {
			ports[name] = at
		}
	}
	return saveAll(ctx, v, ports)
}

// readEnd answers what want manages of one end, and returns where it stands.
func (have *PatchSpec) readEnd(ctx context.Context, v host.View, t tables, state step.State, end *PatchEnd, want PatchEnd) (place, error) {
	at, there, err := t.find(want.Port)
	if err != nil {
		return at, fmt.Errorf("port %s: %w", want.Port, err)
	}
	if !there {
		return at, nil
	}
	if _, here := have.Now[want.Port]; here && isNIC(at.iface) && state.There() {
		return at, fmt.Errorf("port %s of bridge %s is a device of this host: give the patch port another name", want.Port, row.String(at.bridge, "name"))
	}
	have.State = step.Present
	columns := want.vlans()
	if !state.There() || want.Bridge == "" {
		columns = wholeVLANs()
	}
	end.Bridge = row.String(at.bridge, "name")
	if !state.There() || want.Bridge != end.Bridge {
		if end.Saved, err = save(ctx, v.OVSDB, "Port", row.ID(at.port)); err != nil {
			return at, err
		}
	}
	columns = columns.read(at.port)
	end.Tag, end.Trunks, end.VLANMode = columns.Tag, columns.Trunks, columns.Mode
	end.Type, end.Options = row.String(at.iface, "type"), row.Map(at.iface, "options")
	return at, nil
}

// lost are devices of Open vSwitch's own that go when their ports become patch
// ports, are replaced or removed.
func (have *PatchSpec) lost(want PatchSpec) lostDevices {
	var names []string
	wanted := want.ends()
	for side, e := range have.ends() {
		goes := !want.State.There() || wanted[side].Type != e.Type || wanted[side].Bridge != e.Bridge
		if e.Bridge != "" && e.Type != "patch" && goes {
			names = append(names, e.Port)
		}
	}
	for name, r := range have.Replaced {
		if slices.Contains(want.Replaces, name) && !isNIC(ovsdb.Row(r.Saved.Rows[1].Row)) {
			names = append(names, name)
		}
	}
	var out lostDevices
	for _, name := range names {
		d, here := have.Now[name]
		if !here {
			continue
		}
		if out == nil {
			out = lostDevices{}
		}
		d.MTU = 0 // Open vSwitch's, which keeps what was asked for
		out[name] = d
	}
	return out
}

func (have *PatchSpec) see(want PatchSpec, t tables, ends ...place) {
	var bridges []ovsdb.Row
	for _, at := range ends {
		if at.bridge != nil {
			bridges = append(bridges, at.bridge)
		}
	}
	for _, e := range want.ends() {
		if b, there := named(t.bridges, e.Bridge); there {
			bridges = append(bridges, b)
		}
	}
	for _, r := range have.Replaced {
		if b, there := named(t.bridges, r.Bridge); there {
			bridges = append(bridges, b)
		}
	}
	for _, b := range bridges {
		have.Seen.Carries = append(have.Seen.Carries, t.carriers(b, have.Now)...)
	}
	slices.Sort(have.Seen.Carries)
	have.Seen.Carries = slices.Compact(have.Seen.Carries)
	if want.State.There() {
		have.Seen.Loop = t.loop(want.Near, want.Far)
	}
}
