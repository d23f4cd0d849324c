package ovn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

// migrations are the places of guests.
type migrations struct{ owner owner }

// nowhereError says that a guest was seen at work on none of the hypervisors. An
// earlier step may start it, or bring what it takes to ask them.
type nowhereError struct {
	message string
	unasked error // why some could not be asked; nil where it is nowhere for certain
}

// Error says where it was looked for.
func (e *nowhereError) Error() string {
	if e.unasked != nil {
		return e.message + ": " + e.unasked.Error()
	}
	return e.message
}

func (e *nowhereError) Unwrap() error { return e.unasked }

// Is makes the error a step.ErrNotYet, and where there is no doubt a
// step.ErrConflict: to an undo another hand took the guest away.
func (e *nowhereError) Is(target error) bool {
	return target == step.ErrNotYet || target == step.ErrConflict && e.unasked == nil
}

// sight is where a guest was seen.
type sight struct {
	at       string
	crossing bool // a migration is under way
	unasked  []string
	failures []error // of those that were not asked
}

// look asks all hypervisors for a guest. They are asked one after the other, and a guest that moves just then would be seen
// twice: who sees that looks again.
func look(ctx context.Context, v host.View, s migrationState) (sight, error) {
	seen, err := glance(ctx, v, s)
	if errors.Is(err, errTwice) {
		v.Memo.Forget()
		seen, err = glance(ctx, v, s)
	}
	return seen, err
}

var errTwice = errors.New("two machines with one MAC, and perhaps one disk; see which is the true one, and destroy the other")

// glance asks each of the hypervisors once.
func glance(ctx context.Context, v host.View, s migrationState) (sight, error) {
	var seen sight
	var lives, off []string
	for _, name := range slices.Sorted(maps.Keys(s.How.Hypervisors)) {
		states, err := statesAt(ctx, v, s.How.Hypervisors[name].URI)
		if errors.Is(err, host.ErrNotReady) { // no virsh: no other would answer either
			return seen, fmt.Errorf("%w: virsh is in the package libvirt-clients", err)
		}
		if err != nil {
			seen.unasked, seen.failures = append(seen.unasked, name), append(seen.failures, err)
			continue
		}
		g, there := states[s.Domain]
		seen.crossing = seen.crossing || g.crossing()
		if g.lives() {
			lives = append(lives, name)
		} else if there && !g.crossing() {
			off = append(off, name)
		}
	}
	switch {
	case len(lives) == 1:
		seen.at = lives[0]
		return seen, nil
	case len(lives) > 1:
		return seen, fmt.Errorf("domain %s is at work on %s at once: %w", s.Domain, strings.Join(lives, " and "), errTwice)
	case seen.crossing:
		return seen, fmt.Errorf("domain %s is on its way between two hypervisors at this moment", s.Domain)
	}
	return seen, seen.nowhere(s.Domain, off)
}

func (s sight) nowhere(domain string, off []string) error {
	if len(s.failures) > 0 {
		return &nowhereError{fmt.Sprintf("domain %s may be at work on %s, which could not be asked", domain, strings.Join(s.unasked, ", ")), errors.Join(s.failures...)}
	}
	if len(off) > 0 {
		return &nowhereError{message: fmt.Sprintf("domain %s is shut off on %s: start it there, or define it where it shall run", domain, strings.Join(off, ", "))}
	}
	return &nowhereError{message: "no hypervisor has a domain " + domain}
}

// settled waits until no migration of the guest is under way.
func settled(ctx context.Context, v host.View, s migrationState) (seen sight, err error) {
	var gone error // and it will not come by waiting
	err = step.Await(ctx, s.How.Timeout, func() (err error) {
		v.Memo.Forget()
		seen, err = look(ctx, v, s)
		switch {
		case errors.Is(err, step.ErrConflict):
			gone = err
			return nil
		case err == nil && seen.crossing:
			return fmt.Errorf("domain %s is still on its way from %s", s.Domain, seen.at)
		}
		return err
	})
	if gone != nil {
		return seen, gone
	}
	return seen, err
}

// Read implements [step.Resource].
func (m migrations) Read(ctx context.Context, v host.View, want migrationState) (migrationState, error) {
	have := migrationState{Domain: want.Domain, How: want.How}
	seen, err := look(ctx, v, want)
	if err != nil {
		return have, err
	}
	have.At, have.Found = seen.at, &migrationFound{Unasked: seen.unasked, Crossing: seen.crossing}
	if have.At != want.At || want.Autostart.Managed() {
		if err := readDefinition(ctx, v, &have); err != nil {
			return have, err
		}
	}
	if have.At == want.At {
		if err := readDowntime(ctx, v, &have); err != nil {
			return have, err
		}
	}
	if len(want.Ports) == 0 && want.How.chassis(have.At) == "" {
		return have, nil
	}
	ids, err := cardsOf(ctx, v, have)
	if err != nil {
		return have, err
	}
	for p := range want.Ports {
		ids = append(ids, p)
	}
	have.Ports, err = m.requested(ctx, v, ids, want.How.Adopt)
	return have, err
}

// readDefinition adds what goes along with the guest.
func readDefinition(ctx context.Context, v host.View, s *migrationState) error {
	r, err := v.Commands.Query(ctx, virsh(s.How.Hypervisors[s.At].URI, "dominfo", "--domain", s.Domain))
	if err != nil {
		return err
	}
	is := parseTitled(string(r.Stdout))
	s.Found.Persistent = is["Persistent"] == "yes"
	s.Autostart = step.Is(is["Autostart"] == "enable")
	return nil
}

// cardsOf are what the network cards of a guest that plug into Open vSwitch are called there.
func cardsOf(ctx context.Context, v host.View, s migrationState) ([]string, error) {
	uri := s.How.Hypervisors[s.At].URI
	r, err := v.Commands.Query(ctx, virsh(uri, "dumpxml", "--domain", s.Domain))
	if err != nil {
		return nil, err
	}
	n, err := xmltree.Parse(string(r.Stdout))
	if err != nil {
		return nil, fmt.Errorf("the definition of domain %s at %s: %w", s.Domain, uri, err)
	}
	var ids []string
	for _, card := range n.At("devices").All("interface") {
		port := card.At("virtualport")
		if id := port.At("parameters").Get("interfaceid"); port.Get("type") == "openvswitch" && id != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// requested is the requested-chassis of those ports that OVN has.
func (m migrations) requested(ctx context.Context, v host.View, ids []string, adopt bool) (keys, error) {
	out := keys{}
	for _, id := range ids {
		found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, []string{"options", "external_ids"}, row.Is("name", id)))
		if err != nil {
			return nil, err
		}
		for _, p := range found[0] {
			if !m.owner.ours(p) && !adopt {
				return nil, &foreignError{object: "logical switch port " + id, whose: whose(row.Map(p, "external_ids"))}
			}
			out[id] = step.None[string]()
			if value, set := row.Map(p, "options")[requestedChassis]; set {
				out[id] = step.Is(value)
			}
		}
	}
	return out, nil
}

// readDowntime adds how long the last migration to where the guest is took it from its work.
func readDowntime(ctx context.Context, v host.View, s *migrationState) error {
	r, err := v.Commands.Query(ctx, virsh(s.How.Hypervisors[s.At].URI, "domjobinfo", "--domain", s.Domain, "--completed", "--keep-completed"))
	var refused *host.ExitError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if ms, told := downtime(string(r.Stdout)); told {
		s.Found.Downtime = &ms
	}
	return nil
}

// Diff implements [step.Resource].
func (migrations) Diff(have, want migrationState) []step.Delta {
	deltas := step.Compare(have, want.wanted(have))
	if have.Found != nil && have.Found.Crossing && have.At == want.At { // where it was, and may be no more in a moment
		deltas = append([]step.Delta{step.Change("to", have.At+", on its way", want.At)}, deltas...)
	}
	return deltas
}

// Advise tells where the guest will be, and what the journey costs.
func (migrations) Advise(f *step.Finding, have, want migrationState) {
	out := map[string]any{"at": want.At}
	if have.At == want.At && have.Found.Downtime != nil {
		out["downtime_ms"] = *have.Found.Downtime
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("ovn: outputs that do not encode: " + err.Error())
	}
	f.Outputs = b
	if have.At != want.At {
		f.Cost.Disruption = fmt.Sprintf("domain %s stands still for a moment on its way from %s to %s", want.Domain, have.At, want.At)
	}
	for _, name := range have.Found.Unasked {
		f.Warnings = append(f.Warnings, fmt.Sprintf("hypervisor %s could not be asked whether it has a domain %s too", name, want.Domain))
	}
}
