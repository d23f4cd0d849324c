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

// mirrorStep waits for the bridge and the ports, which earlier steps may bring.
// An undo does without.
type mirrorStep struct {
	step.Step
	want MirrorSpec
}

func (s mirrorStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	t, err := readTables(ctx, v)
	if err != nil {
		return step.Finding{}, err
	}
	home, err := t.bridgeBefore(s.want.Bridge)
	if err != nil && s.want.State.There() {
		return step.Finding{}, err
	}
	for _, name := range s.want.portNames() {
		if _, on := t.portOn(home, name); s.want.State.There() && !on {
			return step.Finding{}, fmt.Errorf("there is no port %s on bridge %s: put a step ovs_port before it: %w", name, s.want.Bridge, step.ErrNotYet)
		}
	}
	return s.Step.Check(ctx, v)
}

// mirror is the resource behind ovs_mirror.
type mirror struct{}

// mirrorOn finds a mirror of a bridge by its name.
func (t tables) mirrorOn(home ovsdb.Row, name string) (found ovsdb.Row, there bool, err error) {
	for _, id := range row.Refs(home, "mirrors") {
		if row.String(t.mirrors[id], "name") != name {
			continue
		}
		if there {
			return nil, false, fmt.Errorf("bridge %s has several mirrors of that name: see `ovs-vsctl list mirror`, and remove all but one", row.String(home, "name"))
		}
		found, there = t.mirrors[id], true
	}
	return found, there, nil
}

func (mirror) Read(ctx context.Context, v host.View, want MirrorSpec) (MirrorSpec, error) {
	have := MirrorSpec{Name: want.Name, Bridge: want.Bridge, State: step.Absent}
	t, err := readTables(ctx, v)
	if err != nil {
		return have, err
	}
	home, _ := named(t.bridges, want.Bridge)
	r, there, err := t.mirrorOn(home, want.Name)
	if err != nil {
		return have, err
	}
	if out, ok := want.OutputPort.Get(); ok && want.State.There() {
		all, err := devices(ctx, v)
		if err != nil {
			return have, err
		}
		have.Seen.Cuts = t.cutBy(home, out, all)
	}
	if !there {
		return have, nil
	}
	have.State, have.Found = step.Present, row.Record(r)
	if !want.State.There() {
		want = MirrorSpec{ExternalIDs: allKeys(r, "external_ids"), Snaplen: step.None[int]()}.complete()
	}
	have.SelectAll = readBool(want.SelectAll, r, "select_all")
	have.SelectSrc, have.SelectDst = t.portNames(r, "select_src_port"), t.portNames(r, "select_dst_port")
	have.SelectVLAN = readInts(want.SelectVLAN, r, "select_vlan")
	have.OutputPort = step.None[string]()
	if out := t.portNames(r, "output_port"); len(out) == 1 {
		have.OutputPort = step.Is(out[0])
	}
	have.OutputVLAN = readInt(want.OutputVLAN, r, "output_vlan")
	have.Snaplen = readInt(want.Snaplen, r, "snaplen")
	have.ExternalIDs = readKeys(want.ExternalIDs, r, "external_ids")
	return have, nil
}

// portNames are the ports that a column refers to, sorted.
func (t tables) portNames(r ovsdb.Row, column string) []string {
	names := []string{}
	for _, id := range row.Refs(r, column) {
		names = append(names, row.String(t.ports[id], "name"))
	}
	slices.Sort(names)
	return names
}

// cutBy are the links that pass nothing any more where a port is the output of a
// mirror.
func (t tables) cutBy(home ovsdb.Row, name string, all map[string]device) []string {
	p, there := t.portOn(home, name)
	if !there {
		return nil
	}
	for _, id := range row.Refs(p, "interfaces") {
		i := t.interfaces[id]
		switch d := all[row.String(i, "name")]; {
		case isNIC(i) && d.busy():
			return t.carriers(home, all)
		case d.bears():
			return []string{row.String(i, "name")}
		}
	}
	return nil
}

func (mirror) Diff(have, want MirrorSpec) []step.Delta { return step.Compare(have, want) }

func (mirror) Advise(f *step.Finding, have, _ MirrorSpec) {
	for _, d := range f.Deltas {
		if d.Path == "output_port" {
			severs(f, have.Seen.Cuts)
		}
	}
}

func (mirror) Write(ctx context.Context, h host.Host, _, want MirrorSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	home, homeless := t.bridge(want.Bridge)
	r, there, err := t.mirrorOn(home, want.Name)
	switch {
	case err != nil:
		return err
	case !want.State.There() && !there:
		return nil
	case homeless != nil:
		return homeless
	}
	var tx row.Tx
	if !want.State.There() {
		tx.Guard("Mirror", r, "name", "output_port", "output_vlan")
		tx.Mutate("Bridge", row.ID(home), row.RemoveRefs("mirrors", row.ID(r)))
		return commit(ctx, h, t, &tx)
	}
	c, err := want.columns(t, home)
	if err != nil {
		return err
	}
	if there {
		c.apply(&tx, "Mirror", r)
		return commit(ctx, h, t, &tx)
	}
	made := ovsdb.Row{}
	maps.Copy(made, want.Found.Insertable("statistics"))
	made["name"] = want.Name
	maps.Copy(made, c.insertable(ovsdb.Row{}))
	tx.Guard("Bridge", home, "mirrors")
	tx.Insert("Mirror", "mirror", made)
	tx.Mutate("Bridge", row.ID(home), row.AddRefs("mirrors", "mirror"))
	return commit(ctx, h, t, &tx)
}
