package netconf

import (
	"slices"
	"strings"
)

// Objects of Open vSwitch are made at boot by ifup-ovs of package
// network-scripts-openvswitch, which README.RHEL.rst describes.

// openOVS returns the file of an object, a new one where there is none.
func (s scripts) openOVS(files Files, device, kind string) (file string, k keys) {
	file, k = s.open(files, device, "openvswitch")
	k.setAll("", pair{"DEVICETYPE", "ovs"}, pair{"TYPE", kind})
	if _, there := files[file]; !there {
		k.set("", "HOTPLUG", "no")
	}
	return file, k
}

func (s scripts) ovsBridge(files Files, b OVSBridge) error {
	file, k := s.openOVS(files, b.Device, "OVSBridge")
	v := parseVsctl(k, b.Device)
	v.set(ovsExtra, "bridge", b.Device, b.Bridge)
	v.set(ovsExtra, "interface", b.Device, b.Interface)
	v.controllers(b.Device, b.controllerCommands(`"`))
	return s.closeOVS(files, file, k, v, b.Device, b.Own)
}

func (s scripts) closeOVS(files Files, file string, k keys, v vsctl, device string, own OVSDevice) error {
	if own.Down {
		return unknownOption("up", device, Scripts)
	}
	if err := v.write(&k, file); err != nil {
		return err
	}
	k.setFlag("ONBOOT", true)
	files[file] = k.String()
	if own.Addresses == nil {
		return nil
	}
	_, err := s.addresses(files, Addresses{Device: device, Addresses: own.Addresses})
	return err
}

func (s scripts) ovsPorts(files Files, part Part) error {
	if pair, ok := part.(OVSPatch); ok {
		for _, r := range pair.Replaces {
			s.releaseOVS(files, r)
		}
	}
	for _, p := range ovsPorts(part) {
		for _, r := range p.Replaces {
			s.releaseOVS(files, r)
		}
		if err := s.ovsPort(files, p); err != nil {
			return err
		}
	}
	return nil
}

func (s scripts) ovsPort(files Files, p OVSPort) error {
	kind := "OVSBond"
	if !p.bond() {
		kind = scriptPortType(p.Interfaces[0])
	}
	file, k := s.openOVS(files, p.Device, kind)
	k.set("", "OVS_BRIDGE", p.Bridge)
	v := parseVsctl(k, p.Device)
	v.set(ovsOptions, "port", p.Device, p.Port)
	if p.bond() {
		s.ovsBond(files, &k, v, p)
		return s.closeOVS(files, file, k, v, p.Device, p.Own)
	}
	i := p.Interfaces[0]
	rest, options := i.split()
	switch kind {
	case "OVSTunnel":
		k.set("", "OVS_TUNNEL_TYPE", i.kind())
		v.set(ovsTunnel, "interface", p.Device, options)
	case "OVSPatchPort":
		k.set("", "OVS_PATCH_PEER", i.option("peer"))
	default:
		v.set(ovsExtra, "interface", p.Device, options)
	}
	v.set(ovsExtra, "interface", p.Device, rest)
	return s.closeOVS(files, file, k, v, p.Device, p.Own)
}

func scriptPortType(i OVSInterface) string {
	switch i.kind() {
	case "system":
		return "OVSPort"
	case "internal":
		return "OVSIntPort"
	case "patch":
		return "OVSPatchPort"
	}
	return "OVSTunnel"
}

// ovsBond describes a bond. Its members have files, for ifup-ovs brings them up.
func (s scripts) ovsBond(files Files, k *keys, v vsctl, p OVSPort) {
	now, _ := k.get("", "BOND_IFACES")
	if !slices.Equal(slices.Sorted(strings.FieldsSeq(now)), p.members()) {
		k.set("", "BOND_IFACES", strings.Join(p.members(), " "))
	}
	for m := range strings.FieldsSeq(now) {
		if !slices.Contains(p.members(), m) {
			v.forget("interface", m) // a row that is not there fails the whole command
		}
	}
	for _, i := range p.Interfaces {
		v.set(ovsExtra, "interface", i.Name, i.typed())
		if i.nic() {
			file, member := s.open(files, i.Name, "")
			member.setFlag("ONBOOT", true)
			files[file] = member.String()
		}
	}
}

// releaseOVS takes a port out of what is made at boot. The file of a NIC stays,
// and says no longer that it is a port; that of a device of Open vSwitch goes.
func (s scripts) releaseOVS(files Files, device string) {
	file := scriptOf(files, device)
	if file == "" {
		return
	}
	k := parseKeys(shell{}, files[file])
	switch kind, _ := k.get("", "TYPE"); kind {
	case "OVSPort":
		k.replace("", func(key string) bool { return key == "DEVICETYPE" || strings.HasPrefix(key, "OVS_") })
		k.set("", "TYPE", "Ethernet")
		files[file] = k.String()
		if strings.HasPrefix(files[file], made) && k.bare() {
			delete(files, file)
		}
	case "OVSIntPort", "OVSPatchPort", "OVSTunnel", "OVSBond":
		members, _ := k.get("", "BOND_IFACES")
		delete(files, file)
		for _, m := range strings.Fields(members) {
			file := scriptOf(files, m)
			if k := parseKeys(shell{}, files[file]); strings.HasPrefix(files[file], made) && k.bare() {
				delete(files, file)
			}
		}
	}
}

// bare says whether a file says nothing but which device it is of.
func (k keys) bare() bool {
	kind, _ := k.get("", "TYPE")
	rest := k.match("", func(key string) bool {
		return !slices.Contains([]string{"DEVICE", "TYPE", "ONBOOT", "BOOTPROTO", "HOTPLUG"}, key)
	})
	return len(rest) == 0 && kind == "Ethernet"
}
