package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
	"weft/engine/host/row"
)

// bridgePorts is the resource behind ovs_bridge_ports.
type bridgePorts struct{}

func (bridgePorts) Read(ctx context.Context, v host.View, want BridgePortsSpec) (BridgePortsSpec, error) {
	have := BridgePortsSpec{Bridge: want.Bridge, Ports: want.Ports, Others: want.Others, Found: map[string]otherPort{}}
	t, err := readTables(ctx, v)
	if err != nil {
		return have, err
	}
	home, err := t.bridgeBefore(want.Bridge)
	if err != nil {
		return have, err
	}
	all, err := devices(ctx, v)
	if err != nil {
		return have, err
	}
	files, err := ifupdown.Read(ctx, v.Files)
	if err != nil {
		return have, err
	}
	have.Seen.Files = map[string]string{}
	for _, id := range row.Refs(home, "ports") {
		p := t.ports[id]
		name := row.String(p, "name")
		if want.may(name) || ofOVN(p) {
			continue
		}
		if have.Found[name], err = t.other(ctx, v.OVSDB, p, all); err != nil {
			return have, err
		}
		for _, f := range files {
			if len(f.Text.Interfaces(name)) > 0 {
				have.Seen.Files[name] = f.Name
			}
		}
		have.see(t, home, p, all)
	}
	slices.Sort(have.Seen.Elsewhere)
	return have, nil
}

// see finds what goes with a port that is at work.
func (have *BridgePortsSpec) see(t tables, home, p ovsdb.Row, all map[string]device) {
	for _, id := range row.Refs(p, "interfaces") {
		i := t.interfaces[id]
		if n, _ := row.Int(i, "ofport"); n <= 0 {
			continue
		}
		have.Seen.Carries = t.carriers(home, all)
		if _, here := all[row.String(i, "name")]; !here && row.String(i, "type") == "internal" {
			have.Seen.Elsewhere = append(have.Seen.Elsewhere, row.String(p, "name"))
		}
	}
}

// ofOVN says whether ovn-controller made a port, and would again.
func ofOVN(p ovsdb.Row) bool {
	ids := row.Map(p, "external_ids")
	return slices.ContainsFunc([]string{"ovn-chassis-id", "ovn-localnet-port", "ovn-l2gateway-port", "ovn-l3gateway-port"}, func(key string) bool { return ids[key] != "" })
}

// other records a port that nobody asked for.
func (t tables) other(ctx context.Context, r host.OVSDBReader, p ovsdb.Row, all map[string]device) (otherPort, error) {
	whole, err := save(ctx, r, "Port", row.ID(p))
	if err != nil {
		return otherPort{}, err
	}
	out := otherPort{Saved: whole, Digest: whole.digest()}
	ids := row.Refs(p, "interfaces")
	var said []string
	for _, id := range ids {
		i := t.interfaces[id]
		name := row.String(i, "name")
		if out.Type = row.String(i, "type"); out.Type == "" {
			out.Type = "system"
		}
		if problem := portError(i); problem != "" {
			said = append(said, problem)
		}
		if d, here := all[name]; here && out.Type == "internal" {
			if out.Device == nil {
				out.Device = map[string]device{}
			}
			out.Device[name] = d
		}
	}
	if len(ids) > 1 {
		out.Type = "bond"
	}
	out.Error = strings.Join(said, "; ")
	return out, nil
}

func (bridgePorts) Write(ctx context.Context, h host.Host, have, want BridgePortsSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	home, err := t.bridge(want.Bridge)
	if err != nil {
		return err
	}
	var tx row.Tx
	tx.Guard("Bridge", home, "ports")
	var changes []ovsdb.Mutation
	if want.Found == nil {
		for _, name := range slices.Sorted(maps.Keys(have.Found)) {
			if p, on := t.portOn(home, name); on {
				changes = append(changes, row.RemoveRefs("ports", row.ID(p)))
			}
		}
	} else {
		for n, name := range slices.Sorted(maps.Keys(want.Found)) {
			if _, there := named(t.ports, name); !there {
				tx.GuardNone("Port", row.Is("name", name))
				changes = append(changes, row.AddRefs("ports", want.Found[name].Saved.insertAs(&tx, fmt.Sprintf("port%d_", n))))
			}
		}
	}
	if len(changes) > 0 {
		tx.Mutate("Bridge", row.ID(home), changes...)
		if err := commit(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(want.Found)) {
		for device, d := range want.Found[name].Device {
			errs = append(errs, deviceSpec{}.set(ctx, h, device, &d))
		}
	}
	return errors.Join(errs...)
}
