package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

func (r bond) Write(ctx context.Context, h host.Host, have, want BondSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	at, there, err := t.findBond(want.Name)
	if err != nil {
		return err
	}
	var tx row.Tx
	if !want.State.There() {
		// The file goes first: a removal that is cut must not come back at boot.
		if err := want.keeping().write(ctx, h); err != nil {
			return err
		}
		if there {
			tx.Guard("Port", at.port, "interfaces")
			tx.Mutate("Bridge", row.ID(at.bridge), row.RemoveRefs("ports", row.ID(at.port)))
		}
		if err := want.giveBack(&tx, t, at); err != nil {
			return err
		}
		if err := commitIfAny(ctx, h, t, &tx); err != nil {
			return err
		}
		return want.Device.restore(ctx, h, nil)
	}
	home, err := t.bridge(want.Bridge)
	if err != nil {
		return err
	}
	if there && row.ID(at.bridge) != row.ID(home) {
		if err := moveIn(ctx, h, t, &row.Tx{}, place{bridge: at.bridge, port: at.port}, home); err != nil { // see port.Write
			return err
		}
	}
	if !there || inDatabase(r.Diff(have, want)) {
		if err := want.put(&tx, t, at, home); err != nil {
			return err
		}
		if err := commit(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	if err := want.works(ctx, h); err != nil {
		return err
	}
	if err := want.settle(ctx, h, have); err != nil {
		return err
	}
	return want.keeping().write(ctx, h)
}

// commitIfAny is commit for a transaction that may have nothing to say.
func commitIfAny(ctx context.Context, h host.Host, t tables, tx *row.Tx) error {
	if tx.Empty() {
		return nil
	}
	return commit(ctx, h, t, tx)
}

// put makes the bond of what is there: the port with exactly the members.
func (want BondSpec) put(tx *row.Tx, t tables, at bondPlace, home ovsdb.Row) error {
	if at.port == nil && want.Saved != nil {
		tx.GuardNone("Port", row.Is("name", want.Name))
		tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", want.Saved.insert(tx)))
		return nil
	}
	others, err := t.outside(want.Name, want.Members)
	if err != nil {
		return err
	}
	ids := []string{}
	for n, m := range want.Members {
		if iface, inBond := at.members[m]; inBond {
			want.Interfaces[m].columns(iface).apply(tx, "Interface", iface)
			ids = append(ids, row.ID(iface))
		} else if o, alone := others[m]; alone {
			want.Interfaces[m].columns(o.iface).apply(tx, "Interface", o.iface)
			tx.Guard("Port", o.port, "interfaces")
			tx.Mutate("Bridge", row.ID(o.bridge), row.RemoveRefs("ports", row.ID(o.port)))
			ids = append(ids, row.ID(o.iface))
		} else {
			name := fmt.Sprintf("member%d", n)
			tx.Insert("Interface", name, want.newMember(m))
			ids = append(ids, name)
		}
	}
	port := want.columns(at.port)
	if at.port == nil {
		tx.GuardNone("Port", row.Is("name", want.Name))
		tx.Insert("Port", "bond", port.insertable(ovsdb.Row{"name": want.Name, "interfaces": row.UUIDs(ids...)}))
		tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", "bond"))
		return nil
	}
	port.apply(tx, "Port", at.port)
	if slices.Sort(ids); !slices.Equal(ids, row.Refs(at.port, "interfaces")) {
		tx.Guard("Port", at.port, "interfaces")
		tx.Update("Port", row.ID(at.port), ovsdb.Row{"interfaces": row.UUIDs(ids...)})
	}
	return want.giveBack(tx, t, at)
}

// newMember is the row of an interface that is not there: of undo the one that
// was.
func (want BondSpec) newMember(name string) ovsdb.Row {
	if want.Saved != nil {
		for _, r := range want.Saved.Rows {
			if r.Table == "Interface" && row.String(ovsdb.Row(r.Row), "name") == name {
				return r.Row.Insertable(reportColumns()...)
			}
		}
	}
	return want.Interfaces[name].columns(nil).insertable(ovsdb.Row{"name": name})
}

// giveBack makes members that stood alone ports of their own again, each with the
// interface that it has in the bond by now.
func (want BondSpec) giveBack(tx *row.Tx, t tables, at bondPlace) error {
	for n, m := range slices.Sorted(maps.Keys(want.Alone)) {
		was := want.Alone[m]
		home, ok := named(t.bridges, was.Bridge)
		if !ok {
			return fmt.Errorf("bridge %s is gone, where %s was a port: make the bridge again, then take the change back once more", was.Bridge, m)
		}
		if _, known := named(t.interfaces, m); known && at.members[m] == nil {
			continue // it stands alone already
		}
		rows := was.Saved
		if iface := at.members[m]; iface != nil {
			want.Interfaces[m].columns(iface).apply(tx, "Interface", iface)
			rows = rows.only("Port").with("Port", ovsdb.Row{"interfaces": row.UUIDs(row.ID(iface))})
		}
		name := rows.insertAs(tx, fmt.Sprintf("alone%d_", n))
		tx.Mutate("Bridge", row.ID(home), row.AddRefs("ports", name))
	}
	return nil
}

// columns are those of the port. What there is says in other words stays.
func (want BondSpec) columns(there ovsdb.Row) *columns {
	c := newColumns()
	if there != nil {
		want.Mode = unlessSame(want.Mode, row.String(there, "bond_mode"), defaultMode)
		want.LACP = unlessSame(want.LACP, row.String(there, "lacp"), defaultLACP)
	}
	optional(c, "bond_mode", want.Mode)
	optional(c, "lacp", want.LACP)
	plain(c, "bond_updelay", want.UpDelay)
	plain(c, "bond_downdelay", want.DownDelay)
	plain(c, "bond_fake_iface", want.FakeIface)
	want.vlans().set(c)
	c.keys("other_config", want.OtherConfig)
	c.keys("external_ids", want.ExternalIDs)
	return c
}

// columns are those of the member's interface.
func (want MemberSpec) columns(there ovsdb.Row) *columns {
	c := newColumns()
	if there != nil {
		want.Type = unlessSame(want.Type, row.String(there, "type"), "system")
	}
	plain(c, "type", want.Type)
	optional(c, "mtu_request", want.MTU)
	c.keys("options", want.Options)
	c.keys("other_config", want.OtherConfig)
	c.keys("external_ids", want.ExternalIDs)
	return c
}

// unlessSame leaves an attribute out whose column says the same already: an empty
// one stands for its default.
func unlessSame(want step.Attr[string], there, byDefault string) step.Attr[string] {
	if there == "" {
		there = byDefault
	}
	if want.Or(byDefault) == there {
		return step.Attr[string]{}
	}
	return want
}

// works fails where ovs-vswitchd could not make a member, with what it said of
// each.
func (want BondSpec) works(ctx context.Context, h host.Host) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	at, there, err := t.findBond(want.Name)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("it is gone again: %w", row.ErrChanged)
	}
	var errs []error
	for _, m := range want.Members {
		said := portError(at.members[m])
		if said == "" {
			if said, err = polled(ctx, h, at.members[m]); err != nil {
				return err
			}
		}
		if said != "" && want.Error == "" {
			errs = append(errs, fmt.Errorf("member %s: %s%s", m, said, logLines(ctx, h, logNames(at.members[m])...)))
		}
	}
	return errors.Join(errs...)
}

// settle does what is not in the database: MTU and state of the devices. One
// that was made anew gets back what it had.
func (want BondSpec) settle(ctx context.Context, h host.Host, have BondSpec) error {
	if want.Device != nil {
		return want.Device.restore(ctx, h, func(m string) deviceSpec {
			return deviceSpec{MTU: want.Interfaces[m].MTU, ActualMTU: want.Interfaces[m].ActualMTU}
		})
	}
	var errs []error
	for _, m := range want.Members {
		spec := deviceSpec{MTU: want.Interfaces[m].MTU, ActualMTU: want.Interfaces[m].ActualMTU, Up: want.Up}
		var found *device
		if d, lost := have.Device[m]; lost {
			found = &d
		}
		errs = append(errs, spec.set(ctx, h, m, found))
	}
	return errors.Join(errs...)
}
