package ovs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// stalePorts is the resource behind ovs_stale_ports.
type stalePorts struct{}

// sightingsFile is where the dead ports of a bridge are noted, by name.
func sightingsFile(bridge string) string { return "/var/lib/weft/dead-ports-" + bridge + ".json" }

func (stalePorts) Read(ctx context.Context, v host.View, want StalePortsSpec) (StalePortsSpec, error) {
	have := StalePortsSpec{Bridge: want.Bridge, After: want.After, Dead: map[string]deadPort{}}
	t, err := readTables(ctx, v)
	if err != nil {
		return have, err
	}
	home, err := t.bridgeBefore(want.Bridge)
	if err != nil {
		return have, err
	}
	noted, err := readSightings(ctx, v.Files, want.Bridge)
	if err != nil {
		return have, err
	}
	for _, names := range [][]string{slices.Collect(maps.Keys(noted)), slices.Collect(maps.Keys(want.Dead))} {
		for _, name := range names {
			_, there := named(t.ports, name)
			have.Dead[name] = deadPort{There: there, Seen: noted[name]}
		}
	}
	dead, err := have.buried(ctx, v, t, home)
	if err != nil || len(dead) == 0 {
		return have, err
	}
	now, err := thisMoment(ctx, v.Kernel)
	if err != nil {
		return have, err
	}
	for _, p := range dead {
		name := row.String(p, "name")
		whole, err := t.other(ctx, v.OVSDB, p, nil)
		if err != nil {
			return have, err
		}
		d := deadPort{Port: &whole, There: true, Seen: noted[name]}
		if d.Seen != nil && d.Seen.Boot == now.Boot && d.Seen.Port == row.ID(p) {
			d.Twice = true
			d.Due = now.Uptime-d.Seen.Uptime >= int(want.After.Seconds())
		}
		have.Dead[name] = d
	}
	return have, nil
}

// buried are the ports of a bridge whose device is nowhere, and that a guest had.
func (s *StalePortsSpec) buried(ctx context.Context, v host.View, t tables, home ovsdb.Row) ([]ovsdb.Row, error) {
	var dead []ovsdb.Row
	for _, id := range row.Refs(home, "ports") {
		if p := t.ports[id]; t.looksDead(p) {
			dead = append(dead, p)
		}
	}
	if len(dead) == 0 {
		return nil, nil
	}
	there, err := linksAnywhere(ctx, v)
	if err != nil {
		return nil, err
	}
	dead = slices.DeleteFunc(dead, func(p ovsdb.Row) bool {
		i := t.interfaces[row.Ref(p, "interfaces")]
		name := row.String(p, "name")
		switch {
		case there[row.String(i, "name")]:
			return true
		case row.Map(i, "external_ids")["iface-id"] == "":
			s.Doubtful = append(s.Doubtful, fmt.Sprintf("port %s of bridge %s is dead (%s), and no guest's: it has no iface-id. It may be an uplink that is away; if not, remove it by `ovs-vsctl del-port`", name, s.Bridge, portError(i)))
			return true
		}
		return false
	})
	slices.Sort(s.Doubtful)
	return dead, nil
}

// looksDead says whether a port has one interface of the ordinary type that
// ovs-vswitchd could not open. One that it did not yet try is not dead.
func (t tables) looksDead(p ovsdb.Row) bool {
	ids := row.Refs(p, "interfaces")
	if len(ids) != 1 || ofOVN(p) {
		return false
	}
	i := t.interfaces[ids[0]]
	n, tried := row.Int(i, "ofport")
	kind := row.String(i, "type")
	return (kind == "" || kind == "system") && (tried && n < 0 || row.String(i, "error") != "")
}

// linksAnywhere are the names of the network devices of the host, in all of its
// network namespaces: its own, those with a name, and those of processes, which
// containers have.
func linksAnywhere(ctx context.Context, v host.View) (map[string]bool, error) {
	out := map[string]bool{}
	spaces, err := v.Links.Namespaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, space := range append(spaces, "") {
		links, err := v.Links.List(ctx, space)
		if err != nil && (space == "" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		for _, l := range links {
			out[l.Name] = true
		}
	}
	processes, err := v.Kernel.List(ctx, "/proc")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, id := range processes {
		if _, err := strconv.Atoi(id); err != nil {
			continue
		}
		// A process may end between any two of these, and has no links then.
		space, err := v.Kernel.Link(ctx, "/proc/"+id+"/ns/net")
		if err != nil || seen[space] {
			continue
		}
		table, err := v.Kernel.Get(ctx, "/proc/"+id+"/net/dev")
		if err != nil {
			continue
		}
		seen[space] = true
		for _, name := range devicesIn(table) {
			out[name] = true
		}
	}
	return out, ctx.Err()
}

// devicesIn are the names in a /proc/PID/net/dev (proc(5)): two lines of headings,
// and then a line each that begins with the name and a colon.
func devicesIn(table string) []string {
	var names []string
	for line := range strings.Lines(table) {
		if name, _, is := strings.Cut(line, ":"); is {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// thisMoment is the sighting of no port.
func thisMoment(ctx context.Context, k host.KernelReader) (sighting, error) {
	boot, err := k.Get(ctx, "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return sighting{}, err
	}
	uptime, err := k.Get(ctx, "/proc/uptime")
	if err != nil {
		return sighting{}, err
	}
	whole, _, _ := strings.Cut(uptime, ".")
	n, err := strconv.Atoi(whole)
	if err != nil {
		return sighting{}, fmt.Errorf("read /proc/uptime: %q is no number of seconds", uptime)
	}
	return sighting{Boot: boot, Uptime: n}, nil
}

func readSightings(ctx context.Context, files host.FileReader, bridge string) (map[string]*sighting, error) {
	b, err := files.Read(ctx, sightingsFile(bridge))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]*sighting{}, nil
	}
	if err != nil {
		return nil, err
	}
	var noted map[string]*sighting
	if err := json.Unmarshal(b, &noted); err != nil {
		return nil, fmt.Errorf("read %s: %w; remove the file, and dead ports are noted anew", sightingsFile(bridge), err)
	}
	maps.DeleteFunc(noted, func(_ string, s *sighting) bool { return s == nil })
	return noted, nil
}
