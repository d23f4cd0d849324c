package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/host/row"
	"weft/engine/step"
)

// moduleOf is the kernel module that brings links of a kind.
func moduleOf(kind string) string {
	return map[string]string{"bond": "bonding", "bridge": "bridge", "vlan": "8021q"}[kind]
}

// refuse says why a change of a made device cannot be made, or would cost what
// nobody asked for.
func (p *parts) refuse(ctx context.Context, v host.View, files *netconf.State, all map[string]device) error {
	own, there := all[p.name]
	if there {
		if _, err := refuseOwned(ctx, v, own.link, files); err != nil {
			return err
		}
	}
	if up := above(p.name, all); there && len(up) > 0 && (!p.state.There() || p.another(own)) {
		return fmt.Errorf("%s stands on %s and would go with it: take it away first", strings.Join(up, ", "), p.name)
	}
	if !p.state.There() {
		return nil
	}
	if p.lower != nil {
		lower, found := all[*p.lower]
		switch {
		case !found:
			return noDevice(*p.lower)
		case p.up.Or(true) && !lower.Up && !p.loose():
			return fmt.Errorf("%s is down, and a VLAN above it cannot be up: bring it up before, with a net_link step: %w", *p.lower, step.ErrNotYet)
		}
		for name, d := range all {
			if name != p.name && d.link.Kind == "vlan" && d.link.Lower == *p.lower && p.sameVLAN(d.link.Options) {
				return fmt.Errorf("%s is that VLAN of %s already: a device has each VLAN once", name, *p.lower)
			}
		}
	}
	if !there {
		if err := refuseKernel(ctx, v, p.kind); err != nil {
			return err
		}
	}
	return p.refuseMembers(ctx, v, files, all)
}

// sameVLAN says whether another VLAN has the number and the protocol.
func (p *parts) sameVLAN(options map[string]string) bool {
	return !slices.ContainsFunc(p.settings, func(s setting) bool {
		text, _ := s.text()
		return slices.Contains(p.fixed, s.option) && options[s.option] != text
	})
}

// loose says whether a VLAN does not follow the state of the device below.
func (p *parts) loose() bool {
	return slices.ContainsFunc(p.settings, func(s setting) bool { text, _ := s.text(); return s.option == "loose_binding" && text == "1" })
}

// refuseKernel looks whether the kernel can have devices of a kind: its module is
// there, loaded, built in or to be loaded. Where there are no files of modules
// nobody can tell, and the attempt shows it.
func refuseKernel(ctx context.Context, v host.View, kind string) error {
	release, err := v.Kernel.Get(ctx, "/proc/sys/kernel/osrelease")
	if err != nil {
		return nil //nolint:nilerr // a kernel that does not tell its release
	}
	dir, known := path.Join("/lib/modules", strings.TrimSpace(release)), false
	for _, file := range []string{"modules.builtin", "modules.dep"} {
		b, err := v.Files.Read(ctx, path.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if known = true; strings.Contains(string(b), "/"+moduleOf(kind)+".ko") {
			return nil
		}
	}
	if _, err := v.Kernel.List(ctx, "/sys/module/"+moduleOf(kind)); err == nil || !known {
		return nil //nolint:nilerr // loaded, or nobody can tell
	}
	return fmt.Errorf("the kernel %s has no module %s, so it has no devices of kind %s: install the package that has it (linux-modules-extra on Ubuntu, kernel-modules-extra on RHEL): %w",
		strings.TrimSpace(release), moduleOf(kind), kind, step.ErrNotYet)
}

// refuseMembers says why a device cannot become a member.
func (p *parts) refuseMembers(ctx context.Context, v host.View, files *netconf.State, all map[string]device) error {
	if p.members == nil {
		return nil
	}
	for _, name := range *p.members {
		d, there := all[name]
		if !there {
			return noDevice(name)
		}
		if d.link.Master == p.name {
			continue
		}
		if m, other := all[d.link.Master]; other && m.link.Kind != "openvswitch" {
			return fmt.Errorf("%s belongs to the %s %s: take it out there first", name, m.link.Kind, d.link.Master)
		}
		bridge, err := switchOf(ctx, v, name)
		switch {
		case err != nil:
			return err
		case bridge != "":
			return fmt.Errorf("%s is a port of %s of Open vSwitch: take it out first, with an ovs_port step of state absent", name, bridge)
		case name == "lo", d.link.Kind == p.kind:
			return fmt.Errorf("%s cannot be a member: the kernel puts neither lo nor another %s into a %s", name, p.kind, p.kind)
		case slices.Contains(above(p.name, all), name):
			return fmt.Errorf("%s stands on %s, and cannot be its member too", name, p.name)
		case p.kind == "bond" && len(d.Leased) > 0:
			return fmt.Errorf("%s has %s by a DHCP client, which would go on asking by it: end the client first, with a net_address step of dhcp = false", name, d.Leased[0])
		}
		if _, err := refuseOwned(ctx, v, d.link, files); err != nil {
			return err
		}
	}
	return nil
}

// switchOf names the bridge of Open vSwitch that has a device as a port; empty for
// none.
func switchOf(ctx context.Context, v host.View, name string) (string, error) {
	results, err := v.OVSDB.Select(ctx, host.OpenVSwitch,
		row.Select("Interface", []string{"_uuid", "type"}, row.Is("name", name)),
		row.Select("Port", []string{"_uuid", "interfaces"}), row.Select("Bridge", []string{"name", "ports"}))
	if errors.Is(err, host.ErrNotReady) {
		return "", nil
	}
	if err != nil || len(results[0].Rows) == 0 {
		return "", err
	}
	for _, b := range results[2].Rows {
		for _, p := range results[1].Rows {
			if slices.Contains(row.Refs(b, "ports"), row.ID(p)) && slices.Contains(row.Refs(p, "interfaces"), row.ID(results[0].Rows[0])) {
				return row.String(b, "name"), nil
			}
		}
	}
	return "", nil
}
