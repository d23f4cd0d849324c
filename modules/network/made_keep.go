package network

import (
	"context"
	"slices"
	"strconv"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

func (p *parts) keeping() keeping {
	persist := *p.persist
	if !p.state.There() && persist.Managed() {
		persist = step.Is(false)
	}
	return keeping{persist, *p.by, *p.files}
}

// part is what is kept of a made device.
func (p *parts) part() netconf.Part {
	options := map[string]string{}
	for _, s := range p.settings {
		if text, managed := s.text(); managed && !s.untold() {
			options[s.option] = text
		}
	}
	own := netconf.Station{MTU: p.mtu.Or(0), MAC: p.mac.Or(""), Down: !p.up.Or(true)}
	switch p.kind {
	case "bond":
		return netconf.Bond{Device: p.name, Members: *p.members, Options: options, Station: own}
	case "bridge":
		return netconf.Bridge{Device: p.name, Members: *p.members, Open: p.keeps, Options: options, Station: own}
	}
	id, _ := strconv.Atoi(options["id"]) // a number of the spec
	protocol := options["protocol"]
	delete(options, "id")
	delete(options, "protocol")
	return netconf.VLAN{Device: p.name, Link: *p.lower, ID: id, Protocol: protocol, Options: options, Station: own}
}

// readKept answers what files say, and which daemon makes the device by them.
// Before it is there, that is the one that has its members.
func (p *parts) readKept(ctx context.Context, v host.View, want *parts, all map[string]device) error {
	if *want.files == nil {
		return nil
	}
	near := []string{want.name}
	if want.lower != nil {
		near = append(near, *want.lower)
	}
	if want.members != nil {
		near = append(near, *want.members...)
	}
	daemon := ""
	for _, name := range near {
		who, err := netconf.Keeper(ctx, v, all[name].link, *want.by)
		if err != nil {
			return err
		}
		if daemon == "" {
			daemon = who
		}
	}
	var err error
	if *p.files, err = want.keeping().look(ctx, v, want.part(), daemon); err == nil && takes(daemon, *p.files) {
		*p.daemon = daemon
	}
	return err
}

// activated are the devices that a daemon configures anew together with the one
// that is made: those that join or leave, and the members of these.
func (p *parts) activated(want *parts) []string {
	var names []string
	for _, members := range []*[]string{p.members, want.members} {
		if members != nil {
			names = append(names, *members...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// byDaemon writes the files and has the daemon make the device as they say. What
// joins or leaves is activated anew, for it stays where it is else; so are the
// members of a bond that joins a bridge.
func (p *parts) byDaemon(ctx context.Context, h host.Host, want *parts) error {
	before, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	k, part := want.keeping(), want.part()
	written, err := k.write(ctx, h, part, *p.daemon)
	if err != nil {
		return err
	}
	now, err := k.look(ctx, h.View(), part, *p.daemon)
	if err != nil {
		return err
	}
	names := []string{want.name}
	for _, m := range p.activated(want) {
		belongs := want.state.There() && want.members != nil && slices.Contains(*want.members, m)
		if belongs != (before[m].link.Master == want.name) {
			names = append(append(names, m), membersOf(m, before)...)
		}
	}
	for _, name := range names {
		if err := netconf.Activate(ctx, h, now.Family, *p.daemon, name, written); err != nil {
			return err
		}
		written = nil // the daemon knows of them
	}
	if *want.devices != nil || !want.state.There() {
		return nil // an undo knows what there was
	}
	return want.handOver(ctx, h, before)
}

// handOver gives members of a bridge the addresses back that NetworkManager takes
// from them, for a net_address step to move, as from members that the kernel alone
// puts into one. A bond gets those of the member it takes over from.
func (p *parts) handOver(ctx context.Context, h host.Host, before map[string]device) error {
	if p.members == nil {
		return nil
	}
	for _, m := range *p.members {
		was := before[m]
		if was.link.Master == p.name || len(was.Addresses) == 0 || p.kind == "bond" && m != p.from {
			continue
		}
		heir := m
		if p.kind == "bond" {
			heir = p.name
		}
		if err := setKeeping(ctx, h, heir, host.LinkChange{}, was); err != nil {
			return err
		}
	}
	return nil
}
