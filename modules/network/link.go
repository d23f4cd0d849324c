package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// NetLinkSpec is the attributes of a net_link.
type NetLinkSpec struct {
	Name    string            `json:"name,omitzero" weft:"label" doc:"Name of the device, at most 15 characters. It must be there."`
	Up      step.Attr[bool]   `json:"up,omitzero" doc:"Whether it is up."`
	MTU     step.Attr[int]    `json:"mtu,omitzero" doc:"MTU, bytes."`
	MAC     step.Attr[string] `json:"mac,omitzero" doc:"Ethernet address."`
	Persist step.Attr[bool]   `json:"persist,omitzero" doc:"Whether the same is set at boot. The device is brought up then, unless up is false."`

	PersistBy string `json:"persist_by,omitzero" weft:"enum=ifupdown|networkmanager|network-scripts|netplan" doc:"What sets it at boot. Left out, it is what configures the device now."`

	// Kept are the files that set it at boot: what Persist means.
	Kept *netconf.State `json:"persist.files,omitzero" weft:"found"`
	// Daemon is the one that configures the device, as the files say.
	Daemon string `json:"daemon,omitzero" weft:"found"`
	// Lost is what the device loses where it goes down or is activated anew.
	Lost *device `json:"lost,omitzero" weft:"found"`
}

func netLinkKind() step.Kind {
	return step.Kind{
		Name:    "net_link",
		Summary: "State, MTU and Ethernet address of a network device that is there.",
		Doc: `A device that goes down, or whose driver takes it down to change its Ethernet address, loses its routes and IPv6 addresses;
undo brings them back, and a new Ethernet address keeps them.

` + keepDoc + ` Of a port of Open vSwitch ` + "`ovs_port`" + ` sets the MTU; leave it to that.`,
		Spec: NetLinkSpec{},
		Example: `step "net_link" "eth1" {
  up      = true
  mtu     = 9000
  persist = true
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[NetLinkSpec](u)
			if err != nil {
				return nil, err
			}
			return linkStep{step.Of("link "+want.Name, netLinks{}, want.complete())}, nil
		},
	}
}

// Validate finds what the kernel would refuse.
func (s *NetLinkSpec) Validate() []step.Problem {
	problems := keepProblems(s.Persist, s.PersistBy)
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if !linkName.MatchString(s.Name) {
		bad("name", fmt.Sprintf("%q is no name for a link", s.Name), nameHint)
	}
	if mac, ok := s.MAC.Get(); ok && !station.MatchString(mac) {
		bad("mac", fmt.Sprintf("%q is not an Ethernet address of one station", mac), `write it as "02:ac:10:ff:00:11"`)
	}
	if mtu, ok := s.MTU.Get(); ok && (mtu < 68 || mtu > 65535) {
		bad("mtu", fmt.Sprintf("%d is not from 68 to 65535", mtu), "")
	}
	for path, absent := range map[string]bool{"up": s.Up.Absent(), "mtu": s.MTU.Absent(), "mac": s.MAC.Absent()} {
		if absent {
			bad(path, "cannot be absent", "leave it out")
		}
	}
	return problems
}

func (s NetLinkSpec) complete() NetLinkSpec {
	if mac, ok := s.MAC.Get(); ok {
		s.MAC = step.Is(strings.ToLower(mac))
	}
	s.Kept = goal(s.Persist)
	return s
}

func (s NetLinkSpec) keeping() keeping { return keeping{s.Persist, s.PersistBy, s.Kept} }

// part is what is kept of the link.
func (s NetLinkSpec) part(kind string) netconf.Part {
	return netconf.Link{Device: s.Name, Kind: kind, MTU: s.MTU.Or(0), MAC: s.MAC.Or(""), Down: !s.Up.Or(true)}
}

// netLinks is the resource behind net_link.
type netLinks struct{}

func (netLinks) Read(ctx context.Context, v host.View, want NetLinkSpec) (NetLinkSpec, error) {
	have := NetLinkSpec{Name: want.Name, Persist: want.Persist, PersistBy: want.PersistBy}
	all, err := devices(ctx, v)
	if err != nil {
		return have, err
	}
	d, there := all[want.Name]
	if !there {
		return have, noDevice(want.Name)
	}
	if want.Up.Managed() {
		have.Up = step.Is(d.Up)
	}
	if want.MTU.Managed() {
		have.MTU = step.Is(d.link.MTU)
	}
	if want.MAC.Managed() {
		have.MAC = step.Is(d.link.MAC)
	}
	daemon, err := netconf.Keeper(ctx, v, d.link, want.PersistBy)
	if err != nil {
		return have, err
	}
	if have.Kept, err = want.keeping().look(ctx, v, want.part(d.link.Kind), daemon); err != nil {
		return have, err
	}
	if takes(daemon, have.Kept) {
		have.Daemon = daemon
	}
	if want.Lost != nil || have.Daemon != "" || d.Up && (!want.Up.Or(true) || have.MAC != want.MAC) {
		have.Lost = &d
	}
	if len(netLinks{}.Diff(have, want)) > 0 {
		_, err = refuseOwned(ctx, v, d.link, have.Kept)
	}
	return have, err
}

func (netLinks) Diff(have, want NetLinkSpec) []step.Delta {
	have.Persist, have.PersistBy = want.Persist, want.PersistBy // the files say it
	deltas := append(step.Compare(have, want), keptDelta(have.Kept, want.Kept)...)
	if want.Lost != nil && have.Lost != nil && !want.Lost.within(*have.Lost) {
		deltas = append(deltas, step.Change("lost", have.Lost, want.Lost))
	}
	return deltas
}

// within says whether another has all the addresses and routes of d.
func (d device) within(other device) bool {
	return len(missing(d.Addresses, other.Addresses)) == 0 &&
		!slices.ContainsFunc(d.Routes, func(r host.Route) bool { return !slices.Contains(other.Routes, r) })
}

// Write has a daemon that configures the device do what it does; the rest is
// the kernel's.
func (r netLinks) Write(ctx context.Context, h host.Host, have, want NetLinkSpec) error {
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	part := want.part(all[want.Name].link.Kind)
	if have.Daemon == "" {
		if err := want.setKernel(ctx, h, have); err != nil {
			return err
		}
		_, err := want.keeping().write(ctx, h, part, "")
		return err
	}
	if err := want.keeping().configured(ctx, h, part, have.Daemon); err != nil {
		return err
	}
	now, err := r.Read(ctx, h.View(), want)
	if err != nil {
		return err
	}
	now.Lost = have.Lost
	return want.setKernel(ctx, h, now)
}

func (s NetLinkSpec) setKernel(ctx context.Context, h host.Host, have NetLinkSpec) error {
	c := host.LinkChange{MTU: changed(have.MTU, s.MTU), MAC: changed(have.MAC, s.MAC)}
	if up, ok := s.Up.Get(); ok && up != have.Up.Or(false) {
		c.Up = &up
	}
	lost := s.Lost
	if lost == nil {
		lost = have.Lost
	}
	if lost != nil && (s.Up.Or(true) || have.Daemon != "") {
		return setKeeping(ctx, h, s.Name, c, *lost)
	}
	if c.MTU == 0 && c.MAC == "" && c.Up == nil {
		return nil
	}
	return h.Links.Set(ctx, "", s.Name, c)
}

// changed is the value to set; zero for none.
func changed[T comparable](have, want step.Attr[T]) T {
	var none T
	if have == want {
		return none
	}
	return want.Or(none)
}

// setKeeping changes a link so that it has what it would lose. A driver that
// cannot change the Ethernet address of a link that is up refuses, and then it
// goes down for that.
func setKeeping(ctx context.Context, h host.Host, name string, c host.LinkChange, keep device) error {
	if c.MAC != "" {
		alone := host.LinkChange{MAC: c.MAC}
		err := h.Links.Set(ctx, "", name, alone)
		if errors.Is(err, syscall.EBUSY) {
			alone.Up = new(true)
			err = errors.Join(h.Links.Set(ctx, "", name, host.LinkChange{Up: new(false)}), h.Links.Set(ctx, "", name, alone))
		}
		if err != nil {
			return err
		}
		c.MAC = ""
	}
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	now := all[name]
	c.AddAddresses, c.Special = missing(keep.Addresses, now.Addresses), keep.Special
	for _, r := range keep.Routes {
		if !slices.Contains(now.Routes, r) {
			c.AddRoutes = append(c.AddRoutes, r)
		}
	}
	if c.MTU == 0 && c.Up == nil && len(c.AddAddresses)+len(c.AddRoutes) == 0 {
		return nil
	}
	return h.Links.Set(ctx, "", name, c)
}

func (netLinks) Advise(f *step.Finding, have, want NetLinkSpec) {
	for _, d := range f.Deltas {
		if d.Path == "mac" && have.Lost != nil || d.Path == "up" && !want.Up.Or(true) || have.Daemon != "" {
			f.Cost.Severs = []string{want.Name}
		}
	}
}

// linkStep undoes what is left to undo where the device is gone meanwhile.
type linkStep struct{ step.Step }

func (s linkStep) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before NetLinkSpec
	if err := json.Unmarshal(f.Before, &before); err != nil {
		return err
	}
	all, err := devices(ctx, h.View())
	if err != nil {
		return err
	}
	if _, there := all[before.Name]; !there {
		_, err := before.keeping().write(ctx, h, before.part(""), "")
		return err
	}
	return s.Step.Undo(ctx, h, f)
}
