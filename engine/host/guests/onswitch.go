package guests

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
)

// OnSwitch are those that run and have a card on one of these bridges of Open
// vSwitch, or on any where none is named: a tap among its interfaces, or the
// socket of a vhost-user port. None where there is no Open vSwitch.
func OnSwitch(ctx context.Context, v host.View, bridges ...string) (Found, error) {
	p, err := readPlugs(ctx, v, bridges)
	if errors.Is(err, host.ErrNotReady) {
		return blind(ctx, v)
	}
	if err == nil && p.empty() {
		return Found{}, nil
	}
	if err != nil {
		return Found{}, err
	}
	all, err := running(ctx, v)
	if err != nil {
		return Found{}, err
	}
	return all.found(p.hold), nil
}

// blind are all that run where the switch does and its database does not answer.
func blind(ctx context.Context, v host.View) (Found, error) {
	u, err := v.Units.Unit(ctx, "ovs-vswitchd.service")
	if err != nil || u.ActiveState != "active" {
		return Found{}, nil // no Open vSwitch, or none that forwards
	}
	f, err := Running(ctx, v)
	if len(f.Names) > 0 {
		f.Warnings = append(f.Warnings, "the database of Open vSwitch does not answer: all virtual machines count as having a card on it")
	}
	return f, err
}

// plugs are what cards can be in: names of devices, and sockets by their paths or,
// of those that Open vSwitch makes, by their names.
type plugs struct {
	devices, paths, names map[string]bool
}

func (p plugs) empty() bool { return len(p.devices)+len(p.paths)+len(p.names) == 0 }

func (p plugs) hold(g guest) bool {
	return g.live == nil || slices.ContainsFunc(g.live.At("devices").All("interface"), func(card *xmltree.Node) bool {
		if card.Get("type") != "vhostuser" {
			return p.devices[card.At("target").Get("dev")]
		}
		socket := card.At("source").Get("path")
		return p.paths[path.Clean(socket)] || p.names[path.Base(socket)]
	})
}

func readPlugs(ctx context.Context, v host.View, bridges []string) (plugs, error) {
	p := plugs{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	results, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Bridge", []string{"_uuid", "name", "ports"}),
		row.Select("Port", []string{"_uuid", "interfaces"}), row.Select("Interface", []string{"_uuid", "name", "type", "options"}))
	if err != nil {
		return p, err
	}
	ports, interfaces := row.ByID(results[1].Rows), row.ByID(results[2].Rows)
	for _, b := range results[0].Rows {
		if name := row.String(b, "name"); len(bridges) > 0 && !slices.Contains(bridges, name) {
			continue
		}
		for _, port := range row.Refs(b, "ports") {
			for _, i := range row.Refs(ports[port], "interfaces") {
				p.add(interfaces[i])
			}
		}
	}
	return p, nil
}

func (p plugs) add(i ovsdb.Row) {
	switch name := row.String(i, "name"); row.String(i, "type") {
	case "patch", "dpdk":
	case "dpdkvhostuserclient":
		if socket := row.Map(i, "options")["vhost-server-path"]; socket != "" {
			p.paths[path.Clean(socket)] = true
		}
	case "dpdkvhostuser":
		p.names[name] = true // of its file, in vhost-sock-dir
	default:
		if name != "" {
			p.devices[name] = true
		}
	}
}
