package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// vmStep waits for the bridge, which a step above or ovn-controller brings.
type vmStep struct {
	step.Step
	want FakeVMSpec
}

func (s vmStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if s.want.State.There() {
		results, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Bridge", []string{"_uuid"}, row.Is("name", s.want.Bridge)))
		if err == nil && len(results[0].Rows) == 0 {
			err = fmt.Errorf("there is no bridge %q: %w", s.want.Bridge, step.ErrNotYet)
		}
		if err != nil {
			return step.Finding{Object: "fake VM " + s.want.Name}, fmt.Errorf("read fake VM %s: %w", s.want.Name, err)
		}
	}
	return s.Step.Check(ctx, v)
}

type fakeVMs struct{}

func (fakeVMs) Read(ctx context.Context, v host.View, want FakeVMSpec) (FakeVMSpec, error) {
	have := FakeVMSpec{Name: want.Name, Port: want.Port, State: step.Absent}
	s, err := look(ctx, v, want)
	if err != nil || s.empty() {
		return have, err
	}
	if strangers := s.strangers(); !want.State.There() && len(strangers) > 0 {
		return have, fmt.Errorf("namespace %s holds links that are not the VM's: %s; move or remove them first", want.Name, strings.Join(strangers, ", "))
	}
	have.State, have.Type = step.Present, s.plugged()
	have.Bridge = row.String(s.bridge, "name")
	managed := want
	if !want.State.There() || have.Type != want.Type && have.Type != "" {
		managed = everything(s, want) // it will be gone, so all of it is recorded
	}
	have.answer(s, managed)
	have.Found = &vmFound{Port: row.Record(s.portRow()), Interface: row.Record(s.interfaceRow()), EchoUnit: s.echo}
	return have, nil
}

// everything manages all that can be read.
func everything(s *scene, want FakeVMSpec) FakeVMSpec {
	yes := step.Is(true)
	all := FakeVMSpec{
		IfaceID: step.Is(""), MAC: step.Is(""), Addresses: []string{}, MTU: step.Is(0), Gateway: want.Gateway,
		Listen: step.Is(0), Interface: step.Is(""), Routes: map[string]step.Attr[string]{},
		Link: linkState{
			Inside: yes, Up: yes, LoopbackUp: yes, PortUp: yes, PortMAC: step.Is(""), PortMTU: step.Is(0),
			Checksum: yes, AttachedMAC: step.Is(""), Alive: yes, Listening: yes,
		},
	}
	if !all.Gateway.Managed() {
		all.Gateway = step.None[string]()
	}
	like, err := netip.ParseAddr(want.Gateway.Or("0.0.0.0"))
	for _, r := range s.routes {
		if r.Destination.Bits() > 0 || err == nil && r.Via.Is4() != like.Is4() {
			all.Routes[r.Destination.String()] = step.Is("")
		}
	}
	return all
}

// answer fills in what want manages.
func (vm *FakeVMSpec) answer(s *scene, want FakeVMSpec) {
	ids := row.Map(s.interfaceRow(), "external_ids")
	key := func(name string) func() (string, bool) {
		return func() (string, bool) { v, ok := ids[name]; return v, ok }
	}
	vm.IfaceID = read(want.IfaceID, key("iface-id"))
	vm.Link.AttachedMAC = read(want.Link.AttachedMAC, key("attached-mac"))
	if mac, ok := vm.Link.AttachedMAC.Get(); ok && strings.EqualFold(mac, want.Link.AttachedMAC.Or("")) {
		vm.Link.AttachedMAC = want.Link.AttachedMAC
	}
	vm.Link.LoopbackUp = read(want.Link.LoopbackUp, func() (bool, bool) { return s.loopback, s.namespace })
	vm.answerEnds(s, want)
	vm.Gateway = read(want.Gateway, func() (string, bool) {
		like, err := netip.ParseAddr(want.Gateway.Or("0.0.0.0"))
		r, ok := s.gateway(like)
		return r.Via.String(), ok && err == nil
	})
	if want.Routes != nil {
		vm.Routes = map[string]step.Attr[string]{}
	}
	for to, a := range want.Routes {
		vm.Routes[to] = read(a, func() (string, bool) { r, ok := s.route(to); return r.Via.String(), ok })
	}
	vm.Listen = read(want.Listen, func() (int, bool) { return echoPort(s.echo) })
	vm.Link.Listening = read(want.Link.Listening, func() (bool, bool) { return s.echoing, s.echo != "" })
	if ok, _ := s.alive(); ok && want.Link.Alive.Managed() {
		vm.Link.Alive = step.Is(true)
	}
}

// answerEnds fills in what is seen of the two ends of the link.
func (vm *FakeVMSpec) answerEnds(s *scene, want FakeVMSpec) {
	end, there := host.Link{}, s.end != nil
	if there {
		end = *s.end
	}
	vm.Interface = read(want.Interface, func() (string, bool) { return end.Name, there })
	vm.MAC = read(want.MAC, func() (string, bool) { return end.MAC, there })
	vm.MTU = read(want.MTU, func() (int, bool) { return end.MTU, there })
	if want.Addresses != nil {
		vm.Addresses = texts(end.Addresses)
	}
	vm.Link.Inside = read(want.Link.Inside, func() (bool, bool) { return s.endIn == vm.Name, there })
	vm.Link.Up = read(want.Link.Up, func() (bool, bool) { return end.Up, there })
	vm.Link.Checksum = read(want.Link.Checksum, func() (bool, bool) { return end.Checksum, there && end.Kind == "veth" })
	if s.port != nil {
		vm.Link.PortUp = read(want.Link.PortUp, func() (bool, bool) { return s.port.Up, true })
		vm.Link.PortMAC = read(want.Link.PortMAC, func() (string, bool) { return s.port.MAC, true })
		vm.Link.PortMTU = read(want.Link.PortMTU, func() (int, bool) { return s.port.MTU, true })
	}
}

// read answers an attribute where want manages it.
func read[T any](want step.Attr[T], value func() (T, bool)) step.Attr[T] {
	if !want.Managed() {
		return step.Attr[T]{}
	}
	if v, ok := value(); ok {
		return step.Is(v)
	}
	return step.None[T]()
}

func (fakeVMs) Diff(have, want FakeVMSpec) []step.Delta {
	deltas := step.Compare(have, want)
	if !have.State.There() || !want.State.There() {
		return deltas
	}
	if have.Type != want.Type {
		// Another link takes the place of this one: to an undo the VM is one
		// thing then, which another hand has changed or has not.
		deltas = slices.Insert(deltas, 0, step.Change("state", pluggedAs(have.Type), pluggedAs(want.Type)))
	}
	for _, d := range step.Compare(have.Link, want.Link) {
		d.Path = "link." + d.Path
		deltas = append(deltas, d)
	}
	return deltas
}

func pluggedAs(kind string) string {
	if kind == "" {
		return "not plugged in"
	}
	return "plugged in as " + kind
}

// Advise names what others will notice.
func (fakeVMs) Advise(f *step.Finding, have, want FakeVMSpec) {
	if have.State.There() && f.Changed() && (!want.State.There() || have.Type != want.Type) {
		f.Cost.Disruption = "fake VM " + want.Name + " loses its link, and what runs in it its connections"
	}
}
