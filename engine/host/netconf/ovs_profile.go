package netconf

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// Of NetworkManager a port of Open vSwitch is three profiles: one of type
// ovs-bridge, one of type ovs-port below it, and one of the interface below that:
// of type ovs-interface, or of a NIC its own. nm-settings-keyfile(5) has their
// keys. ovs-external-ids came with 1.30, ovs-other-config and trunks with 1.42.

// ovsPlugin is the plugin without which NetworkManager passes over them.
const ovsPlugin = "libnm-device-plugin-ovs.so"

// knowsOVS says whether NetworkManager has the plugin.
func knowsOVS(ctx context.Context, v host.View) (bool, error) {
	for _, dir := range []string{"/usr/lib64/NetworkManager", "/usr/lib/NetworkManager", "/usr/lib/x86_64-linux-gnu/NetworkManager", "/usr/lib/aarch64-linux-gnu/NetworkManager"} {
		if there, err := exists(ctx, v, dir); err != nil || !there {
			if err != nil {
				return false, err
			}
			continue
		}
		versions, err := v.Files.List(ctx, dir)
		if err != nil {
			return false, err
		}
		for _, version := range versions {
			if there, err := exists(ctx, v, dir+"/"+version+"/"+ovsPlugin); err != nil || there {
				return there, err
			}
		}
	}
	return false, nil
}

// openOVS returns the profile of one type and name, a new one where there is
// none.
func (profiles) openOVS(files Files, kind, name string) (file string, k keys) {
	if file, there := profileWhere(files, name, func(k string) bool { return k == kind }); there {
		return file, parseKeys(keyfile{}, files[file])
	}
	k = parseKeys(keyfile{}, made)
	k.setAll("connection", pair{"id", kind + "-" + name}, pair{"uuid", uuid(kind + " " + name)}, pair{"type", kind}, pair{"interface-name", name})
	if kind == "ovs-interface" {
		k.set("ipv4", "method", "disabled")
		k.set("ipv6", "method", "ignore")
	}
	return keyfileDirectory + "/" + kind + "-" + fileName(name) + ".nmconnection", k
}

// isBelow says whether a profile is below another, which it may name by its uuid.
func (profiles) isBelow(files Files, k keys, kind, name string) bool {
	now, as := controller(k)
	if as != kind || now == name {
		return as == kind
	}
	file, there := profileWhere(files, name, func(k string) bool { return k == kind })
	id, _ := parseKeys(keyfile{}, files[file]).get("connection", "uuid")
	return there && id == now
}

func (p profiles) below(files Files, k *keys, kind, name string) {
	if !p.isBelow(files, *k, kind, name) {
		k.replace("connection", memberKey, pair{"master", name}, pair{"slave-type", kind})
	}
}

// settle sets columns: those in names to a key of a group, and the keys of
// external_ids and other_config.
func (k *keys) settle(device, group string, columns []OVSColumn, names map[string]string) error {
	for _, c := range columns {
		name := names[c.name()]
		switch {
		case name != "":
			if now, there := k.get(group, name); !there && c.standard() || now == c.Value {
				continue
			}
			k.set(group, name, c.Value)
		case c.Column == "external_ids":
			k.set("ovs-external-ids", "data."+c.Key, c.Value)
		case c.Column == "other_config":
			k.set("ovs-other-config", "data."+c.Key, c.Value)
		case !c.standard():
			return unknownOption(c.name(), device, NetworkManager)
		}
	}
	return nil
}

func (p profiles) ovsBridge(files Files, b OVSBridge) error {
	if len(b.Controllers) > 0 {
		return unknownOption("controllers", b.Device, NetworkManager)
	}
	file, k := p.openOVS(files, "ovs-bridge", b.Device)
	err := k.settle(b.Device, "ovs-bridge", b.Bridge, map[string]string{"fail_mode": "fail-mode", "mcast_snooping_enable": "mcast-snooping-enable",
		"rstp_enable": "rstp-enable", "stp_enable": "stp-enable", "datapath_type": "datapath-type"})
	if err != nil {
		return err
	}
	files[file] = k.String()
	return p.ovsPort(files, OVSPort{
		Device: b.Device, Bridge: b.Device, Own: b.Own,
		Interfaces: []OVSInterface{{Name: b.Device, Type: "internal", Columns: b.Interface}},
	})
}

func (p profiles) ovsPorts(files Files, part Part) error {
	if pair, ok := part.(OVSPatch); ok {
		p.releaseOVS(files, pair.Replaces)
	}
	for _, port := range ovsPorts(part) {
		p.releaseOVS(files, port.Replaces)
		if err := p.ovsPort(files, port); err != nil {
			return err
		}
	}
	return nil
}

func (p profiles) ovsPort(files Files, port OVSPort) error {
	if port.Own.Down {
		return unknownOption("up", port.Device, NetworkManager)
	}
	file, k := p.openOVS(files, "ovs-port", port.Device)
	p.below(files, &k, "ovs-bridge", port.Bridge)
	columns := slices.Clone(port.Port)
	for i, c := range columns {
		if c.Column == "trunks" {
			columns[i].Value = ranges(c.Value)
		}
	}
	err := k.settle(port.Device, "ovs-port", columns, map[string]string{"tag": "tag", "trunks": "trunks", "vlan_mode": "vlan-mode", "lacp": "lacp",
		"bond_mode": "bond-mode", "bond_updelay": "bond-updelay", "bond_downdelay": "bond-downdelay"})
	if err != nil {
		return err
	}
	files[file] = k.String()
	p.expelOVS(files, port.Device, port.members())
	for _, i := range port.Interfaces {
		if err := p.ovsInterface(files, port.Device, i); err != nil {
			return err
		}
	}
	if port.Own.Addresses == nil {
		return nil
	}
	return p.addresses(files, Addresses{Device: port.Device, Kind: "openvswitch", Addresses: port.Own.Addresses})
}

// ovsInterface describes an interface. Of a NIC that is a part of its own
// profile.
func (p profiles) ovsInterface(files Files, port string, i OVSInterface) error {
	var file string
	var k keys
	names := map[string]string{"ofport_request": "ofport-request"}
	switch i.kind() {
	case "system":
		file, k = p.open(files, i.Name, "")
	case "internal", "patch", "dpdk":
		file, k = p.openOVS(files, "ovs-interface", i.Name)
	default:
		return unknownOption("type "+i.kind(), i.Name, NetworkManager)
	}
	k.set("ovs-interface", "type", i.kind())
	p.below(files, &k, "ovs-port", port)
	rest := []OVSColumn{}
	for _, c := range i.Columns {
		switch c.name() {
		case "options:peer":
			k.set("ovs-patch", "peer", c.Value)
		case "options:dpdk-devargs":
			k.set("ovs-dpdk", "devargs", c.Value)
		case "mtu_request":
			k.set(ethernetGroup(k), "mtu", c.Value)
		case "mac":
			if now, _ := k.get(ethernetGroup(k), "cloned-mac-address"); !strings.EqualFold(now, c.Value) {
				k.set(ethernetGroup(k), "cloned-mac-address", c.Value)
			}
		default:
			rest = append(rest, c)
		}
	}
	err := k.settle(i.Name, "ovs-interface", rest, names)
	k.autoconnect(true)
	files[file] = k.String()
	return err
}

// ranges spells a list of VLANs as NetworkManager does: neighbours as one range.
func ranges(list string) string {
	var out []string
	first, last := 0, -2
	end := func() {
		switch {
		case last < 0:
		case first == last:
			out = append(out, strconv.Itoa(first))
		default:
			out = append(out, strconv.Itoa(first)+"-"+strconv.Itoa(last))
		}
	}
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			continue // of an empty list
		}
		if n != last+1 {
			end()
			first = n
		}
		last = n
	}
	end()
	return strings.Join(out, ",")
}

// expelOVS takes interfaces out of a port that are no members. Profiles of ours
// that say no more go.
func (p profiles) expelOVS(files Files, port string, members []string) {
	for _, name := range sortedNames(files) {
		k := parseKeys(keyfile{}, files[name])
		device, _ := k.get("connection", "interface-name")
		if !p.isBelow(files, k, "ovs-port", port) || slices.Contains(members, device) {
			continue
		}
		if kind, _ := k.get("connection", "type"); kind == "ovs-interface" {
			delete(files, name)
			continue
		}
		k.replace("connection", memberKey)
		for _, group := range []string{"ovs-interface", "ovs-external-ids", "ovs-other-config"} {
			k.replace(group, func(string) bool { return true })
		}
		if strings.HasPrefix(files[name], made) {
			k.set(ethernetGroup(k), "mtu", "")
		}
		files[name] = k.String()
		if strings.HasPrefix(files[name], made) && k.skeleton() {
			delete(files, name)
		}
	}
}

// releaseOVS takes ports out of what is made at boot.
func (p profiles) releaseOVS(files Files, ports []string) {
	for _, port := range ports {
		p.expelOVS(files, port, nil)
		if file, there := profileWhere(files, port, func(kind string) bool { return kind == "ovs-port" }); there {
			delete(files, file)
		}
	}
}

func (p profiles) dropOVS(files Files, part Part) {
	p.releaseOVS(files, []string{part.Of()})
	for _, port := range ovsPorts(part) {
		p.releaseOVS(files, []string{port.Device})
	}
	if b, ok := part.(OVSBridge); ok {
		if file, there := profileWhere(files, b.Device, func(kind string) bool { return kind == "ovs-bridge" }); there {
			delete(files, file)
		}
	}
}
