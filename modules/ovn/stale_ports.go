package ovn

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// vmKey is the key in external_ids of a logical switch port that weft made for a
// guest, which says whose it is: HOST/UUID, the host's name in the inventory and
// the UUID of its libvirt domain. The step that attaches a guest writes it. The
// host is where the guest was then: it may have been moved since.
const vmKey = "weft-vm"

// StalePortsSpec is the attributes of an ovn_stale_ports.
type StalePortsSpec struct {
	Hosts  []string            `json:"hosts" weft:"required,set" doc:"Names of the hosts that may have guests. While one of them is not in guests, nothing is removed."`
	Guests map[string][]string `json:"guests" weft:"required" doc:"The guests that are there, running or not: UUIDs of libvirt domains by host. Hosts that could not be asked are null or left out."`

	// Stale are the ports that are to go, by name; nil in what a playbook says, not
	// in what was found.
	Stale map[string]stalePort `json:"guests.stale" weft:"found"`
	// Left says what else was seen, and stays.
	Left []string `json:"left,omitzero" weft:"found"`
}

// stalePort is a port whose guest is gone, whole.
type stalePort struct {
	Guest  string         `json:"guest"`
	Port   SwitchPortSpec `json:"port"`
	Digest string         `json:"digest"` // of the port, without UUIDs
	// Up says that some chassis has a network card of the port's name, or had it when
	// it was last heard of. Such a port is not removed, so an undo has no business
	// with it; one that an undo brought back may well come up.
	Up bool `json:"up,omitzero"`
}

// shownPort is a stale port in a plan.
type shownPort struct {
	Switch string `json:"switch"`
	Guest  string `json:"guest"`
}

func (p stalePort) shown() shownPort { return shownPort{p.Port.Switch, p.Guest} }

func stalePortsKind() step.Kind {
	return step.Kind{
		Name:    "ovn_stale_ports",
		Summary: "Removes the logical switch ports of guests that are no more.",
		Doc: `A port that weft made for a guest says so in external_ids: weft-owner, as all that weft makes, and weft-vm with the guest's host and
the UUID of its domain. The guest is dead where all ` + "`hosts`" + ` were asked, that host among them, and none has a domain of that
UUID: it was undefined, and its port was left. A domain that is shut down is there, and one that was moved to another host is there too.

While one of the hosts could not be asked, no port goes, for the guest may be on it. A port that is up stays whatever the hosts say: some
chassis has a network card of its name. Ports without either key, of another site, of other hosts, or that carry ports of
containers stay as well. All that go do so in one transaction, and undo makes them again on their switches.`,
		Spec:   StalePortsSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_stale_ports" "guests" {
  hosts  = ["ubuntu2", "ubuntu3"]
  guests = { ubuntu2 = ["5b0f1f0e-8d5c-4a39-9c1c-0d2f2a5b7e11"], ubuntu3 = [] }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[StalePortsSpec](u)
			return step.Of("logical switch ports of guests that are gone", stalePorts{ownerOf(u)}, want), err
		},
	}
}

// stalePorts is the resource behind ovn_stale_ports.
type stalePorts struct{ owner owner }

func (s stalePorts) Read(ctx context.Context, v host.View, want StalePortsSpec) (StalePortsSpec, error) {
	have := StalePortsSpec{Hosts: want.Hosts, Guests: want.Guests, Stale: map[string]stalePort{}}
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, []string{"name", "parent_name", "external_ids", "up"}))
	if err != nil {
		return have, err
	}
	parents := map[string]bool{}
	for _, p := range found[0] {
		parents[row.String(p, "parent_name")] = true
	}
	domains, unasked := want.alive()
	waiting := map[string]int{}
	for _, p := range found[0] {
		name, guest := row.String(p, "name"), row.Map(p, "external_ids")[vmKey]
		of, id, isGuests := strings.Cut(guest, "/")
		if !isGuests || id == "" || !s.owner.ours(p) || domains[strings.ToLower(id)] {
			continue // it is none of ours, or its guest is there, on whichever host
		}
		switch {
		case want.Guests[of] == nil && !slices.Contains(unasked, of):
			waiting[of]++
		case len(unasked) > 0:
			for _, of := range unasked {
				waiting[of]++
			}
		case parents[name]:
			have.Left = append(have.Left, "port "+name+" of guest "+guest+", which is gone, carries ports of containers: they must go first")
		default:
			stale, err := s.stale(ctx, v, name, guest)
			if err != nil {
				return have, err
			}
			stale.Up, _ = row.Bool(p, "up")
			have.Stale[name] = stale
		}
	}
	for of, ports := range waiting {
		have.Left = append(have.Left, fmt.Sprintf("host %s was not asked for its guests: the ports of guests that no other host has are left alone (%d)", of, ports))
	}
	slices.Sort(have.Left)
	return have, nil
}

// alive are the UUIDs of the domains of all hosts that were asked, lower case, and
// the hosts that were not.
func (s StalePortsSpec) alive() (domains map[string]bool, unasked []string) {
	domains = map[string]bool{}
	for _, all := range s.Guests {
		for _, id := range all {
			domains[strings.ToLower(id)] = true
		}
	}
	for _, of := range s.Hosts {
		if s.Guests[of] == nil {
			unasked = append(unasked, of)
		}
	}
	return domains, unasked
}

// stale reads a port whole.
func (s stalePorts) stale(ctx context.Context, v host.View, name, guest string) (stalePort, error) {
	gone := SwitchPortSpec{Name: name, Adopt: true, State: step.Absent} // whose it is was looked at
	have := gone
	if err := portRows().read(ctx, v, s.owner, fieldsOf(&gone), fieldsOf(&have)); err != nil {
		return stalePort{}, err
	}
	have.Name = name
	if have.Found == nil || have.Found.Tree == nil || have.Found.Parent == nil {
		return stalePort{}, fmt.Errorf("logical switch port %s: %w", name, row.ErrChanged)
	}
	have.Switch = row.String(ovsdb.Row(have.Found.Parent.Row), "name")
	return stalePort{Guest: guest, Port: have, Digest: digestOf(have)}, nil
}

// digestOf tells whether two ports are the same.
func digestOf(p SwitchPortSpec) string {
	t := portRows()
	r := ovsdb.Row(p.Found.Tree.Row)
	columns := map[string]any{}
	for column, value := range p.Found.Tree.Row.Insertable(append(hidden(t.name), "dynamic_addresses")...) {
		switch value.(type) {
		case ovsdb.OvsMap:
			columns[column] = row.Map(r, column)
		default:
			columns[column] = []any{row.Strings(r, column), row.Ints(r, column)}
			if b, is := row.Bool(r, column); is {
				columns[column] = b
			}
		}
	}
	for _, ref := range t.refs {
		delete(columns, ref.column)
	}
	b, err := json.Marshal([]any{p.Switch, columns, p.Found.Names, p.Found.Holders})
	if err != nil {
		panic("ovn: a row that is no JSON: " + err.Error())
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// removable are the names of the ports that go, or that went.
func removable(stale map[string]stalePort) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(stale)), func(name string) bool { return stale[name].Up })
}

func (stalePorts) Diff(have, want StalePortsSpec) []step.Delta {
	var deltas []step.Delta
	if want.Stale == nil { // what a playbook says
		for _, name := range removable(have.Stale) {
			deltas = append(deltas, step.Change("guests.stale."+name, have.Stale[name].shown(), nil))
		}
		return deltas
	}
	for _, name := range removable(want.Stale) {
		was := want.Stale[name]
		switch now, there := have.Stale[name]; {
		case !there:
			deltas = append(deltas, step.Change("guests.stale."+name, nil, was.shown()))
		case now.Digest != was.Digest:
			deltas = append(deltas, step.Change("guests.stale."+name, now.shown(), was.shown()))
		}
	}
	return deltas
}

// Advise says what stays.
func (stalePorts) Advise(f *step.Finding, have, _ StalePortsSpec) {
	f.Warnings = append(f.Warnings, have.Left...)
	for _, name := range slices.Sorted(maps.Keys(have.Stale)) {
		if p := have.Stale[name]; p.Up {
			f.Warnings = append(f.Warnings, fmt.Sprintf("port %s of guest %s is up and left alone, though no host has the guest: some chassis has a network card of that name, or had it when it was last heard of", name, p.Guest))
		}
	}
}

// Write removes the ports in one transaction, or, for an undo, makes them again in
// one.
func (s stalePorts) Write(ctx context.Context, h host.Host, have, want StalePortsSpec) error {
	w := writing{table: portRows(), view: h.View(), owner: s.owner}
	if want.Stale == nil {
		for _, name := range removable(have.Stale) {
			there, gone := have.Stale[name].Port, SwitchPortSpec{Name: name, State: step.Absent}
			w.have, w.want = fieldsOf(&there), fieldsOf(&gone)
			if err := w.remove(); err != nil {
				return err
			}
		}
	} else {
		for _, name := range removable(want.Stale) {
			if _, there := have.Stale[name]; there {
				continue
			}
			gone, back := SwitchPortSpec{Name: name, State: step.Absent}, want.Stale[name].Port
			w.have, w.want = fieldsOf(&gone), fieldsOf(&back)
			if err := w.insert(ctx); err != nil {
				return err
			}
		}
	}
	if w.tx.Empty() {
		return nil
	}
	_, err := commit(ctx, h, &w.tx)
	return err
}
