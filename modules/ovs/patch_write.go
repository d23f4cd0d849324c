package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

func (r patch) Write(ctx context.Context, h host.Host, have, want PatchSpec) error {
	if !want.State.There() {
		// The files go first: a removal that is cut must not come back at boot.
		if err := want.keeping().write(ctx, h); err != nil {
			return err
		}
	}
	for _, side := range sides() {
		if err := want.leave(ctx, h, want.ends()[side]); err != nil {
			return err
		}
	}
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	if inDatabase(r.Diff(have, want)) {
		var tx row.Tx
		if err := want.put(&tx, t, have); err != nil {
			return err
		}
		if err := commitIfAny(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	if err := want.works(ctx, h); err != nil {
		return err
	}
	if err := want.Device.restore(ctx, h, nil); err != nil || !want.State.There() {
		return err
	}
	return want.keeping().write(ctx, h)
}

// there says whether the pair has this end: undo may want half of it.
func (want PatchSpec) there(e PatchEnd) bool { return want.State.There() && e.Bridge != "" }

// leave takes a port out of a bridge where it should not be, in a transaction of
// its own. A patch port is not moved: ovs-vswitchd 3.1 takes one that only changes
// its bridge for what it was, and drops what goes through the pair, without an
// error, until either peer is set anew.
func (want PatchSpec) leave(ctx context.Context, h host.Host, e PatchEnd) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	at, there, err := t.find(e.Port)
	if err != nil || !there || !want.there(e) || row.String(at.bridge, "name") == e.Bridge {
		return err
	}
	return remove(ctx, h, t, at)
}

// put makes both ends, takes out what they replace, and puts back what undo
// wants there.
func (want PatchSpec) put(tx *row.Tx, t tables, have PatchSpec) error {
	gone := []string{}
	if want.State.There() {
		gone = want.Replaces
	}
	for _, name := range gone {
		at, there, err := t.find(name)
		if err != nil {
			return err
		}
		if there {
			tx.Guard("Port", at.port, "interfaces")
			tx.Mutate("Bridge", row.ID(at.bridge), row.RemoveRefs("ports", row.ID(at.port)))
		}
	}
	for _, side := range sides() {
		if err := want.putEnd(tx, t, side, have.ends()[side].Saved); err != nil {
			return err
		}
	}
	for n, name := range slices.Sorted(maps.Keys(want.Replaced)) {
		was := want.Replaced[name]
		if _, there := named(t.ports, name); there {
			continue
		}
		home, ok := named(t.bridges, was.Bridge)
		if !ok {
			return fmt.Errorf("bridge %s is gone, where %s was a port: make the bridge again, then take the change back once more", was.Bridge, name)
		}
		tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", was.Saved.insertAs(tx, fmt.Sprintf("replaced%d_", n))))
	}
	return nil
}

// putEnd makes one end. One that left another bridge keeps what it was beside.
func (want PatchSpec) putEnd(tx *row.Tx, t tables, side string, left *saved) error {
	e := want.ends()[side]
	at, there, err := t.find(e.Port)
	if err != nil {
		return err
	}
	if !want.there(e) {
		if there {
			tx.Guard("Port", at.port, "interfaces")
			tx.Mutate("Bridge", row.ID(at.bridge), row.RemoveRefs("ports", row.ID(at.port)))
		}
		return nil
	}
	port, iface := newColumns(), newColumns()
	e.vlans().set(port)
	iface.row["type"], iface.row["options"] = e.Type, row.Strmap(e.Options)
	if there {
		port.apply(tx, "Port", at.port)
		iface.apply(tx, "Interface", at.iface)
		return nil
	}
	home, err := t.bridge(e.Bridge)
	if err != nil {
		return err
	}
	tx.GuardNone("Port", row.Is("name", e.Port))
	if e.Saved != nil {
		left = e.Saved
	}
	if left != nil {
		again := left.with("Port", port.row).with("Interface", iface.row)
		tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", again.insertAs(tx, side)))
		return nil
	}
	tx.Insert("Interface", side+"_interface", iface.insertable(ovsdb.Row{"name": e.Port}))
	tx.Insert("Port", side+"_port", port.insertable(ovsdb.Row{"name": e.Port, "interfaces": row.UUIDs(side + "_interface")}))
	tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", side+"_port"))
	return nil
}

// pairTime is how long ovs-vswitchd may take to see that both ends are there:
// errors of patch ports are looked at again every five seconds, and later where the
// processors are busy.
const pairTime = 15 * time.Second

// works fails where the pair carries nothing. An error that may go by itself is
// waited for.
func (want PatchSpec) works(ctx context.Context, h host.Host) error {
	if want.Error != "" || !want.there(want.Near) || !want.there(want.Far) {
		return nil
	}
	err := step.Await(ctx, pairTime, func() error {
		t, err := freshTables(ctx, h.OVSDB)
		if err != nil {
			return err
		}
		near, _ := named(t.interfaces, want.Near.Port)
		far, _ := named(t.interfaces, want.Far.Port)
		if said := pairError(near, far); said != "" {
			return errors.New(said)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w%s%s", err, logLines(ctx, h, want.Near.Port), logLines(ctx, h, want.Far.Port))
	}
	return nil
}
