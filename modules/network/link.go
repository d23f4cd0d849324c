package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
	"weft/engine/step"
)

// NetLinkSpec is the attributes of a net_link.
type NetLinkSpec struct {
	Name    string            `json:"name,omitzero" weft:"label" doc:"Name of the device, at most 15 characters. It must be there."`
	Up      step.Attr[bool]   `json:"up,omitzero" doc:"Whether it is up."`
	MTU     step.Attr[int]    `json:"mtu,omitzero" doc:"MTU, bytes."`
	MAC     step.Attr[string] `json:"mac,omitzero" doc:"Ethernet address."`
	Persist step.Attr[bool]   `json:"persist,omitzero" doc:"Whether ifupdown sets the same at boot. The device is brought up then, unless up is false."`

	// File is the content of the persisted file: what Persist means.
	File step.Attr[string] `json:"persist.file,omitzero" weft:"found"`
	// Lost is what the device loses where it goes down.
	Lost *device `json:"lost,omitzero" weft:"found"`
}

func linkFile(name string) string { return ifupdown.Link.Path(name) }

func netLinkKind() step.Kind {
	return step.Kind{
		Name:    "net_link",
		Summary: "State, MTU and Ethernet address of a network device that is there.",
		Doc: `A device that goes down, or whose driver takes it down to change its Ethernet address, loses its routes and IPv6 addresses;
undo brings them back, and a new Ethernet address keeps them.

A change is refused where systemd-networkd or NetworkManager configures the device, since it would be taken back.

With ` + "`persist`" + ` a file below /etc/network/interfaces.d lets ifupdown set the same at boot. Of a port of Open vSwitch
` + "`ovs_port`" + ` sets the MTU; leave it to that.`,
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
	var problems []step.Problem
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
	if s.Persist.Managed() {
		s.File = step.None[string]()
	}
	if s.Persist.Or(false) {
		s.File = step.Is(s.stanza())
	}
	return s
}

// stanza is read after those of bridges and ports, which make the device. ifup
// brings a device of the method manual up.
func (s NetLinkSpec) stanza() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The link %s, written by weft, which overwrites changes.\nauto %s\niface %s inet manual\n", s.Name, s.Name, s.Name)
	if n, ok := s.MTU.Get(); ok {
		fmt.Fprintf(&b, "    mtu %d\n", n)
	}
	if mac, ok := s.MAC.Get(); ok {
		fmt.Fprintf(&b, "    hwaddress %s\n", mac)
	}
	if !s.Up.Or(true) {
		b.WriteString("    up ip link set dev $IFACE down\n")
	}
	return b.String()
}

// netLinks is the resource behind net_link.
type netLinks struct{}

func (netLinks) Read(ctx context.Context, v host.View, want NetLinkSpec) (NetLinkSpec, error) {
	have := NetLinkSpec{Name: want.Name, Persist: want.Persist}
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
	if want.Lost != nil || d.Up && (!want.Up.Or(true) || have.MAC != want.MAC) {
		have.Lost = &d
	}
	if have.File, err = readOwn(ctx, v, linkFile(want.Name), want.File); err != nil {
		return have, err
	}
	if want.Persist.Or(false) {
		if err := ifupdown.CanPersist(ctx, v.Files, linkFile(want.Name)); err != nil {
			return have, err
		}
	}
	if len(netLinks{}.Diff(have, want)) > 0 {
		return have, refuseOwned(ctx, v, d.link)
	}
	return have, nil
}

// readOwn answers what a file of ours holds, where want manages it.
func readOwn(ctx context.Context, v host.View, name string, want step.Attr[string]) (step.Attr[string], error) {
	if !want.Managed() {
		return step.Attr[string]{}, nil
	}
	b, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), nil
	}
	return step.Is(string(b)), err
}

func writeOwn(ctx context.Context, h host.Host, name string, want step.Attr[string]) error {
	have, err := readOwn(ctx, h.View(), name, want)
	content, there := want.Get()
	switch {
	case err != nil || have == want:
		return err
	case !there:
		return h.Files.Remove(ctx, name)
	}
	return h.Files.Write(ctx, name, []byte(content), host.Attributes{})
}

// fileDelta compares a persisted file.
func fileDelta(have, want step.Attr[string]) []step.Delta {
	type state struct {
		File step.Attr[string] `json:"persist.file"`
	}
	return step.Compare(state{have}, state{want})
}

func (netLinks) Diff(have, want NetLinkSpec) []step.Delta {
	have.Persist = want.Persist // the file says it
	deltas := append(step.Compare(have, want), fileDelta(have.File, want.File)...)
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

func (netLinks) Write(ctx context.Context, h host.Host, have, want NetLinkSpec) error {
	c := host.LinkChange{MTU: changed(have.MTU, want.MTU), MAC: changed(have.MAC, want.MAC)}
	if up, ok := want.Up.Get(); ok && up != have.Up.Or(false) {
		c.Up = &up
	}
	lost := want.Lost
	if lost == nil {
		lost = have.Lost
	}
	if want.Up.Or(true) && lost != nil {
		if err := setKeeping(ctx, h, want.Name, c, *lost); err != nil {
			return err
		}
	} else if c.MTU != 0 || c.MAC != "" || c.Up != nil {
		if err := h.Links.Set(ctx, "", want.Name, c); err != nil {
			return err
		}
	}
	return writeOwn(ctx, h, linkFile(want.Name), want.File)
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
		if d.Path == "mac" && have.Lost != nil || d.Path == "up" && !want.Up.Or(true) {
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
		return writeOwn(ctx, h, linkFile(before.Name), before.File)
	}
	return s.Step.Undo(ctx, h, f)
}
