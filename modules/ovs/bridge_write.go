package ovs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

func (bridge) Write(ctx context.Context, h host.Host, have, want BridgeSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	b, there := named(t.bridges, want.Name)
	if !want.State.There() {
		// The file goes first: a removal that is cut must not come back at boot.
		if err := want.keeping().write(ctx, h); err != nil || !there {
			return err
		}
		var tx row.Tx
		tx.Guard("Bridge", b, "ports")
		tx.Mutate("Open_vSwitch", row.ID(t.root), row.RemoveRefs("bridges", row.ID(b)))
		return commit(ctx, h, t, &tx)
	}
	var tx row.Tx
	switch {
	case there:
		want.update(&tx, t, b)
	case want.Saved != nil:
		tx.GuardNone("Bridge", row.Is("name", want.Name))
		tx.Mutate("Open_vSwitch", row.ID(t.root), row.AddRefs("bridges", want.Saved.insert(&tx)))
	default:
		want.create(&tx, t)
	}
	if !there || inDatabase((bridge{}).Diff(have, want)) {
		if err := commit(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	if err := want.settle(ctx, h, have); err != nil {
		return err
	}
	return want.keeping().write(ctx, h)
}

// inDatabase says whether a difference is one of the database: not one of the
// device or the file alone.
func inDatabase(deltas []step.Delta) bool {
	return slices.ContainsFunc(deltas, func(d step.Delta) bool {
		return d.Path != "up" && d.Path != "addresses" && !strings.HasPrefix(d.Path, "persist.") &&
			!strings.HasSuffix(d.Path, ".device") && !strings.HasPrefix(d.Path, "devices.")
	})
}

// create makes the bridge with its own port, which every bridge has.
func (want BridgeSpec) create(tx *row.Tx, t tables) {
	bridge, own := want.columns()
	tx.GuardNone("Bridge", row.Is("name", want.Name))
	tx.Insert("Interface", "own_interface", own.insertable(ovsdb.Row{"name": want.Name, "type": "internal"}))
	tx.Insert("Port", "own_port", ovsdb.Row{"name": want.Name, "interfaces": row.UUIDs("own_interface")})
	tx.Insert("Bridge", "bridge", bridge.insertable(ovsdb.Row{"name": want.Name, "ports": row.UUIDs("own_port"),
		"controller": row.UUIDs(controllers().insert(tx, want.Controllers, nil)...)}))
	tx.Mutate("Open_vSwitch", row.ID(t.root), row.AddRefs("bridges", "bridge"))
}

func (want BridgeSpec) update(tx *row.Tx, t tables, b ovsdb.Row) {
	if sameOrSystem(step.Is(cmp.Or(row.String(b, "datapath_type"), "system")), want.DatapathType) {
		want.DatapathType = step.Attr[string]{} // "" and "system" are one
	}
	bridge, own := want.columns()
	bridge.apply(tx, "Bridge", b)
	if i, ok := named(t.interfaces, want.Name); ok {
		own.apply(tx, "Interface", i)
	}
	controllers().update(tx, b, t.controllers, want.Controllers, want.Remotes)
}

func (want BridgeSpec) columns() (bridge, own *columns) {
	bridge, own = newColumns(), newColumns()
	plain(bridge, "datapath_type", want.DatapathType)
	optional(bridge, "fail_mode", want.FailMode)
	set(bridge, "protocols", want.Protocols)
	plain(bridge, "stp_enable", want.STP)
	plain(bridge, "rstp_enable", want.RSTP)
	plain(bridge, "mcast_snooping_enable", want.Snooping)
	keys := map[string]step.Attr[string]{}
	for k, v := range want.OtherConfig {
		keys[k] = v
	}
	if want.Hwaddr.Managed() {
		keys["hwaddr"] = want.Hwaddr
	}
	bridge.keys("other_config", keys)
	bridge.keys("external_ids", want.ExternalIDs)
	optional(own, "mtu_request", want.MTU)
	return bridge, own
}

// settle does what is not in the database: addresses and states of devices.
// Devices that were made anew get back what they had.
func (want BridgeSpec) settle(ctx context.Context, h host.Host, have BridgeSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	own, _ := named(t.interfaces, want.Name)
	_, there := all[want.Name]
	if said := bridgeError(own, there); said != "" && want.Error == "" {
		return fmt.Errorf("%s%s", said, logLines(ctx, h, want.Name))
	}
	lost := want.Device
	if lost == nil {
		lost = have.Device
	}
	var found *device
	if d, ok := lost[want.Name]; ok {
		found = &d
	}
	errs := []error{want.device().set(ctx, h, want.Name, found)}
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		if d := lost[name]; name != want.Name {
			errs = append(errs, deviceSpec{}.set(ctx, h, name, &d))
		}
	}
	return errors.Join(errs...)
}
