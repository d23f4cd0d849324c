package network

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
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
	have := NetAddressSpec{Name: want.Name, From: want.From, Persist: want.Persist, Gateway: want.Gateway}
	all, err := devices(ctx, v)
	if err != nil {
		return have, err
	}
	own, there := all[want.Name]
	if !there && !r.undo {
		return have, noDevice(want.Name)
	}
	if err := own.readClient(ctx, v, want.Name); err != nil {
		return have, err
	}
	have.fill(want, own)
	if !there {
		have.Up, have.MTU = want.Up, want.MTU // nothing to bring back
	}
	if want.Held != nil {
		from := all[want.From]
		if err := from.readClient(ctx, v, want.From); err != nil {
			return have, err
		}
		have.Held = &from
	}
	if err := have.readFiles(ctx, v, want); err != nil {
		return have, err
	}
	if r.undo {
		return have, nil
	}
	if err := want.refuseLeased(ctx, v, all); err != nil || len(r.Diff(have, want)) == 0 {
		return have, err
	}
	return have, want.refuse(ctx, v, all)
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

// readFiles answers what want manages of the files of ifupdown.
func (have *NetAddressSpec) readFiles(ctx context.Context, v host.View, want NetAddressSpec) error {
	var err error
	if have.File, err = readOwn(ctx, v, addressFile(want.Name), want.File); err != nil || want.Stanzas == nil {
		return err
	}
	if _, there := want.File.Get(); there {
		if err := ifupdown.CanPersist(ctx, v.Files, addressFile(want.Name)); err != nil {
			return err
		}
	}
	files, err := ifupdown.Read(ctx, v.Files)
	if err != nil {
		return err
	}
	have.Stanzas = []string{}
	for _, f := range files {
		if f.Name == addressFile(want.Name) {
			continue
		}
		for _, name := range want.both() {
			have.Also = append(have.Also, mappings(f, name)...)
			if !f.Text.Gives(name) {
				continue
			}
			if ours(f.Name) {
				have.Also = append(have.Also, fmt.Sprintf("%s, which another step writes, gives %s addresses too: leave them to one of the two", f.Name, name))
				continue
			}
			have.Stanzas = append(have.Stanzas, f.Name+" "+name)
		}
		if !ours(f.Name) && want.File.Or("") != "" {
			if err := makesDevice(f, want.Name); err != nil {
				return err
			}
		}
	}
	slices.Sort(have.Stanzas)
	return nil
}

func (netAddresses) Diff(have, want NetAddressSpec) []step.Delta {
	have.Persist, have.Gateway, have.From = want.Persist, want.Gateway, want.From // files, routes and Held say it
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
	deltas = append(deltas, fileDelta(have.File, want.File)...)
	if want.Stanzas != nil && !slices.Equal(have.Stanzas, want.Stanzas) {
		deltas = append(deltas, step.Change("persist.stanzas", have.Stanzas, want.Stanzas))
	}
	return deltas
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
