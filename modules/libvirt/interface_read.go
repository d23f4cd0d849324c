package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

type interfaces struct{ owner owner }

func (r interfaces) Read(ctx context.Context, v host.View, want InterfaceSpec) (InterfaceSpec, error) {
	have := absentFrom(want)
	have.Found = &interfaceFound{}
	d, err := v.Libvirt.Virtual(ctx, host.VirtualDomain, want.Domain)
	if errors.Is(err, fs.ErrNotExist) {
		if !want.State.There() {
			return have, nil
		}
		return have, fmt.Errorf("there is no domain %s: %w", want.Domain, step.ErrNotYet)
	}
	if err != nil {
		return have, err
	}
	defined, err := definition(d)
	if err != nil {
		return have, err
	}
	nic := nicOf(defined, want.MAC)
	if nic != nil || want.State.There() {
		if err := r.owner.admitPart("domain "+want.Domain, defined, want.Adopt); err != nil {
			return have, err
		}
	}
	if nic != nil {
		have = interfaceOf(nic, want)
		have.Found = &interfaceFound{Defined: nic.String(), Place: slices.Index(defined.At("devices").All("interface"), nic)}
		have.Found.ID = nic.At("virtualport").At("parameters").Get("interfaceid")
	}
	if d.Active {
		return have, readLive(ctx, v, d, want, &have)
	}
	return have, nil
}

// readLive adds what the domain that runs has.
func readLive(ctx context.Context, v host.View, d host.Virtual, want InterfaceSpec, have *InterfaceSpec) error {
	live, err := xmltree.Parse(d.Live)
	if err != nil {
		return err
	}
	at := absentFrom(want)
	nic := nicOf(live, want.MAC)
	if nic != nil {
		at = interfaceOf(nic, want)
		if nic.At("source").Get("network") != "" {
			lendOwn(&at, *have, want)
		}
		have.Found.LiveXML, have.Found.Device = nic.String(), nic.At("target").Get("dev")
		if id := nic.At("virtualport").At("parameters").Get("interfaceid"); id != "" {
			have.Found.ID = id
		}
		if nic.At("virtualport").Get("type") == "openvswitch" {
			if err := readPort(ctx, v, have.Found); err != nil {
				return err
			}
		}
	}
	have.Found.Live = &at
	return nil
}

// lendOwn answers for a card that runs on a network as it is defined: libvirt
// shows what the network gave it as if it were its own.
func lendOwn(at *InterfaceSpec, defined, want InterfaceSpec) {
	at.Tag, at.Virtualport = defined.Tag, defined.Virtualport
	if !defined.State.There() && want.Tag.Managed() {
		at.Tag = step.None[int]()
	}
	if !defined.State.There() && want.Virtualport.Managed() {
		at.Virtualport = step.None[string]()
	}
	if !want.InterfaceID.Managed() {
		at.InterfaceID = step.Attr[string]{}
	}
}

// readPort asks Open vSwitch what it goes by: it is what ovn-controller sees.
func readPort(ctx context.Context, v host.View, f *interfaceFound) error {
	results, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Interface", []string{"external_ids"}, row.Is("name", f.Device)))
	if errors.Is(err, host.ErrNotReady) {
		return nil // it is being restarted; what libvirt says holds
	}
	if err != nil {
		return err
	}
	for _, r := range results[0].Rows {
		if id := row.Map(r, "external_ids")["iface-id"]; id != "" {
			f.ID = id
		}
	}
	return nil
}

func absentFrom(want InterfaceSpec) InterfaceSpec {
	return InterfaceSpec{Domain: want.Domain, MAC: want.MAC, Timeout: want.Timeout, Adopt: want.Adopt, State: step.Absent}
}

func nicOf(domain *xmltree.Node, mac string) *xmltree.Node {
	return withKey(domain, "interface", mac)
}

// interfaceOf is what an element says of what want manages. Of what runs,
// libvirt shows the bridge that a network stands for too: it is the network's
// business.
func interfaceOf(n *xmltree.Node, want InterfaceSpec) InterfaceSpec {
	have := absentFrom(want)
	have.State = step.Present
	source := n.At("source")
	text := func(wanted step.Attr[string], got string) step.Attr[string] {
		if !wanted.Managed() && want.State.There() {
			return step.Attr[string]{}
		}
		if means("@uuid", wanted.Or(""), got) {
			return wanted
		}
		return orNone(got)
	}
	number := func(wanted step.Attr[int], got string) step.Attr[int] {
		if !wanted.Managed() && want.State.There() {
			return step.Attr[int]{}
		}
		if v, err := strconv.Atoi(got); err == nil {
			return step.Is(v)
		}
		return step.None[int]()
	}
	have.Network = text(want.Network, source.Get("network"))
	have.Portgroup = text(want.Portgroup, source.Get("portgroup"))
	bridge := source.Get("bridge")
	if source.Get("network") != "" {
		bridge = ""
	}
	have.Bridge = text(want.Bridge, bridge)
	have.Virtualport = text(want.Virtualport, n.At("virtualport").Get("type"))
	have.InterfaceID = text(want.InterfaceID, n.At("virtualport").At("parameters").Get("interfaceid"))
	have.Tag = number(want.Tag, n.At("vlan").At("tag").Get("id"))
	have.Model = text(want.Model, n.At("model").Get("type"))
	have.MTU = number(want.MTU, n.At("mtu").Get("size"))
	device := n.At("target").Get("dev")
	if strings.HasPrefix(device, "vnet") { // one of libvirt's own, another after each start
		device = ""
	}
	have.Target = text(want.Target, device)
	return have
}

func (interfaces) Diff(have, want InterfaceSpec) []step.Delta {
	deltas := compareInterfaces(have, want)
	if have.Found == nil || have.Found.Live == nil {
		return deltas
	}
	for _, d := range compareInterfaces(*have.Found.Live, plugged(want)) {
		if !slices.ContainsFunc(deltas, func(known step.Delta) bool { return known.Path == d.Path }) {
			deltas = append(deltas, d)
		}
	}
	return deltas
}

// compareInterfaces is what differs between two cards.
func compareInterfaces(have, want InterfaceSpec) []step.Delta {
	return slices.DeleteFunc(step.Compare(have, want), func(d step.Delta) bool {
		return slices.Contains([]string{"domain", "mac", "release_timeout", "adopt"}, d.Path) // which it is, and how it is done
	})
}

// plugged is what a domain that runs should have: what is defined, but of a state
// to go back to where the two differed.
func plugged(want InterfaceSpec) InterfaceSpec {
	f := want.Found
	if f == nil || f.Live == nil {
		return want
	}
	defined := absentFrom(want)
	if f.Defined != "" {
		n, err := xmltree.Parse(f.Defined)
		if err != nil {
			return want
		}
		all := *f.Live // manages the same
		all.State = want.State
		defined = interfaceOf(n, all)
	}
	if same := defined.State == f.Live.State && len(compareInterfaces(defined, *f.Live)) == 0; same {
		return want
	}
	return *f.Live
}

// keep says an output that is known. Of a domain that does not run, some are not:
// what needs them waits, or fails.
func keep(out map[string]string, name, v string) {
	if v != "" {
		out[name] = v
	}
}

// Advise says what the guest will notice, and what the port is called.
func (interfaces) Advise(f *step.Finding, have, want InterfaceSpec) {
	out := map[string]string{"mac": want.MAC}
	if id, given := want.InterfaceID.Get(); given {
		out["interface_id"] = id
	}
	if !f.Changed() {
		keep(out, "interface_id", have.Found.ID)
		keep(out, "target", have.Found.Device)
	}
	f.Outputs, _ = json.Marshal(out) // strings always encode
	live, goal := have.Found.Live, plugged(want)
	switch {
	case live == nil || !live.State.There() || len(compareInterfaces(*live, goal)) == 0:
	case !goal.State.There():
		f.Cost.Disruption = "domain " + want.Domain + " loses a network card"
	default:
		f.Cost.Disruption = "a network card of domain " + want.Domain + " is plugged in anew"
	}
}
