package network

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// addressStep knows what "the addresses of that device" are only once it looks:
// the want that it records names them.
type addressStep struct{ want NetAddressSpec }

func (s addressStep) of(want NetAddressSpec, r netAddresses) step.Step {
	return step.Of("addresses of "+s.want.Name, r, want)
}

// Check implements [step.Step].
func (s addressStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	want, err := s.resolve(ctx, v)
	if err != nil {
		return step.Finding{Object: "addresses of " + s.want.Name}, err
	}
	return s.of(want, netAddresses{}).Check(ctx, v)
}

// resolve fills in what is to be taken from the other device. Once it was taken,
// that device has nothing, and what this one has is what was meant.
func (s addressStep) resolve(ctx context.Context, v host.View) (NetAddressSpec, error) {
	want := s.want
	if want.From == "" || want.Addresses != nil && want.Routes != nil {
		return want, nil
	}
	all, err := devices(ctx, v)
	if err != nil {
		return want, err
	}
	own, there := all[want.Name]
	if !there {
		return want, noDevice(want.Name)
	}
	from := all[want.From] // none is one without addresses
	if want.Addresses == nil {
		if len(own.Addresses)+len(from.Addresses) == 0 && !want.DHCP.Or(false) && len(from.Leased) == 0 {
			return want, fmt.Errorf("neither %s nor %s has an address to take: name them in addresses", want.From, want.Name)
		}
		want.Addresses = inOrder(slices.Concat(own.Addresses, missing(from.Addresses, own.Addresses)))
	}
	if want.Routes == nil {
		addresses := parsed(want.Addresses)
		want.Routes = []NetRoute{}
		for _, r := range slices.Concat(own.Routes, from.Routes) {
			if reachable(r, addresses) {
				want.Routes = append(want.Routes, spell(r))
			}
		}
	}
	return want.complete(), nil
}

// Apply implements [step.Step].
func (s addressStep) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	var want NetAddressSpec
	if err := json.Unmarshal(f.Want, &want); err != nil {
		return err
	}
	return s.of(want, netAddresses{}).Apply(ctx, h, f)
}

// Undo implements [step.Step].
func (s addressStep) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	return s.of(s.want, netAddresses{undo: true}).Undo(ctx, h, f)
}

// netAddresses is the resource behind net_address.
type netAddresses struct {
	// undo reads a device that is gone as one that has nothing: what was taken
	// from another must go back all the same.
	undo bool
}

func (r netAddresses) Read(ctx context.Context, v host.View, want NetAddressSpec) (NetAddressSpec, error) {
	have := NetAddressSpec{Name: want.Name, From: want.From, Persist: want.Persist, PersistBy: want.PersistBy, Gateway: want.Gateway}
	all, err := devices(ctx, v)
	if err != nil {
		return have, err
	}
	own, there := all[want.Name]
	if !there && !r.undo {
		return have, noDevice(want.Name)
	}
	from := all[want.From]
	if err := have.readKept(ctx, v, want, own.link, from.link); err != nil {
		return have, err
	}
	if err := own.readClient(ctx, v, want.Name, have.Daemon, have.Kept); err != nil {
		return have, err
	}
	have.fill(want, own)
	if !there {
		have.Up, have.MTU = want.Up, want.MTU // nothing to bring back
	}
	if want.Held != nil {
		if err := from.readClient(ctx, v, want.From, have.FromDaemon, have.Kept); err != nil {
			return have, err
		}
		have.Held = &from
	}
	if r.undo {
		return have, nil
	}
	if err := want.refuseLeased(ctx, v, all, have.Daemon); err != nil || len(r.Diff(have, want)) == 0 {
		return have, err
	}
	return have, want.refuse(ctx, v, all, have.Kept)
}

// fill answers what want manages of the device.
func (have *NetAddressSpec) fill(want NetAddressSpec, own device) {
	if want.Addresses != nil {
		have.Addresses = inOrder(own.Addresses)
		remove, _ := addressChange(own.Addresses, parsed(want.Addresses))
		have.Flushed = len(remove) > 0
	}
	if want.Routes != nil {
		have.Routes = []NetRoute{}
		for _, r := range own.Routes {
			have.Routes = append(have.Routes, spell(r))
		}
		have.Routes = sortedRoutes(have.Routes)
	}
	if want.DHCP.Managed() {
		have.DHCP = step.Is(own.Client)
	}
	if want.MTU.Managed() {
		have.MTU = step.Is(own.link.MTU)
	}
	if want.Up.Managed() {
		have.Up = step.Is(own.Up)
	}
	have.Kernel = &own
}

// readKept answers what files say, and who configures the devices by them.
func (have *NetAddressSpec) readKept(ctx context.Context, v host.View, want NetAddressSpec, own, from host.Link) error {
	daemon, err := netconf.Keeper(ctx, v, own, want.PersistBy)
	if err != nil {
		return err
	}
	other, err := netconf.Keeper(ctx, v, from, want.PersistBy)
	if err != nil {
		return err
	}
	if have.Kept, err = want.keeping().look(ctx, v, want.part(own, from), cmp.Or(daemon, other)); err != nil || have.Kept == nil {
		return err
	}
	have.Also = have.Kept.Notes
	if takes(daemon, have.Kept) {
		have.Daemon = daemon
	}
	if takes(other, have.Kept) {
		have.FromDaemon = other
	}
	return nil
}

func (netAddresses) Diff(have, want NetAddressSpec) []step.Delta {
	have.Persist, have.PersistBy = want.Persist, want.PersistBy // the files say it
	have.Gateway, have.From = want.Gateway, want.From           // routes and Held say it
	deltas := step.Compare(have, want)
	if want.Up.Managed() && want.Up != have.Up {
		deltas = append(deltas, step.Change("up", have.Up, want.Up))
	}
	if want.Held != nil && have.Held != nil && !want.Held.like(*have.Held) {
		deltas = append(deltas, step.Change("from.holds", have.Held.shown(), want.Held.shown()))
	}
	if want.Routes == nil && want.Flushed && have.Kernel != nil && len(missing(want.Kernel.Routes, have.Kernel.Routes)) > 0 {
		deltas = append(deltas, step.Change("kernel", have.Kernel.Routes, want.Kernel.Routes))
	}
	if want.DHCP.Managed() && have.DHCP == want.DHCP {
		deltas = append(deltas, leaseDeltas(have, want)...)
	}
	return append(deltas, keptDelta(have.Kept, want.Kept)...)
}

// leaseDeltas compares what a client that runs, or runs no longer, has brought.
func leaseDeltas(have, want NetAddressSpec) []step.Delta {
	var deltas []step.Delta
	switch runs := want.DHCP.Or(false); {
	case runs && want.Kernel == nil && len(have.Kernel.Leased) == 0:
		deltas = append(deltas, step.Change("dhcp.lease", nil, "any"))
	case !runs && !slices.Equal(have.Kernel.Leased, want.left().Leased):
		deltas = append(deltas, step.Change("dhcp.lease", have.Kernel.Leased, want.left().Leased))
	}
	if want.Kernel != nil && have.Kernel.LeaseFile && !want.Kernel.LeaseFile {
		deltas = append(deltas, step.Change("dhcp.file", true, nil))
	}
	return deltas
}

// like says whether two devices have the same addresses and routes.
func (d device) like(other device) bool {
	return slices.Equal(inOrder(d.Addresses), inOrder(other.Addresses)) && slices.Equal(d.Routes, other.Routes) &&
		d.Client == other.Client && (d.Client || slices.Equal(d.Leased, other.Leased))
}

// shown is what a device has, in a delta; nil for nothing.
func (d device) shown() any {
	list := inOrder(d.Addresses)
	for _, r := range d.Routes {
		s := spell(r)
		list = append(list, strings.TrimSpace(s.To+" "+s.Via))
	}
	for _, a := range d.Leased {
		list = append(list, a.String()+" by DHCP")
	}
	if d.Client && len(d.Leased) == 0 {
		list = append(list, "a DHCP client")
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

func (netAddresses) Advise(f *step.Finding, have, want NetAddressSpec) {
	f.Warnings = append(f.Warnings, have.Also...)
	if from := have.Held; f.Changed() && want.DHCP.Or(false) && from != nil && from.Client && from.link.MAC != have.Kernel.link.MAC {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s has another Ethernet address than %s (%s), so that a DHCP server takes it for another client: give it that one first", want.Name, want.From, from.link.MAC))
	}
	cut := func(name string) {
		if !slices.Contains(f.Cost.Severs, name) {
			f.Cost.Severs = append(f.Cost.Severs, name)
		}
	}
	for _, d := range f.Deltas {
		switch {
		case have.Daemon != "" || have.FromDaemon != "":
			cut(want.Name)
			if want.From != "" {
				cut(want.From)
			}
		case d.Path == "from.holds", d.Path == "dhcp" && want.From != "" && want.DHCP.Or(false):
			cut(want.From)
			cut(want.Name)
		case d.Path == "dhcp" && !want.DHCP.Or(true), d.Path == "addresses" && have.Flushed, d.Path == "routes" && len(have.Routes) > 0:
			cut(want.Name)
		}
	}
	if want.Routes != nil || !have.Flushed {
		return
	}
	for _, r := range have.Kernel.Routes {
		if !reachable(r, parsed(want.Addresses)) {
			f.Warnings = append(f.Warnings, fmt.Sprintf("the route to %s by %s goes, since %s has no address left for it", spell(r).To, r.Via, want.Name))
		}
	}
}
