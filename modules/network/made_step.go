package network

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// madeStep is the step of a made device.
type madeStep[S any] struct {
	step.Step
	object   string
	resource madeDevices[S]
	want     S
}

func newMadeStep[S any](object string, r madeDevices[S], want S) step.Step {
	return madeStep[S]{step.Of(object, r, want), object, r, want}
}

// Undo takes nothing away that others have come to need since: what we made and
// others stand on, or have put guests into, stays.
func (s madeStep[S]) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before S
	if err := json.Unmarshal(f.Before, &before); err != nil {
		return err
	}
	b := s.resource.parts(&before)
	if err := b.refuseUndo(ctx, h.View(), s.resource.parts(&s.want)); err != nil {
		return fmt.Errorf("%s: %w", s.object, err)
	}
	r := s.resource
	r.undo = append([]string{}, slices.Sorted(maps.Keys(*b.devices))...)
	return step.Of(s.object, r, s.want).Undo(ctx, h, f)
}

// refuseUndo says why a device that was not there before is not to go again.
func (p *parts) refuseUndo(ctx context.Context, v host.View, want *parts) error {
	all, err := devices(ctx, v)
	if err != nil {
		return err
	}
	if own, there := all[p.name]; !there || own.link.Kind != p.kind || p.state.There() || !want.state.There() {
		return nil
	}
	users := above(p.name, all)
	if want.keeps && *want.members != nil {
		users = append(users, missing(membersOf(p.name, all), *want.members)...)
	}
	if len(users) > 0 {
		return fmt.Errorf("%s has come to use it: %w", strings.Join(users, ", "), step.ErrConflict)
	}
	return nil
}

// severs are the links that a change of a made device may cut: the device, and
// members that come or go.
func (p *parts) severs(f *step.Finding, want *parts) {
	cut := func(name string) {
		if !slices.Contains(f.Cost.Severs, name) {
			f.Cost.Severs = append(f.Cost.Severs, name)
		}
	}
	if !f.Changed() {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(*p.devices)) {
		if d := (*p.devices)[name]; d.Up || len(d.Addresses) > 0 {
			cut(name)
		}
	}
	if *p.daemon != "" {
		cut(p.name)
		for _, name := range p.activated(want) {
			cut(name)
		}
	}
	if !p.state.There() {
		return
	}
	for _, d := range f.Deltas {
		if len(*p.stake) > 0 || d.Path == "state" || d.Path == "mac" || d.Path == "up" && !want.up.Or(true) || slices.Contains(want.cuts, d.Path) {
			cut(p.name)
		}
	}
}

// problems are those that every made device may have.
func (p *parts) problems(bad func(path, message, hint string)) {
	for _, problem := range keepProblems(*p.persist, *p.by) {
		bad(problem.Path, problem.Message, problem.Hint)
	}
	if !linkName.MatchString(p.name) {
		bad("name", fmt.Sprintf("%q is no name for a link", p.name), nameHint)
	}
	if mac, ok := p.mac.Get(); ok && !station.MatchString(mac) {
		bad("mac", fmt.Sprintf("%q is not an Ethernet address of one station", mac), `write it as "02:ac:10:ff:00:11"`)
	}
	if mtu, ok := p.mtu.Get(); ok && (mtu < 68 || mtu > 65535) {
		bad("mtu", fmt.Sprintf("%d is not from 68 to 65535", mtu), "")
	}
	for path, absent := range map[string]bool{"up": p.up.Absent(), "mtu": p.mtu.Absent(), "mac": p.mac.Absent()} {
		if absent {
			bad(path, "cannot be absent", "leave it out")
		}
	}
	for _, s := range p.settings {
		if s.untold() {
			bad(cmp.Or(s.attribute, s.option), "cannot be absent", "leave it out")
		}
	}
	if p.members == nil {
		return
	}
	seen := map[string]bool{}
	for _, m := range *p.members {
		switch {
		case !linkName.MatchString(m):
			bad("members", fmt.Sprintf("%q is no name for a link", m), nameHint)
		case m == p.name:
			bad("members", m+" is the device itself", "")
		case seen[m]:
			bad("members", m+" is there twice", "")
		}
		seen[m] = true
	}
}

// completed fills in what follows of what was given.
func (p *parts) completed() {
	*p.files = goal(*p.persist)
	if mac, ok := p.mac.Get(); ok {
		*p.mac = step.Is(strings.ToLower(mac))
	}
	if !p.state.There() {
		return
	}
	if !p.up.Managed() {
		*p.up = step.Is(true)
	}
	if p.members != nil && *p.members != nil {
		*p.active = map[string]bool{}
		for _, m := range *p.members {
			(*p.active)[m] = true
		}
	}
}
