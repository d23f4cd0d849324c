package fake

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"weft/engine/host"
	"weft/engine/host/linkinfo"
)

// make makes a bond, a bridge or a VLAN.
func (n *network) make(l host.NewLink) error {
	s := n.spaces[""]
	d := &device{Link: host.Link{Name: l.Name, Kind: l.Kind, Lower: l.Lower, MAC: l.MAC, MTU: l.MTU}, ownMAC: l.MAC != "", ownMTU: l.MTU != 0}
	switch lower := s.find(l.Lower); {
	case slices.Contains(n.without, l.Kind):
		return syscall.EOPNOTSUPP
	case s.find(l.Name) != nil:
		return syscall.EEXIST
	case l.Kind == "vlan" && lower == nil:
		return fmt.Errorf("link %q: %w", l.Lower, fs.ErrNotExist)
	case l.Kind == "vlan":
		if id, err := strconv.Atoi(l.Options["id"]); err != nil || id < 0 || id > 4094 {
			return fmt.Errorf("VLAN %q: %w", l.Options["id"], syscall.ERANGE)
		}
		d.Options = map[string]string{"id": l.Options["id"], "protocol": cmp.Or(l.Options["protocol"], "802.1Q"), "reorder_hdr": "1", "gvrp": "0", "mvrp": "0", "loose_binding": "0", "bridge_binding": "0"}
		d.MAC, d.MTU = cmp.Or(l.MAC, lower.MAC), cmp.Or(l.MTU, lower.MTU)
		if d.MTU > lower.MTU {
			return syscall.ERANGE
		}
		if slices.ContainsFunc(s.links, func(o *device) bool { return o.sameVLAN(d) }) {
			return syscall.EEXIST
		}
	case l.Kind == "bond":
		d.Options = maps.Clone(bondDefaults())
	case l.Kind == "bridge":
		d.Options = maps.Clone(bridgeDefaults())
	default:
		return fmt.Errorf("a link of kind %q: %w", l.Kind, syscall.EOPNOTSUPP)
	}
	if l.MAC != "" {
		if mac, err := net.ParseMAC(l.MAC); err != nil || mac[0]&1 == 1 {
			return syscall.EADDRNOTAVAIL
		}
	}
	if err := s.setOptions(d, l.Options); err != nil {
		return err
	}
	return n.add(s, d)
}

func (d *device) sameVLAN(o *device) bool {
	return d.Kind == "vlan" && d.Lower == o.Lower && d.Options["id"] == o.Options["id"] && d.Options["protocol"] == o.Options["protocol"]
}

// bondDefaults are those of the kernel's bonding driver.
func bondDefaults() map[string]string {
	return map[string]string{
		"mode": "balance-rr", "miimon": "0", "updelay": "0", "downdelay": "0", "arp_interval": "0", "arp_ip_target": "", "arp_validate": "none",
		"primary": "", "primary_reselect": "always", "fail_over_mac": "none", "xmit_hash_policy": "layer2", "resend_igmp": "1",
		"num_peer_notif": "1", "all_slaves_active": "0", "min_links": "0", "lp_interval": "1", "packets_per_slave": "1",
		"lacp_rate": "slow", "ad_select": "stable", "lacp_active": "1", "tlb_dynamic_lb": "1",
		"ad_actor_sys_prio": "65535", "ad_user_port_key": "0", "ad_actor_system": "00:00:00:00:00:00",
	}
}

// bridgeDefaults are those of the kernel's bridge.
func bridgeDefaults() map[string]string {
	return map[string]string{
		"forward_delay": "1500", "hello_time": "200", "max_age": "2000", "ageing_time": "30000", "stp_state": "0", "priority": "32768",
		"vlan_filtering": "0", "vlan_protocol": "802.1Q", "group_fwd_mask": "0", "mcast_snooping": "1", "mcast_querier": "0",
	}
}

// shownOptions are what the kernel tells of a device: of a bond its delays in
// milliseconds, its primary once that is a member, targets where there are any, and what is LACP's with LACP.
func (d *device) shownOptions() map[string]string {
	out := maps.Clone(d.Options)
	if d.Kind != "bond" {
		return out
	}
	for _, delay := range []string{"updelay", "downdelay"} {
		out[delay] = strconv.Itoa(d.number(delay) * d.number("miimon"))
	}
	for _, name := range []string{"primary", "arp_ip_target"} {
		if out[name] == "" {
			delete(out, name)
		}
	}
	for name := range out {
		if out["mode"] != "802.3ad" && (strings.HasPrefix(name, "ad_actor_") || name == "ad_user_port_key") {
			delete(out, name)
		}
	}
	return out
}

func (s *space) members(of *device) []*device {
	var out []*device
	for _, d := range s.links {
		if d.Master == of.Name {
			out = append(out, d)
		}
	}
	return out
}

// setMaster puts a link into a bridge or a bond, or takes it out.
func (s *space) setMaster(d *device, name string) error {
	if d.Master == name {
		return nil
	}
	master := s.find(name)
	switch {
	case name == "":
		s.leave(d)
		return nil
	case master == nil:
		return fmt.Errorf("link %q: %w", name, fs.ErrNotExist)
	case d.Name == "lo", master.Kind == "bridge" && d.Kind == "bridge":
		return fmt.Errorf("master %q: %w", name, syscall.EINVAL)
	case master.Kind == "bridge":
		s.leave(d)
		d.Master = name
		s.recalculate(master)
		return nil
	case master.Kind != "bond":
		return fmt.Errorf("master %q: %w", name, syscall.EOPNOTSUPP)
	case d.Up, d.Kind == "bond":
		return fmt.Errorf("master %q: a bond takes no link that is up: %w", name, syscall.EPERM)
	}
	s.leave(d)
	d.former.mac, d.former.mtu = d.MAC, d.MTU
	if len(s.members(master)) == 0 && !master.ownMAC {
		s.setMAC(master, d.MAC)
	}
	d.Master = name
	s.setMAC(d, master.MAC)
	s.setMTU(d, master.MTU)
	return s.setUp(d, true)
}

// leave takes a link from its master. A bond gives it back what it had, and a bond
// without members takes another Ethernet address.
func (s *space) leave(d *device) {
	master := s.find(d.Master)
	if d.Master = ""; master == nil {
		return
	}
	if master.Kind == "bridge" {
		s.recalculate(master)
		return
	}
	if master.Options["primary"] == d.Name {
		master.Options["primary"] = ""
	}
	_ = s.setUp(d, false) // down it may always go
	s.setMAC(d, d.former.mac)
	s.setMTU(d, d.former.mtu)
	if len(s.members(master)) == 0 {
		master.ownMAC = false
		s.setMAC(master, fmt.Sprintf("0e:00:00:00:%02x:%02x", master.Index>>8&0xff, master.Index&0xff))
	}
}

// recalculate gives a bridge the lowest Ethernet address and MTU of its members.
func (s *space) recalculate(bridge *device) {
	mac, mtu := "", 0
	for _, d := range s.members(bridge) {
		if mac == "" || d.MAC < mac {
			mac = d.MAC
		}
		if mtu == 0 || d.MTU < mtu {
			mtu = d.MTU
		}
	}
	if !bridge.ownMAC {
		s.setMAC(bridge, cmp.Or(mac, "00:00:00:00:00:00"))
	}
	if !bridge.ownMTU {
		s.setMTU(bridge, cmp.Or(mtu, 1500))
	}
}

// setMAC gives it to a device and to those that follow it.
func (s *space) setMAC(d *device, mac string) {
	if d.MAC == mac {
		return
	}
	d.MAC = mac
	if d.Kind == "bond" {
		for _, m := range s.members(d) {
			s.setMAC(m, mac)
		}
	}
	for _, v := range s.links {
		if v.Kind == "vlan" && v.Lower == d.Name && !v.ownMAC {
			s.setMAC(v, mac)
		}
	}
	if master := s.find(d.Master); master != nil && master.Kind == "bridge" {
		s.recalculate(master)
	}
}

// setMTU gives it to a device and to those that follow it.
func (s *space) setMTU(d *device, mtu int) {
	d.MTU = mtu
	if d.Kind == "bond" {
		for _, m := range s.members(d) {
			s.setMTU(m, mtu)
		}
	}
	for _, v := range s.links {
		if v.Kind == "vlan" && v.Lower == d.Name && v.MTU > mtu {
			s.setMTU(v, mtu)
		}
	}
	if master := s.find(d.Master); master != nil && master.Kind == "bridge" {
		s.recalculate(master)
	}
}

// setOptions changes what devices of its kind have beyond others.
func (s *space) setOptions(d *device, options map[string]string) error {
	options, err := s.spell(d.Kind, options)
	switch {
	case err != nil:
		return err
	case d.Kind == "bond":
		return s.setBond(d, options)
	case d.Kind == "bridge":
		maps.Copy(d.Options, options)
		return nil
	}
	for name, value := range options {
		if name != "id" && name != "protocol" { // the kernel passes over them
			d.Options[name] = value
		}
	}
	return nil
}

// spell is options as the kernel would tell them.
func (s *space) spell(kind string, options map[string]string) (map[string]string, error) {
	data, err := linkinfo.Encode(kind, options, func(name string) (int, error) {
		if o := s.find(name); o != nil {
			return o.Index, nil
		}
		return 0, fmt.Errorf("link %q: %w", name, fs.ErrNotExist)
	})
	if err != nil {
		return nil, err
	}
	told, err := linkinfo.Decode(kind, data, func(index int) string {
		for _, o := range s.links {
			if o.Index == index {
				return o.Name
			}
		}
		return ""
	})
	for name := range told { // flags of a VLAN come together
		if _, given := options[name]; !given {
			delete(told, name)
		}
	}
	return told, err
}

// setBond keeps the rules of the bonding driver (bond_options.c): an option of
// another mode, one that wants a bond without members or one that is down.
func (s *space) setBond(d *device, options map[string]string) error {
	order := []string{"mode", "miimon", "updelay", "downdelay", "arp_interval"}
	for name := range options {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	for _, name := range order {
		value, given := options[name]
		if !given || d.shownOptions()[name] == value {
			continue
		}
		if err := s.bondRefuses(d, name, value); err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
		d.setBondOption(name, value)
	}
	return nil
}

func (s *space) bondRefuses(d *device, name, value string) error {
	only := bondModes()[name]
	members := s.members(d)
	switch {
	case only != nil && !slices.Contains(only, d.Options["mode"]):
		return syscall.EACCES
	case slices.Contains([]string{"mode", "fail_over_mac"}, name) && len(members) > 0:
		return syscall.ENOTEMPTY
	case slices.Contains([]string{"mode", "lacp_rate", "lacp_active", "ad_select", "ad_user_port_key", "tlb_dynamic_lb"}, name) && d.Up:
		return syscall.EBUSY
	case (name == "updelay" || name == "downdelay") && d.Options["miimon"] == "0" && value != "0":
		return syscall.EPERM
	case name == "primary" && value != "" && !slices.ContainsFunc(members, func(m *device) bool { return m.Name == value }):
		return syscall.EINVAL
	}
	return nil
}

// number is an option as one. Delays are kept as multiples of miimon.
func (d *device) number(option string) int {
	n, _ := strconv.Atoi(d.Options[option]) // linkinfo has seen that it is one
	return n
}

// bondModes are the modes that have an option, of those that some modes alone have.
func bondModes() map[string][]string {
	lacp, byARP := []string{"802.3ad"}, []string{"balance-rr", "active-backup", "balance-xor", "broadcast"}
	return map[string][]string{
		"lacp_rate": lacp, "lacp_active": lacp, "ad_actor_sys_prio": lacp, "ad_user_port_key": lacp, "ad_actor_system": lacp,
		"primary":      {"active-backup", "balance-tlb", "balance-alb"},
		"arp_interval": byARP, "arp_validate": byARP,
		"packets_per_slave": {"balance-rr"}, "tlb_dynamic_lb": {"balance-tlb", "balance-alb"},
	}
}

// setBondOption sets one, with what else changes by it: the two ways to watch
// members exclude each other.
func (d *device) setBondOption(name, value string) {
	o := d.Options
	o[name] = value
	switch {
	case name == "mode":
		if o["arp_validate"] = "none"; value == "802.3ad" || value == "balance-tlb" || value == "balance-alb" {
			if o["arp_interval"] = "0"; o["miimon"] == "0" {
				o["miimon"] = "100"
			}
		}
	case name == "miimon" && value != "0":
		o["arp_interval"] = "0"
	case name == "updelay", name == "downdelay":
		o[name] = strconv.Itoa(d.number(name) / max(d.number("miimon"), 1))
	case name == "arp_interval" && value != "0":
		o["miimon"] = "0"
	}
}
