package network

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
)

// refuse says why the change cannot be made, or would not last.
func (s NetAddressSpec) refuse(ctx context.Context, v host.View, all map[string]device) error {
	for _, name := range s.both() {
		d, there := all[name]
		if !there || name == s.Name && s.Addresses == nil {
			continue
		}
		if err := refuseOwned(ctx, v, d.link); err != nil {
			return err
		}
	}
	for _, r := range s.Routes {
		k, err := r.route(s.Name)
		if err != nil {
			return err
		}
		for name, d := range all {
			taken := func(o host.Route) bool { return o.Destination == k.Destination && o.Metric == k.Metric }
			if !slices.Contains(s.both(), name) && slices.ContainsFunc(slices.Concat(d.Routes, d.Through), taken) {
				return fmt.Errorf("%s has a route to %s with metric %d already: take it away there, or give this one another metric", name, r.To, k.Metric)
			}
		}
	}
	return nil
}

// refuseLeased says why addresses cannot be the ones named, or the lease not had.
func (s NetAddressSpec) refuseLeased(ctx context.Context, v host.View, all map[string]device) error {
	if s.DHCP.Or(false) {
		return canLease(ctx, v)
	}
	for _, name := range s.both() {
		managed := name == s.From || s.Addresses != nil
		if d := all[name]; managed && !s.DHCP.Managed() && len(d.Leased) > 0 {
			return fmt.Errorf("%s has %s by a DHCP client, which would put it back: say dhcp = true to have a lease, or dhcp = false to end the client", name, d.Leased[0])
		}
	}
	return nil
}

// both are the device and the one that it takes from.
func (s NetAddressSpec) both() []string {
	if s.From == "" {
		return []string{s.Name}
	}
	return []string{s.Name, s.From}
}

// ours says whether the step of another kind writes a file. The addresses that
// an older net_address left of a device are put out of force like an operator's.
func ours(file string) bool {
	p := ifupdown.PurposeOf(file)
	return p != "" && p != ifupdown.Address
}

// makesDevice refuses a file whose stanza makes the device, as the hooks of
// bridge-utils, ifenslave and vlan have it: ours would come before it.
func makesDevice(f ifupdown.File, name string) error {
	for _, i := range f.Text.Interfaces(name) {
		for _, o := range i.Options {
			for _, prefix := range []string{"bridge_", "bridge-", "bond_", "bond-", "vlan_", "vlan-", "ovs_"} {
				if strings.HasPrefix(o[0], prefix) {
					return fmt.Errorf("%s makes %s itself (%s), which comes too late for another file that gives it addresses: keep them there, and leave persist out", f.Name, name, o[0])
				}
			}
		}
	}
	return nil
}

// mappings warns where a script chooses the stanza.
func mappings(f ifupdown.File, name string) []string {
	for _, patterns := range f.Text.Words("mapping") {
		for _, p := range patterns {
			if ok, err := path.Match(p, name); ok && err == nil {
				return []string{fmt.Sprintf("%s maps %s by a script: which stanza it gets at boot is not known", f.Name, name)}
			}
		}
	}
	return nil
}
