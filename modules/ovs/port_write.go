package ovs

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

func (r port) Write(ctx context.Context, h host.Host, have, want PortSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	at, there, err := t.find(want.Name)
	if err != nil {
		return err
	}
	if !want.State.There() {
		// The file goes first: a removal that is cut must not come back at boot.
		if err := want.keeping().write(ctx, h); err != nil || !there {
			return err
		}
		if err := want.sleep(ctx, h); err != nil {
			return err
		}
		if err := remove(ctx, h, t, at); err != nil {
			return err
		}
		return want.sleep(ctx, h) // ovs-vswitchd lets go of a NIC with the flags that it remembers, which may be those of before
	}
	home, err := t.bridge(want.Bridge)
	if err != nil {
		return err
	}
	if there && row.ID(at.bridge) != row.ID(home) {
		// The move is a transaction of its own: ovs-vswitchd 3.1 dies where a
		// port changes its bridge and becomes a tunnel at once.
		if err := want.move(ctx, h, t, at, home); err != nil {
			return err
		}
		if t, err = freshTables(ctx, h.OVSDB); err != nil {
			return err
		}
		if at, there, err = t.find(want.Name); err != nil {
			return err
		}
	}
	var tx row.Tx
	switch {
	case there:
		want.update(&tx, at)
	case want.Saved != nil:
		tx.GuardNone("Port", row.Is("name", want.Name))
		tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", want.Saved.insert(&tx)))
	default:
		want.create(&tx, home)
	}
	if !there || inDatabase(r.Diff(have, want)) {
		if err := commit(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	if err := want.works(ctx, h, !there); err != nil {
		return err
	}
	if err := want.settle(ctx, h, have); err != nil {
		return err
	}
	return want.keeping().write(ctx, h)
}

// sleep brings a NIC down that was down before it became a port: while it is
// one, so that an undo that is cut finds something left to do.
func (want PortSpec) sleep(ctx context.Context, h host.Host) error {
	d, ok := want.Device[want.Name]
	if !ok || d.Up.Or(true) {
		return nil
	}
	all, err := devices(ctx, h.View())
	if err != nil || !all[want.Name].Up.Or(false) {
		return err
	}
	down := false
	return h.Links.Set(ctx, "", want.Name, host.LinkChange{Up: &down})
}

// remove takes a port out of its bridge; the database collects its rows.
func remove(ctx context.Context, h host.Host, t tables, at place) error {
	var tx row.Tx
	tx.Guard("Port", at.port, "interfaces")
	tx.Mutate("Bridge", row.ID(at.bridge), row.RemoveRefs("ports", row.ID(at.port)))
	return commit(ctx, h, t, &tx)
}

func (want PortSpec) create(tx *row.Tx, home ovsdb.Row) {
	port, iface := want.columns()
	tx.GuardNone("Port", row.Is("name", want.Name))
	tx.Insert("Interface", "interface", iface.insertable(ovsdb.Row{"name": want.Name}))
	tx.Insert("Port", "port", port.insertable(ovsdb.Row{"name": want.Name, "interfaces": row.UUIDs("interface")}))
	tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", "port"))
}

func (want PortSpec) update(tx *row.Tx, at place) {
	if sameOrSystem(step.Is(cmp.Or(row.String(at.iface, "type"), "system")), want.Type) {
		want.Type = step.Attr[string]{} // "" and "system" are one
	}
	port, iface := want.columns()
	port.apply(tx, "Port", at.port)
	iface.apply(tx, "Interface", at.iface)
}

// move brings the port into another bridge. A patch port comes there with a peer
// that is none, the bridge's own port, and the update gives it its own again:
// ovs-vswitchd 3.1 takes one that only changed its bridge for what it was, and
// drops what goes through, without an error.
func (want PortSpec) move(ctx context.Context, h host.Host, t tables, at place, home ovsdb.Row) error {
	var tx row.Tx
	if row.String(at.iface, "type") == "patch" && want.Options["peer"].Managed() {
		tx.Mutate("Interface", row.ID(at.iface), row.SetKeys("options", map[string]*string{"peer": &want.Bridge})...)
	}
	return moveIn(ctx, h, t, &tx, at, home)
}

// moveIn is the transaction that moves a port, after what it holds already.
func moveIn(ctx context.Context, h host.Host, t tables, tx *row.Tx, at place, home ovsdb.Row) error {
	tx.Mutate("Bridge", row.ID(at.bridge), row.RemoveRefs("ports", row.ID(at.port)))
	tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", row.ID(at.port)))
	return commit(ctx, h, t, tx)
}

func (want PortSpec) columns() (port, iface *columns) {
	port, iface = newColumns(), newColumns()
	want.vlans().set(port)
	plain(port, "protected", want.Protected)
	plain(port, "fake_bridge", want.FakeBridge)
	plain(iface, "type", want.Type)
	optional(iface, "mac", want.MAC)
	optional(iface, "mtu_request", want.MTU)
	optional(iface, "ofport_request", want.OFPort)
	plain(iface, "ingress_policing_rate", want.PolicingRate)
	plain(iface, "ingress_policing_burst", want.PolicingBurst)
	ofPort, ofInterface := want.keyed()
	for _, column := range sortedColumns(ofPort) {
		port.keys(column, *ofPort[column])
	}
	for _, column := range sortedColumns(ofInterface) {
		iface.keys(column, *ofInterface[column])
	}
	return port, iface
}

// works fails where ovs-vswitchd could not make the port. One that was only
// just put there is taken out again.
func (want PortSpec) works(ctx context.Context, h host.Host, isNew bool) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	at, there, err := t.find(want.Name)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("it is gone again: %w", row.ErrChanged)
	}
	said := portError(at.iface)
	if said == "" {
		if said, err = polled(ctx, h, at.iface); err != nil {
			return err
		}
	}
	if said == "" || want.Error != "" {
		return nil
	}
	err = fmt.Errorf("%s%s", said, logLines(ctx, h, logNames(at.iface)...))
	if isNew {
		err = errors.Join(err, remove(ctx, h, t, at))
	}
	return err
}

// settle does what is not in the database: address and state of the device. A
// device that was made anew gets back what it had.
func (want PortSpec) settle(ctx context.Context, h host.Host, have PortSpec) error {
	lost := want.Device
	if lost == nil {
		lost = have.Device
	}
	var found *device
	if d, ok := lost[want.Name]; ok {
		found = &d
	}
	return want.device().set(ctx, h, want.Name, found)
}
