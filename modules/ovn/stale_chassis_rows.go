package ovn

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// staleChassis is the resource behind ovn_stale_chassis.
type staleChassis struct{}

func (staleChassis) Read(ctx context.Context, v host.View, want StaleChassisSpec) (StaleChassisSpec, error) {
	have := StaleChassisSpec{Chassis: want.Chassis, Dead: map[string]deadChassis{}}
	found, err := selectRows(ctx, v.OVSDB, host.Southbound,
		row.Select("Chassis", nil), row.Select("Encap", nil), row.Select("Chassis_Private", nil))
	if err != nil {
		return have, err
	}
	encaps := row.ByID(found[1])
	private := map[string]ovsdb.Row{}
	for _, p := range found[2] {
		private[row.String(p, "name")] = p
	}
	live := want.live()
	for _, c := range found[0] {
		name := row.String(c, "name")
		if live.names[name] {
			continue
		}
		d := deadChassis{Rows: []row.Record{row.Record(c)}}
		for _, id := range row.Refs(c, "encaps") {
			e := encaps[id]
			d.Rows = append(d.Rows, row.Record(e))
			if of := live.ends[end(row.String(e, "type"), row.String(e, "ip"))]; of != "" {
				d.Of, d.Now = of, want.Chassis[of].SystemID
			}
		}
		if d.Of == "" {
			have.Foreign = append(have.Foreign, d.describe())
			continue
		}
		d.Private = row.Record(private[name])
		d.Digest = d.digest()
		have.Dead[name] = d
	}
	slices.Sort(have.Foreign)
	return have, have.readPorts(ctx, v)
}

// readPorts finds what is bound to the dead.
func (s *StaleChassisSpec) readPorts(ctx context.Context, v host.View) error {
	names := slices.Sorted(maps.Keys(s.Dead))
	if len(names) == 0 {
		return nil
	}
	ops := make([]ovsdb.Operation, len(names))
	for i, name := range names {
		id := row.ID(ovsdb.Row(s.Dead[name].Rows[0]))
		ops[i] = row.Select("Port_Binding", []string{"logical_port"}, row.Includes("chassis", row.UUIDs(id)))
	}
	found, err := selectRows(ctx, v.OVSDB, host.Southbound, ops...)
	if err != nil {
		return err
	}
	for i, name := range names {
		d := s.Dead[name]
		for _, p := range found[i] {
			d.Ports = append(d.Ports, row.String(p, "logical_port"))
		}
		slices.Sort(d.Ports)
		s.Dead[name] = d
	}
	return nil
}

// living is what the chassis that live have.
type living struct {
	names map[string]bool
	ends  map[string]string // hosts by their ends of tunnels
}

func (s StaleChassisSpec) live() living {
	out := living{map[string]bool{}, map[string]string{}}
	for host, c := range s.Chassis {
		out.names[c.SystemID] = true
		for e := range c.ends() {
			out.ends[e] = host
		}
	}
	return out
}

func (d deadChassis) hostname() string { return row.String(ovsdb.Row(d.Rows[0]), "hostname") }

func encapOf(r row.Record) string {
	return end(row.String(ovsdb.Row(r), "type"), row.String(ovsdb.Row(r), "ip"))
}

// describe is the chassis in a message.
func (d deadChassis) describe() string {
	var said []string
	if h := d.hostname(); h != "" {
		said = append(said, "host "+h)
	}
	for _, e := range d.Rows[1:] {
		said = append(said, encapOf(e))
	}
	return fmt.Sprintf("%s (%s)", row.String(ovsdb.Row(d.Rows[0]), "name"), strings.Join(said, ", "))
}

// digest tells whether two chassis are the same, but for the UUIDs of their rows
// and for what a daemon counts in them.
func (d deadChassis) digest() string {
	var lines []string
	for _, r := range d.Rows {
		c := ovsdb.Row(r)
		line, err := json.Marshal([]any{
			row.String(c, "name"), row.String(c, "hostname"), row.String(c, "type"), row.String(c, "ip"), row.Map(c, "options"),
			row.Map(c, "external_ids"), row.Map(c, "other_config"), row.Strings(c, "transport_zones"), row.Strings(c, "vtep_logical_switches"),
		})
		if err != nil {
			panic("ovn: a row that is no JSON: " + err.Error())
		}
		lines = append(lines, string(line))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// Write removes the dead in one transaction, or, for an undo, makes them again.
func (staleChassis) Write(ctx context.Context, h host.Host, have, want StaleChassisSpec) error {
	if want.Dead == nil {
		var tx row.Tx
		for _, name := range slices.Sorted(maps.Keys(have.Dead)) {
			have.Dead[name].remove(&tx)
		}
		return conflicts(tx.Commit(ctx, h.OVSDB, host.Southbound))
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(want.Dead)) {
		if _, there := have.Dead[name]; there {
			continue
		}
		var tx row.Tx
		want.Dead[name].insert(&tx)
		if err := conflicts(tx.Commit(ctx, h.OVSDB, host.Southbound)); err != nil {
			errs = append(errs, fmt.Errorf("make chassis %s again: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// remove takes the rows away that were read. Encaps go with the last row that
// refers to them.
func (d deadChassis) remove(tx *row.Tx) {
	c := ovsdb.Row(d.Rows[0])
	tx.Guard("Chassis", c, "name", "encaps")
	tx.Delete("Chassis", row.ID(c))
	if d.Private != nil {
		tx.Guard("Chassis_Private", ovsdb.Row(d.Private), "name", "chassis")
		tx.Delete("Chassis_Private", row.ID(ovsdb.Row(d.Private)))
	}
}

// insert makes the rows again, and binds the ports to the chassis that nobody
// bound since. What ovn-northd writes of chassis into bindings it writes again.
func (d deadChassis) insert(tx *row.Tx) {
	chassis := d.Rows[0].Insertable("encaps")
	tx.GuardNone("Chassis", row.Is("name", chassis["name"]))
	var names []string
	for i, e := range d.Rows[1:] {
		tx.GuardNone("Encap", row.Is("type", e["type"]), row.Is("ip", e["ip"]))
		names = append(names, fmt.Sprintf("encap%d", i))
		tx.Insert("Encap", names[i], e.Insertable())
	}
	chassis["encaps"] = row.UUIDs(names...)
	tx.Insert("Chassis", "chassis", chassis)
	if d.Private != nil {
		private := d.Private.Insertable("chassis")
		if len(row.Refs(ovsdb.Row(d.Private), "chassis")) > 0 {
			private["chassis"] = row.UUIDs("chassis")
		}
		tx.GuardNone("Chassis_Private", row.Is("name", private["name"]))
		tx.Insert("Chassis_Private", "", private)
	}
	for _, port := range d.Ports {
		tx.Add(ovsdb.Operation{
			Op: ovsdb.OperationUpdate, Table: "Port_Binding",
			Where: []ovsdb.Condition{row.Is("logical_port", port), row.Is("chassis", row.Empty())},
			Row:   ovsdb.Row{"chassis": row.UUIDs("chassis")},
		})
	}
}
