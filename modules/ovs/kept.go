package ovs

import (
	"context"
	"errors"
	"maps"
	"slices"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// lostDevices are devices by name, as a change found them and undo wants them
// back. Of a NIC they hold only what the change touches.
type lostDevices map[string]device

// deltas compares with the devices of now. One that is not there (it lives in
// another namespace) is left.
func (want lostDevices) deltas(now map[string]device) []step.Delta {
	var deltas []step.Delta
	for _, name := range slices.Sorted(maps.Keys(want)) {
		found := want[name]
		is, here := now[name]
		if here && (!is.has(found) || found.MTU != 0 && is.MTU != found.MTU || found.Up.Managed() && is.Up.Or(false) != found.Up.Or(false)) {
			deltas = append(deltas, step.Change("devices."+name, is, found))
		}
	}
	return deltas
}

// restore gives devices back what they lost; asked, where not nil, says what is
// wanted of a device beside.
func (want lostDevices) restore(ctx context.Context, h host.Host, asked func(name string) deviceSpec) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		found, spec := want[name], deviceSpec{}
		if asked != nil {
			spec = asked(name)
		}
		spec.Up = found.Up
		errs = append(errs, spec.set(ctx, h, name, &found))
	}
	return errors.Join(errs...)
}

// saveAll records ports with all that lives through them.
func saveAll(ctx context.Context, v host.View, ports map[string]place) (map[string]alone, error) {
	var out map[string]alone
	for name, at := range ports {
		rows, err := save(ctx, v.OVSDB, "Port", row.ID(at.port))
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string]alone{}
		}
		out[name] = alone{Bridge: row.String(at.bridge, "name"), Saved: rows}
	}
	return out, nil
}
