package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"weft/engine/host"
)

// write goes one stage after the other, and looks anew before each: what a killed
// run left is where it goes on. A daemon that makes the device by its files comes
// first.
func (p *parts) write(ctx context.Context, h host.Host, have *parts) error {
	if *have.daemon != "" {
		if err := have.byDaemon(ctx, h, p); err != nil {
			return err
		}
	}
	m := &maker{parts: p, h: h}
	stages := []func(context.Context, map[string]device) error{
		m.replace, m.add, m.loosen, m.setOptions, m.release, m.take, m.join, m.setOptions, m.tune, m.recover, m.restore,
	}
	if !m.state.There() {
		stages = []func(context.Context, map[string]device) error{m.remove, m.restore}
	}
	for _, stage := range stages {
		all, err := devices(ctx, h.View())
		if err != nil {
			return err
		}
		if err := stage(ctx, all); err != nil {
			return err
		}
	}
	if *have.daemon != "" {
		return nil
	}
	_, err := m.keeping().write(ctx, h, m.part(), "")
	return err
}

// maker writes one made device.
type maker struct {
	*parts
	h host.Host
	// lost are the devices that a stage takes down or away, as they were.
	lost map[string]kept
	// taken are addresses that come from a member.
	taken []netip.Addr
}

// lose remembers devices for recover.
func (m *maker) lose(all map[string]device, names ...string) {
	if m.lost == nil {
		m.lost = map[string]kept{}
	}
	for _, n := range names {
		if _, known := m.lost[n]; !known {
			m.lost[n] = keep(all[n])
		}
	}
}

func (m *maker) remove(ctx context.Context, all map[string]device) error {
	if _, there := all[m.name]; !there {
		return nil
	}
	return m.h.Links.RemoveLink(ctx, "", m.name)
}

// replace takes away a device of this name that cannot become the one wanted.
func (m *maker) replace(ctx context.Context, all map[string]device) error {
	own, there := all[m.name]
	if !there || !m.another(own) {
		return nil
	}
	m.lose(all, m.name)
	return m.h.Links.RemoveLink(ctx, "", m.name)
}

func (m *maker) add(ctx context.Context, all map[string]device) error {
	if _, there := all[m.name]; there {
		return nil
	}
	l := host.NewLink{Name: m.name, Kind: m.kind, MAC: m.mac.Or(""), MTU: m.mtu.Or(0), Options: map[string]string{}}
	if m.lower != nil {
		l.Lower = *m.lower
	}
	if m.kind == "bond" && l.MAC == "" && len(*m.members) > 0 { // else udev may choose one (systemd.link(5), MACAddressPolicy)
		l.MAC = all[(*m.members)[0]].link.MAC
	}
	for _, s := range m.settings { // the others follow, where they are not so by themselves
		if text, managed := s.text(); managed && (s.option == "mode" || slices.Contains(m.fixed, s.option)) {
			l.Options[s.option] = text
		}
	}
	err := m.h.Links.AddLink(ctx, l)
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP):
		return fmt.Errorf("%w: the kernel has no devices of this kind; install and load its module %s", err, moduleOf(m.kind))
	case errors.Is(err, fs.ErrExist) && m.kind == "bond":
		return m.adopt(ctx, err)
	}
	return err
}

// adopt takes the bond0 that the bonding module makes where it is loaded, for us
// who asked for a bond0.
func (m *maker) adopt(ctx context.Context, refused error) error {
	all, err := devices(ctx, m.h.View())
	if err != nil {
		return err
	}
	if own := all[m.name]; own.link.Kind != "bond" || own.Up || len(membersOf(m.name, all)) > 0 {
		return refused
	}
	return nil
}

// loosen makes a bond ready for options that it takes while it is down, or has no
// members.
func (m *maker) loosen(ctx context.Context, all map[string]device) error {
	own := all[m.name]
	pending := m.pending(own)
	empty := touches(pending, m.empty)
	if empty {
		m.lose(all, m.name)
		for _, name := range membersOf(m.name, all) {
			if err := m.h.Links.Set(ctx, "", name, host.LinkChange{Master: new("")}); err != nil {
				return err
			}
		}
	}
	if !own.Up || !empty && !touches(pending, m.down) {
		return nil
	}
	m.lose(all, append(above(m.name, all), m.name)...)
	return m.h.Links.Set(ctx, "", m.name, host.LinkChange{Up: new(false)})
}

// setOptions sets what differs, and looks again: one option changes another.
func (m *maker) setOptions(ctx context.Context, all map[string]device) error {
	for range 4 {
		due := m.due(all)
		if len(due) == 0 {
			return nil
		}
		err := m.h.Links.Set(ctx, "", m.name, host.LinkChange{Options: due})
		if errors.Is(err, syscall.EOPNOTSUPP) {
			err = fmt.Errorf("%w: this kernel was built without one of them", err)
		}
		if err != nil {
			return err
		}
		if all, err = devices(ctx, m.h.View()); err != nil {
			return err
		}
	}
	due := m.due(all)
	if len(due) == 0 {
		return nil
	}
	name := slices.Sorted(maps.Keys(due))[0]
	if is, there := all[m.name].link.Options[name]; there {
		return fmt.Errorf("the kernel does not take %s = %q and keeps %q", name, due[name], is)
	}
	return fmt.Errorf("this kernel has no %s of a %s", name, m.kind)
}

// due are the options to set now: where the mode is to change, first those that
// the new mode does not have, else all that the mode has; a primary once it is a
// member.
func (m *maker) due(all map[string]device) map[string]string {
	own := all[m.name].link.Options
	pending := m.pending(all[m.name])
	if primary := pending["primary"]; primary != "" && all[primary].link.Master != m.name {
		delete(pending, "primary")
	}
	next, changes := pending["mode"]
	early, rest := map[string]string{}, map[string]string{}
	for name, value := range pending {
		switch modes, some := m.modes[name]; {
		case !some || slices.Contains(modes, cmp.Or(next, own["mode"])):
			rest[name] = value
		case changes && slices.Contains(modes, own["mode"]):
			early[name] = value
		}
	}
	if len(early) > 0 {
		return early
	}
	return rest
}

// release lets members go.
func (m *maker) release(ctx context.Context, all map[string]device) error {
	if m.members == nil {
		return nil
	}
	now := membersOf(m.name, all)
	for _, name := range missing(now, m.membership(now)) {
		if err := m.h.Links.Set(ctx, "", name, host.LinkChange{Master: new("")}); err != nil {
			return err
		}
	}
	return nil
}

// take moves addresses and routes from a member that is to join.
func (m *maker) take(ctx context.Context, all map[string]device) error {
	from, own := all[m.from], all[m.name]
	if m.from == "" || *m.devices != nil || from.link.Master == m.name || len(from.Addresses)+len(from.Routes) == 0 {
		return nil
	}
	mine := device{
		Addresses: slices.Concat(own.Addresses, missing(from.Addresses, own.Addresses)),
		Routes:    slices.Concat(own.Routes, from.Routes),
	}.change(own)
	m.taken, mine.Announce = mine.Announce, nil
	mine.Special, mine.Up = take(nil, from.Special), new(true)
	if len(membersOf(m.name, all)) == 0 && !m.mac.Managed() {
		mine.MAC = from.link.MAC
	}
	theirs := device{}.change(from)
	mine.Release = releaseOf(m.from, &theirs)
	return m.h.Links.Set(ctx, "", m.name, mine)
}

// join brings members in. A bond takes what is down alone, and what has addresses
// would answer for them beside it.
func (m *maker) join(ctx context.Context, all map[string]device) error {
	if m.members == nil {
		return nil
	}
	for _, name := range *m.members {
		d := all[name]
		if d.link.Master == m.name {
			continue
		}
		c := host.LinkChange{Master: &m.name}
		if m.kind == "bridge" && !d.Up {
			c.Up = new(true)
		} else if m.kind == "bond" && (d.Up || len(d.Addresses) > 0) {
			bare := device{}.change(d)
			bare.Up = new(false)
			if err := m.h.Links.Set(ctx, "", name, bare); err != nil {
				return err
			}
		}
		if err := m.h.Links.Set(ctx, "", name, c); err != nil {
			return err
		}
	}
	return nil
}

// tune sets what every device has.
func (m *maker) tune(ctx context.Context, all map[string]device) error {
	own := all[m.name]
	c, changes := host.LinkChange{Announce: m.taken}, len(m.taken) > 0
	if mtu, ok := m.mtu.Get(); ok && mtu != own.link.MTU {
		c.MTU, changes = mtu, true
	}
	if mac, ok := m.mac.Get(); ok && mac != own.link.MAC {
		c.MAC, changes = mac, true
	}
	if up, ok := m.up.Get(); ok && up != own.Up {
		c.Up, changes = &up, true
	}
	if changes {
		if err := m.h.Links.Set(ctx, "", m.name, c); err != nil {
			return err
		}
	}
	if m.active == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(*m.active)) {
		if up := (*m.active)[name]; all[name].link.Master == m.name && up != all[name].Up {
			if err := m.h.Links.Set(ctx, "", name, host.LinkChange{Up: &up}); err != nil {
				return err
			}
		}
	}
	return nil
}

// recover gives the device, and those that stand on it, what the stages before
// cost them. An undo goes by what its finding holds.
func (m *maker) recover(ctx context.Context, all map[string]device) error {
	own := all[m.name]
	k, lost := m.lost[m.name]
	if *m.kernel != nil && len(*m.stake) > 0 {
		k, lost = **m.kernel, true
		if !slices.Contains(*m.stake, stakeStation) {
			k.MAC, k.MTU = own.link.MAC, own.link.MTU
		}
		if !slices.Contains(*m.stake, stakeAddresses) {
			k.device = device{}
		}
		if !slices.Contains(*m.stake, stakeMaster) {
			k.Master = own.link.Master
		}
	}
	if lost {
		if m.mac.Managed() {
			k.MAC = own.link.MAC
		}
		if m.mtu.Managed() {
			k.MTU = own.link.MTU
		}
		k.Up = m.up.Or(own.Up)
		if err := m.bringBack(ctx, m.name, k, all); err != nil {
			return err
		}
	}
	for _, name := range above(m.name, all) {
		if k, lost := m.lost[name]; lost && *m.devices == nil {
			k.MTU = min(k.MTU, own.link.MTU)
			if err := m.bringBack(ctx, name, k, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore brings back the devices that undo has on record.
func (m *maker) restore(ctx context.Context, all map[string]device) error {
	for _, name := range slices.Sorted(maps.Keys(*m.devices)) {
		k := (*m.devices)[name]
		if is, there := all[name]; there && m.owed(name, k) && !k.in(keep(is), m.name) {
			if err := m.bringBack(ctx, name, k, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// bringBack gives a device what it had. Addresses and routes that the made device
// took from it come back in the same effect.
func (m *maker) bringBack(ctx context.Context, name string, k kept, all map[string]device) error {
	is := all[name]
	c := host.LinkChange{AddAddresses: missing(k.Addresses, is.Addresses), Special: k.Special}
	changes := len(c.AddAddresses) > 0
	if _, there := all[k.Master]; k.Master != is.link.Master && (there || k.Master == "") {
		c.Master, changes = &k.Master, true
	}
	if follows := k.Master == m.name && name != m.name; !follows {
		if k.MAC != is.link.MAC {
			c.MAC, changes = k.MAC, true
		}
		if k.MTU != is.link.MTU {
			c.MTU, changes = k.MTU, true
		}
		if k.Up != is.Up {
			c.Up, changes = &k.Up, true
		}
	}
	if k.Up {
		c.AddRoutes = missing(k.Routes, is.Routes)
		slices.SortStableFunc(c.AddRoutes, func(a, b host.Route) int { return rank(a) - rank(b) })
		changes = changes || len(c.AddRoutes) > 0
	}
	if own, there := all[m.name]; there && name != m.name {
		c.Release = m.returned(own, c)
	}
	if !changes {
		return nil
	}
	return m.h.Links.Set(ctx, "", name, c)
}

// returned is what the made device gives back of what it took.
func (m *maker) returned(own device, c host.LinkChange) *host.Release {
	was := device{}
	if *m.kernel != nil {
		was = (*m.kernel).device
	}
	back := host.LinkChange{}
	for _, a := range c.AddAddresses {
		if slices.Contains(own.Addresses, a) && !slices.Contains(was.Addresses, a) {
			back.RemoveAddresses = append(back.RemoveAddresses, a)
		}
	}
	for _, r := range c.AddRoutes {
		r.Link = m.name
		if slices.Contains(own.Routes, r) && !slices.Contains(was.Routes, r) {
			back.RemoveRoutes = append(back.RemoveRoutes, r)
		}
	}
	return releaseOf(m.name, &back)
}
