package network

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// A bond, a bridge and a VLAN are made: a device that the kernel does not have by
// itself, with options of its kind, and mostly with members. They share one
// resource, which meets each of their specs by its parts.

// parts are the fields of a spec of a made device. Members, active, others and
// lower are nil where the kind has none.
type parts struct {
	kind    string // of the link, by rtnetlink(7)
	name    string
	state   *step.State
	up      *step.Attr[bool]
	mtu     *step.Attr[int]
	mac     *step.Attr[string]
	members *[]string
	active  *map[string]bool // whether members are up
	lower   *string          // the device it stands on
	from    string           // the member whose addresses it takes over
	keeps   bool             // members that nobody named stay

	settings []setting
	// fixed are the options that make another device of it, empty those that
	// change while it has no members alone, and down those that do while it is
	// down.
	fixed, empty, down []string
	sways              []string            // options whose change changes others
	modes              map[string][]string // of a bond: the options that some modes alone have
	cuts               []string            // attributes whose change stops traffic for a while

	// persist, by and files say what makes it at boot; see keeping. Daemon is who
	// makes it by them now.
	persist *step.Attr[bool]
	by      *string
	files   **netconf.State
	daemon  *string

	kernel  **kept
	stake   *[]string
	devices *map[string]kept
	// strangers, where not nil, are the members that nobody named.
	strangers *[]string
}

// kept is a device as it was found, for what it loses where it joins or leaves
// another, goes down or is made anew.
type kept struct {
	device
	MAC     string            `json:"mac,omitzero"`
	MTU     int               `json:"mtu,omitzero"`
	Master  string            `json:"master,omitzero"`
	Options map[string]string `json:"options,omitzero"`
}

func keep(d device) kept {
	return kept{device: d, MAC: d.link.MAC, MTU: d.link.MTU, Master: d.link.Master, Options: d.link.Options}
}

// What of a device is at stake in a change: what undo must look after beyond the
// attributes.
const (
	stakeOptions   = "options"
	stakeStation   = "station" // Ethernet address and MTU
	stakeAddresses = "addresses"
	stakeMaster    = "master"
)

// madeDevices is the resource behind all kinds of made devices. What is the same
// for all of them is done by their parts.
type madeDevices[S any] struct {
	parts func(*S) *parts
	blank func(want S) S // with what names the device, and what is no part of its state
	// advise has more to say about a change; see step.Adviser.
	advise func(f *step.Finding, have, want S)
	// undo, where not nil, are the devices that the finding to be undone holds:
	// they are read, and nothing is refused.
	undo []string
}

func (r madeDevices[S]) Read(ctx context.Context, v host.View, want S) (S, error) {
	have := r.blank(want)
	h, w := r.parts(&have), r.parts(&want)
	all, err := h.read(ctx, v, w, r.undo)
	if err != nil || r.undo != nil || len(r.Diff(have, want)) == 0 {
		return have, err
	}
	return have, w.refuse(ctx, v, *h.files, all)
}

func (r madeDevices[S]) Diff(have, want S) []step.Delta {
	return append(step.Compare(have, want), r.parts(&want).deltas(r.parts(&have))...)
}

func (r madeDevices[S]) Write(ctx context.Context, h host.Host, have, want S) error {
	return r.parts(&want).write(ctx, h, r.parts(&have))
}

// Advise names what a change costs.
func (r madeDevices[S]) Advise(f *step.Finding, have, want S) {
	r.parts(&have).severs(f, r.parts(&want))
	r.advise(f, have, want)
}

// read fills the parts with what is there of want.
func (p *parts) read(ctx context.Context, v host.View, want *parts, undo []string) (map[string]device, error) {
	all, err := devices(ctx, v)
	if err != nil {
		return nil, err
	}
	own, there := all[want.name]
	if there && own.link.Kind != want.kind {
		return nil, fmt.Errorf("there is a device %s already, and it is no %s: give this one another name", want.name, want.kind)
	}
	*p.state = step.Absent
	if there {
		*p.state = step.Present
		p.fill(want, own, all)
	}
	p.record(want, all, undo)
	return all, p.readKept(ctx, v, want, all)
}

// fill answers what want manages of a device that is there, and of one that is to
// go everything.
func (p *parts) fill(want *parts, own device, all map[string]device) {
	whole := !want.state.There()
	if whole || want.up.Managed() {
		*p.up = step.Is(own.Up)
	}
	if whole || want.mtu.Managed() {
		*p.mtu = step.Is(own.link.MTU)
	}
	if whole || want.mac.Managed() {
		*p.mac = step.Is(own.link.MAC)
	}
	for i, s := range p.settings {
		text, there := own.link.Options[s.option]
		if _, managed := want.settings[i].text(); managed || whole && there && p.means(s.option, own.link.Options) {
			s.set(text, there)
		}
	}
	if p.lower != nil {
		*p.lower = own.link.Lower
	}
	if p.members != nil && (whole || *want.members != nil) {
		*p.members, *p.active = []string{}, map[string]bool{}
		for _, m := range membersOf(p.name, all) {
			if named := slices.Contains(*want.members, m); !whole && want.keeps && !named && !want.joined(m) {
				*p.strangers = append(*p.strangers, m)
				continue
			}
			*p.members = append(*p.members, m)
			(*p.active)[m] = all[m].Up
		}
	}
}

// joined says whether a device is a member by the change that is to be undone.
func (p *parts) joined(m string) bool {
	d, recorded := (*p.devices)[m]
	return recorded && d.Master != p.name && p.owed(m, d)
}

// owed says whether a device that undo has on record is to come back so. Where
// another hand took a member out, or put it in, it is not.
func (p *parts) owed(name string, k kept) bool {
	if !p.state.There() || p.members == nil || *p.members == nil {
		return true
	}
	return slices.Contains(*p.members, name) == (k.Master == p.name)
}

// membersOf are the members of a device, by name.
func membersOf(name string, all map[string]device) []string {
	var out []string
	for _, m := range slices.Sorted(maps.Keys(all)) {
		if all[m].link.Master == name {
			out = append(out, m)
		}
	}
	return out
}

// above are the devices that stand on another, and those that stand on them.
func above(name string, all map[string]device) []string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(all)) {
		if all[n].link.Lower == name {
			out = append(append(out, n), above(n, all)...)
		}
	}
	return out
}

// record keeps what undo needs of the device, and of those that it changes.
func (p *parts) record(want *parts, all map[string]device, undo []string) {
	names := slices.Clone(undo)
	own, there := all[p.name]
	if there {
		k := keep(own)
		*p.kernel = &k
	}
	pending := want.pending(own)
	gone := there && (!want.state.There() || want.another(own))
	var moved []string
	if p.members != nil {
		now := membersOf(p.name, all)
		shall := want.membership(now)
		moved = slices.Concat(missing(now, shall), missing(shall, now))
	}
	lowered := touches(pending, want.down) || touches(pending, want.empty) || own.Up && !want.up.Or(true)
	switch {
	case gone:
		*p.stake = []string{stakeOptions, stakeStation, stakeAddresses, stakeMaster}
	case there:
		if touches(pending, want.empty) || touches(pending, want.sways) {
			*p.stake = append(*p.stake, stakeOptions)
		}
		if len(moved) > 0 || touches(pending, want.empty) {
			*p.stake = append(*p.stake, stakeStation)
		}
		if lowered {
			*p.stake = append(*p.stake, stakeAddresses)
		}
	}
	if names = append(names, moved...); lowered || there && want.mtu.Managed() && *want.mtu != *p.mtu {
		names = append(names, above(p.name, all)...)
	}
	for _, n := range names {
		if d, there := all[n]; there {
			if *p.devices == nil {
				*p.devices = map[string]kept{}
			}
			(*p.devices)[n] = keep(d)
		}
	}
}

// membership are the members that a device with these is to have.
func (p *parts) membership(now []string) []string {
	if !p.state.There() {
		return nil
	}
	if *p.members == nil {
		return now
	}
	out := slices.Clone(*p.members)
	for _, m := range missing(now, out) {
		if p.keeps && !p.joined(m) {
			out = append(out, m)
		}
	}
	return out
}

// another says whether a device of this name is another one, that must go first.
func (p *parts) another(own device) bool {
	return p.lower != nil && own.link.Lower != *p.lower || touches(p.pending(own), p.fixed)
}

// means says whether an option means anything in the mode that a device has. What
// the kernel keeps of another mode is nobody's state.
func (p *parts) means(option string, options map[string]string) bool {
	modes, some := p.modes[option]
	return !some || slices.Contains(modes, options["mode"])
}

func touches(pending map[string]string, options []string) bool {
	return slices.ContainsFunc(options, func(o string) bool { _, there := pending[o]; return there })
}

// pending are the options that a device does not have as they are wanted.
func (p *parts) pending(own device) map[string]string {
	out := map[string]string{}
	if p.kernel != nil && *p.kernel != nil && slices.Contains(*p.stake, stakeOptions) {
		for name, value := range (*p.kernel).Options {
			if own.link.Options[name] != value && p.means(name, (*p.kernel).Options) {
				out[name] = value
			}
		}
	}
	for _, s := range p.settings {
		text, managed := s.text()
		if is, there := own.link.Options[s.option]; managed && (s.untold() || s.same(is, there, text)) {
			delete(out, s.option)
		} else if managed {
			out[s.option] = text
		}
	}
	return out
}

// deltas are the differences beyond the attributes.
func (p *parts) deltas(have *parts) []step.Delta {
	deltas := keptDelta(*have.files, *p.files)
	if have.state.There() && p.state.There() {
		if p.active != nil {
			for _, m := range slices.Sorted(maps.Keys(*p.active)) {
				if is, member := (*have.active)[m]; member && is != (*p.active)[m] {
					deltas = append(deltas, step.Change("members.up."+m, is, (*p.active)[m]))
				}
			}
		}
		if *p.kernel != nil && *have.kernel != nil && !p.holds(**have.kernel) {
			deltas = append(deltas, step.Change("kernel", *have.kernel, *p.kernel))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(*p.devices)) {
		shall := (*p.devices)[name]
		if is, there := (*have.devices)[name]; there && p.owed(name, shall) && !shall.in(is, p.name) {
			deltas = append(deltas, step.Change("devices."+name, is, shall))
		}
	}
	return deltas
}

// holds says whether a device still has what was at stake, but for what the
// attributes say.
func (p *parts) holds(now kept) bool {
	k := **p.kernel
	staked := func(what string) bool { return slices.Contains(*p.stake, what) }
	is := device{link: host.Link{Options: now.Options}}
	switch {
	case staked(stakeOptions) && len(p.pending(is)) > 0:
		return false
	case staked(stakeStation) && (!p.mac.Managed() && k.MAC != now.MAC || !p.mtu.Managed() && k.MTU != now.MTU):
		return false
	case staked(stakeMaster) && k.Master != now.Master:
		return false
	}
	return !staked(stakeAddresses) || k.within(now.device)
}

// in says whether another device has all that was found of one. Of a member the
// rest follows its master.
func (k kept) in(now kept, master string) bool {
	if k.Master != now.Master || !k.within(now.device) {
		return false
	}
	return k.Master == master || k.Up == now.Up && k.MAC == now.MAC && k.MTU == now.MTU
}
