package ovs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// Write removes the ports that are due in one transaction and notes the rest, or,
// for an undo, brings back both.
func (s stalePorts) Write(ctx context.Context, h host.Host, have, want StalePortsSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	home, err := t.bridge(want.Bridge)
	if err != nil {
		return err
	}
	var tx row.Tx
	var changes []ovsdb.Mutation
	if want.Dead == nil {
		changes, err = t.bury(&tx, home, have)
	} else {
		changes = t.exhume(&tx, want)
	}
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		tx.Guard("Bridge", home, "ports")
		tx.Mutate("Bridge", row.ID(home), changes...)
		if err := commit(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	return s.note(ctx, h, have, want)
}

// bury takes the ports that are due off the bridge, unless one came to life since
// it was looked at.
func (t tables) bury(tx *row.Tx, home ovsdb.Row, have StalePortsSpec) ([]ovsdb.Mutation, error) {
	var changes []ovsdb.Mutation
	for _, name := range slices.Sorted(maps.Keys(have.Dead)) {
		if !have.Dead[name].Due {
			continue
		}
		p, on := t.portOn(home, name)
		if !on {
			continue
		}
		if !t.looksDead(p) {
			return nil, fmt.Errorf("port %s is no longer dead: %w", name, row.ErrChanged)
		}
		tx.Guard("Interface", t.interfaces[row.Ref(p, "interfaces")], "ofport", "error")
		changes = append(changes, row.RemoveRefs("ports", row.ID(p)))
	}
	return changes, nil
}

// exhume makes the ports again that were there.
func (t tables) exhume(tx *row.Tx, want StalePortsSpec) []ovsdb.Mutation {
	var changes []ovsdb.Mutation
	for n, name := range slices.Sorted(maps.Keys(want.Dead)) {
		if _, there := named(t.ports, name); there || want.Dead[name].Port == nil {
			continue
		}
		tx.GuardNone("Port", row.Is("name", name))
		changes = append(changes, row.AddRefs("ports", want.Dead[name].Port.Saved.insertAs(tx, fmt.Sprintf("port%d_", n))))
	}
	return changes
}

// note writes down what was seen dead for the first time, and forgets what is gone
// or alive. What was noted before another write of ours is known from the file.
func (stalePorts) note(ctx context.Context, h host.Host, have, want StalePortsSpec) error {
	noted, err := readSightings(ctx, h.Files, want.Bridge)
	if err != nil {
		return err
	}
	was := maps.Clone(noted)
	for name, d := range have.Dead {
		switch {
		case want.Dead != nil:
		case d.Port == nil || d.Due:
			delete(noted, name)
		case !d.Twice:
			now, err := thisMoment(ctx, h.Kernel)
			if err != nil {
				return err
			}
			now.Port = row.ID(ovsdb.Row(d.Port.Saved.Rows[0].Row))
			noted[name] = &now
		}
	}
	for name, d := range want.Dead {
		delete(noted, name)
		if d.Seen != nil {
			noted[name] = d.Seen
		}
	}
	switch {
	case maps.EqualFunc(was, noted, same):
		return nil
	case len(noted) == 0:
		return h.Files.Remove(ctx, sightingsFile(want.Bridge))
	}
	content, err := json.MarshalIndent(noted, "", "  ")
	if err != nil {
		panic("ovs: a sighting that is no JSON: " + err.Error())
	}
	return h.Files.Write(ctx, sightingsFile(want.Bridge), append(content, '\n'), host.Attributes{})
}
