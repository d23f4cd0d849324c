package network

import (
	"context"
	"fmt"
	"slices"

	"weft/engine/host"
	"weft/engine/host/netconf"
)

// refuse says why the change cannot be made, or would not last.
func (s NetAddressSpec) refuse(ctx context.Context, v host.View, all map[string]device, files *netconf.State) error {
	for _, name := range s.both() {
		d, there := all[name]
		if !there || name == s.Name && s.Addresses == nil {
			continue
		}
		if _, err := refuseOwned(ctx, v, d.link, files); err != nil {
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
func (s NetAddressSpec) refuseLeased(ctx context.Context, v host.View, all map[string]device, daemon string) error {
	if s.DHCP.Or(false) {
		if daemon != "" {
			return nil // which is a client
		}
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
