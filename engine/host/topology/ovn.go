package topology

import (
	"context"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

func (t *Topology) readNorthbound(ctx context.Context, db host.OVSDBReader) error {
	tables, err := readTables(ctx, db, host.Northbound,
		"Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "Gateway_Chassis")
	if err != nil {
		return err
	}
	t.Logical = &Logical{}
	for _, s := range byName(slices.Collect(maps.Values(tables["Logical_Switch"]))) {
		ls := Switch{ID: row.ID(s), Name: row.String(s, "name")}
		for _, p := range following(s, "ports", tables["Logical_Switch_Port"]) {
			ls.Ports = append(ls.Ports, switchPortOf(p))
		}
		t.Logical.Switches = append(t.Logical.Switches, ls)
	}
	for _, r := range byName(slices.Collect(maps.Values(tables["Logical_Router"]))) {
		lr := Router{ID: row.ID(r), Name: row.String(r, "name")}
		for _, p := range following(r, "ports", tables["Logical_Router_Port"]) {
			port := RouterPort{Name: row.String(p, "name"), Networks: row.Strings(p, "networks")}
			port.Chassis = gateways(following(p, "gateway_chassis", tables["Gateway_Chassis"]))
			lr.Ports = append(lr.Ports, port)
		}
		t.Logical.Routers = append(t.Logical.Routers, lr)
	}
	return nil
}

func switchPortOf(p ovsdb.Row) SwitchPort {
	options := row.Map(p, "options")
	port := SwitchPort{
		Name: row.String(p, "name"), Type: row.String(p, "type"), Addresses: row.Strings(p, "addresses"),
		Router: options["router-port"], Network: options["network_name"],
	}
	if tag, ok := row.Int(p, "tag"); ok {
		port.Tag = &tag
	}
	up, known := row.Bool(p, "up")
	port.Down = known && !up && port.Type == ""
	return port
}

// gateways are the names of chassis, the one that is preferred first.
func gateways(rows []ovsdb.Row) []string {
	names := map[int][]string{}
	for _, r := range rows {
		priority, _ := row.Int(r, "priority")
		names[priority] = append(names[priority], row.String(r, "chassis_name"))
	}
	var all []string
	for _, priority := range slices.Backward(slices.Sorted(maps.Keys(names))) {
		all = append(all, names[priority]...)
	}
	return all
}
