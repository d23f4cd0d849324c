package ovs

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"weft/engine/step"
)

// StalePortsSpec is the attributes of ovs_stale_ports.
type StalePortsSpec struct {
	Bridge string        `json:"bridge,omitzero" default:"br-int" doc:"The bridge of guests. It must be there."`
	After  time.Duration `json:"after,omitzero" default:"1m" doc:"How long after a port was first seen dead it may be removed."`

	// Dead are the ports that are dead, or that were seen so; nil in what a
	// playbook says, not in what was found.
	Dead map[string]deadPort `json:"bridge.dead" weft:"found"`
	// Doubtful are dead ports that nothing says a guest had.
	Doubtful []string `json:"doubtful,omitzero" weft:"found"`
}

// deadPort is what is there of a name.
type deadPort struct {
	Port  *otherPort `json:"port,omitzero"`  // the dead port; nil where none is dead
	There bool       `json:"there,omitzero"` // some bridge has a port of the name
	Seen  *sighting  `json:"seen,omitzero"`  // what a pass before noted
	Twice bool       `json:"twice,omitzero"` // that speaks of this port and this boot
	Due   bool       `json:"due,omitzero"`   // and is old enough
}

// sighting says that a port was seen dead. Uptime and not the time of day: clocks
// are set.
type sighting struct {
	Boot   string `json:"boot"`   // the kernel's id of the boot
	Uptime int    `json:"uptime"` // seconds
	Port   string `json:"port"`   // the UUID of its row: another port of the name is not it
}

// shownDead is a dead port in a plan.
type shownDead struct {
	Error string `json:"error,omitzero"`
	Seen  string `json:"seen,omitzero"`
}

const (
	firstTime = "dead for the first time: noted, not removed"
	before    = "dead before"
)

func stalePortsKind() step.Kind {
	return step.Kind{
		Name:    "ovs_stale_ports",
		Summary: "Removes ports of guests that are gone from a bridge, once they were seen dead twice.",
		Doc: `A guest that dies hard leaves its port in the bridge: ovs-vswitchd and ovn-controller try it again and again. A port is dead where
ovs-vswitchd could not open its device (ofport is -1, or error says why) and no network namespace of the host has a device of its name.

A guest that is just being started or moved looks the same for a moment, so one look is not enough: the first pass notes the port in
/var/lib/weft, and the plan says so; a later one in the same boot, at least ` + "`after`" + ` later, removes it. All that go do so in one
transaction, and undo makes them again with all their rows.

Only ports of guests go: those that say so by external_ids:iface-id, of one interface of the ordinary type. Tunnels, patch ports, internal
ports, bonds and what ovn-controller made are never touched; a dead port without an iface-id may be an uplink that is away, and is a
warning.`,
		Spec:    StalePortsSpec{},
		Example: `step "ovs_stale_ports" "br-int" { after = "5m" }`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[StalePortsSpec](u)
			return step.Of("stale ports of bridge "+want.Bridge, stalePorts{}, want), err
		},
	}
}

// Validate implements [step.Validator].
func (s *StalePortsSpec) Validate() []step.Problem {
	var problems []step.Problem
	for _, p := range nameProblems(s.Bridge) {
		p.Path = "bridge"
		problems = append(problems, p)
	}
	if s.After < 0 {
		problems = append(problems, step.Problem{Path: "after", Message: "is no time to wait"})
	}
	return problems
}

// Diff names what a check finds and what an undo brings back by paths of their own
// where they are not each other's opposites: that a minute has passed since a port
// was noted is nobody's work.
func (stalePorts) Diff(have, want StalePortsSpec) []step.Delta {
	if want.Dead != nil {
		return undoneDead(have, want)
	}
	var deltas []step.Delta
	for _, name := range slices.Sorted(maps.Keys(have.Dead)) {
		switch d := have.Dead[name]; {
		case d.Port == nil && d.Seen != nil:
			deltas = append(deltas, step.Change("bridge.revived."+name, shownDead{Seen: before}, nil))
		case d.Port == nil:
		case !d.Twice:
			deltas = append(deltas, step.Change("bridge.dead."+name, shownDead{Error: d.Port.Error}, shownDead{Error: d.Port.Error, Seen: firstTime}))
		case d.Due:
			deltas = append(deltas, step.Change("bridge.dead."+name, shownDead{Error: d.Port.Error, Seen: before}, nil))
		}
	}
	return deltas
}

// undoneDead is what an undo brings back: ports, unless one of the name came back by
// itself, and notes.
func undoneDead(have, want StalePortsSpec) []step.Delta {
	var deltas []step.Delta
	for _, name := range slices.Sorted(maps.Keys(want.Dead)) {
		was, now := want.Dead[name], have.Dead[name]
		switch {
		case was.Port != nil && now.Port == nil && !now.There:
			deltas = append(deltas, step.Change("bridge.dead."+name, nil, shownDead{Error: was.Port.Error}))
		case was.Port != nil && now.Port != nil && now.Port.Digest != was.Port.Digest:
			deltas = append(deltas, step.Change("bridge.dead."+name, shownDead{Error: now.Port.Error}, shownDead{Error: was.Port.Error}))
			continue
		}
		if !same(was.Seen, now.Seen) {
			deltas = append(deltas, step.Change("bridge.seen."+name, now.Seen, was.Seen))
		}
	}
	return deltas
}

func same(a, b *sighting) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// Advise says what waits, and what stays.
func (stalePorts) Advise(f *step.Finding, have, want StalePortsSpec) {
	for _, name := range slices.Sorted(maps.Keys(have.Dead)) {
		if d := have.Dead[name]; d.Port != nil && d.Twice && !d.Due {
			f.Warnings = append(f.Warnings, fmt.Sprintf("port %s of bridge %s is dead, and was noted less than %s ago: a later pass removes it", name, want.Bridge, want.After))
		}
	}
	f.Warnings = append(f.Warnings, have.Doubtful...)
}
