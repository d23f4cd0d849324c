package netconf

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

const scriptDirectory = "/etc/sysconfig/network-scripts"

// scripts is the family of network-scripts (the package initscripts of Red Hat's
// distributions up to 8): keys of ifcfg-DEVICE, which operators and other steps
// write, too, and the files of routes. NetworkManager reads them by its plugin
// ifcfg-rh.
type scripts struct{}

func (scripts) read(ctx context.Context, v host.View) (Files, error) {
	return readAll(ctx, v, scriptDirectory, func(name string) bool {
		for _, kind := range []string{"ifcfg-", "route-", "route6-"} {
			if strings.HasPrefix(name, kind) {
				return !slices.ContainsFunc([]string{"~", ".bak", ".orig", ".rpmnew", ".rpmorig", ".rpmsave"}, func(old string) bool { return strings.HasSuffix(name, old) })
			}
		}
		return false
	})
}

func (scripts) readable(ctx context.Context, v host.View, p Part) error {
	if isOVS(p) {
		there, err := exists(ctx, v, scriptDirectory+"/ifup-ovs")
		if err == nil && !there {
			return fmt.Errorf("persist needs Open vSwitch's network-scripts, and %s/ifup-ovs is not there: put a step package \"network-scripts-openvswitch\" before it: %w", scriptDirectory, host.ErrNotReady)
		}
		return err
	}
	for _, file := range []string{scriptDirectory + "/ifup-eth", "/usr/sbin/NetworkManager"} {
		if there, err := exists(ctx, v, file); err != nil || there {
			return err
		}
	}
	return fmt.Errorf("persist needs network-scripts, and %s/ifup-eth is not there: put a step package \"network-scripts\" before it: %w", scriptDirectory, host.ErrNotReady)
}

// scriptOf is the file of a device: the one that names it, else the one that is
// named after it.
func scriptOf(files Files, device string) string {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(path.Base(name), "ifcfg-") || path.Dir(name) != scriptDirectory {
			continue
		}
		if d, there := parseKeys(shell{}, files[name]).get("", "DEVICE"); there && d == device {
			return name
		}
	}
	name := scriptPath(device)
	if text, there := files[name]; there {
		if d, says := parseKeys(shell{}, text).get("", "DEVICE"); !says || d == device {
			return name
		}
	}
	return ""
}

// open returns the file of a device, a new one where there is none.
func (scripts) open(files Files, device, kind string) (file string, k keys) {
	if file := scriptOf(files, device); file != "" {
		return file, parseKeys(shell{}, files[file])
	}
	k = parseKeys(shell{}, made)
	k.set("", "DEVICE", device)
	if kind == "" || kind == "veth" {
		k.set("", "TYPE", "Ethernet")
	}
	k.setAll("", pair{"ONBOOT", "yes"}, pair{"BOOTPROTO", "none"})
	return scriptPath(device), k
}

// yes reads a switch; both spellings are common.
func yes(k keys, key string) bool {
	switch v, _ := k.get("", key); strings.ToLower(v) {
	case "yes", "true", "y", "t", "1", "on":
		return true
	}
	return false
}

func (k *keys) setFlag(key string, on bool) {
	// Of these two nothing said means yes.
	_, there := k.get("", key)
	said := there || key != "ONBOOT" && key != "REORDER_HDR"
	if said && yes(*k, key) == on {
		return
	}
	k.set("", key, map[bool]string{true: "yes", false: "no"}[on])
}

func (s scripts) keep(files Files, part Part) (notes []string, err error) {
	if err := s.unclear(files, part); err != nil {
		return nil, err
	}
	found := maps.Clone(files)
	if notes, err = s.change(files, part); err != nil {
		return nil, err
	}
	for name, text := range found {
		if files[name] != text && unclosed(text) {
			return nil, fmt.Errorf("%s has a quote that does not end: mend it first", name)
		}
		if line := parseKeys(shell{}, text).code(); files[name] != text && line > 0 && strings.HasPrefix(path.Base(name), "ifcfg-") {
			return nil, fmt.Errorf("%s, line %d: is more than an assignment or a comment, and weft does not edit what a shell runs: write assignments, a line each, or leave persist out", name, line)
		}
	}
	return notes, nil
}

func (s scripts) change(files Files, part Part) (notes []string, err error) {
	switch part := part.(type) {
	case Link:
		s.link(files, part)
	case Addresses:
		return s.addresses(files, part)
	case Bond:
		if part.Members != nil {
			s.expel(files, part.Device, "MASTER", part.Members)
		}
		s.join(files, part.Device, "MASTER", part.Members)
		file, k := s.open(files, part.Device, "bond")
		k.setAll("", pair{"TYPE", "Bond"}, pair{"BONDING_MASTER", "yes"})
		k.bondOptions(part.Options)
		files[file] = k.String()
		s.link(files, part.link(part.Device, "bond"))
	case VLAN:
		s.vlan(files, part)
	case Bridge:
		if part.Members != nil && !part.Open {
			s.expel(files, part.Device, "BRIDGE", part.Members)
		}
		s.join(files, part.Device, "BRIDGE", part.Members)
		return nil, s.bridge(files, part)
	case OVSBridge:
		return nil, s.ovsBridge(files, part)
	case OVSPort, OVSPatch:
		return nil, s.ovsPorts(files, part)
	default:
		return nil, cannot(part, Scripts)
	}
	return nil, nil
}

func (s scripts) link(files Files, l Link) {
	file, k := s.open(files, l.Device, l.Kind)
	if l.MTU != 0 {
		k.set("", "MTU", strconv.Itoa(l.MTU))
	}
	if now, _ := k.get("", "MACADDR"); l.MAC != "" && !strings.EqualFold(now, l.MAC) {
		k.set("", "MACADDR", l.MAC)
	}
	k.setFlag("ONBOOT", !l.Down)
	files[file] = k.String()
}

// bondOptions sets what BONDING_OPTS says of the options that are managed.
func (k *keys) bondOptions(options map[string]string) {
	text, _ := k.get("", "BONDING_OPTS")
	words := strings.Fields(text)
	for o, value := range options {
		if value == "" {
			words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, o+"=") })
		}
	}
	for _, o := range bondNames(options) {
		word := ipName(o) + "=" + options[o]
		at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, ipName(o)+"=") })
		if at < 0 {
			words = append(words, word)
		} else {
			words[at] = word
		}
	}
	if joined := strings.Join(words, " "); joined != strings.Join(strings.Fields(text), " ") {
		k.set("", "BONDING_OPTS", joined)
	}
}

func (s scripts) vlan(files Files, v VLAN) {
	file, k := s.open(files, v.Device, "vlan")
	k.setFlag("VLAN", true)
	k.setAll("", pair{"TYPE", "Vlan"}, pair{"PHYSDEV", v.Link}, pair{"VLAN_ID", strconv.Itoa(v.ID)})
	if now, there := k.get("", "VLAN_PROTOCOL"); there && v.Protocol != "" && now != v.Protocol || v.Protocol == "802.1ad" {
		k.set("", "VLAN_PROTOCOL", v.Protocol)
	}
	for o, key := range map[string]string{"reorder_hdr": "REORDER_HDR", "gvrp": "GVRP", "mvrp": "MVRP"} {
		value, managed := v.Options[o]
		if _, there := k.get("", key); managed && (there || (value == "1") != (o == "reorder_hdr")) {
			k.setFlag(key, value == "1")
		}
	}
	if value, managed := v.Options["loose_binding"]; managed {
		now, _ := k.get("", "VLAN_FLAGS")
		if is := strings.Contains(now, "LOOSE_BINDING"); is != (value == "1") {
			k.set("", "VLAN_FLAGS", map[string]string{"1": "LOOSE_BINDING"}[value])
		}
	}
	files[file] = k.String()
	s.link(files, v.link(v.Device, "vlan"))
}

func (s scripts) bridge(files Files, b Bridge) error {
	file, k := s.open(files, b.Device, "bridge")
	k.set("", "TYPE", "Bridge")
	text, _ := k.get("", "BRIDGING_OPTS")
	words := strings.Fields(text)
	for _, o := range slices.Sorted(maps.Keys(b.Options)) {
		value := b.Options[o]
		switch o {
		case "stp_state":
			k.setFlag("STP", value == "1")
		case "forward_delay":
			delay, err := seconds(b.Device, o, value)
			if err != nil {
				return err
			}
			k.set("", "DELAY", delay)
		default: // the names below /sys/class/net/DEVICE/bridge
			name := strings.Replace(o, "mcast_", "multicast_", 1)
			words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, name+"=") })
			words = append(words, name+"="+value)
		}
	}
	slices.Sort(words)
	if now := strings.Fields(text); !slices.Equal(slices.Sorted(slices.Values(now)), words) {
		k.set("", "BRIDGING_OPTS", strings.Join(words, " "))
	}
	files[file] = k.String()
	s.link(files, b.link(b.Device, "bridge"))
	return nil
}

// expel takes devices out of a bond (key MASTER) or a bridge (BRIDGE) that are no
// members. NetworkManager's plugin names the master by its UUID, too.
func (s scripts) expel(files Files, master, key string, members []string) {
	above, _ := parseKeys(shell{}, files[scriptOf(files, master)]).get("", "UUID")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		k := parseKeys(shell{}, files[name])
		device, there := k.get("", "DEVICE")
		if !there {
			device = strings.TrimPrefix(path.Base(name), "ifcfg-")
		}
		now, _ := k.get("", key)
		id, _ := k.get("", key+"_UUID")
		below := now == master || above != "" && (id == above || now == above)
		if !below || !strings.HasPrefix(path.Base(name), "ifcfg-") || slices.Contains(members, device) {
			continue
		}
		k.setAll("", pair{key, ""}, pair{key + "_UUID", ""})
		if key == "MASTER" {
			k.set("", "SLAVE", "")
		}
		files[name] = k.String()
	}
}

// join puts devices below a bond or a bridge.
func (s scripts) join(files Files, master, key string, members []string) {
	for _, m := range members {
		file, k := s.open(files, m, "")
		k.setAll("", pair{key, master}, pair{key + "_UUID", ""})
		if key == "MASTER" {
			k.setFlag("SLAVE", true)
		}
		files[file] = k.String()
	}
}

// drop takes out of a file that we made the keys of a part, and removes it with
// the last of them. What makes a device goes whole.
func (s scripts) drop(files Files, part Part) error {
	file := scriptOf(files, part.Of())
	if kind := making(part); kind != "" && file != "" && !strings.HasPrefix(files[file], made) {
		return makesItself(file, kind, part.Of())
	}
	switch part := part.(type) {
	case Bond:
		s.expel(files, part.Device, "MASTER", nil)
	case Bridge:
		s.expel(files, part.Device, "BRIDGE", nil)
	case VLAN:
	case OVSBridge:
	case OVSPort, OVSPatch:
		for _, p := range ovsPorts(part) {
			s.releaseOVS(files, p.Device)
		}
		return nil
	case Link, Addresses:
		if !strings.HasPrefix(files[file], made) {
			return nil
		}
		k := parseKeys(shell{}, files[file])
		if _, link := part.(Link); link {
			k.setAll("", pair{"MTU", ""}, pair{"MACADDR", ""})
		} else {
			k.replace("", scriptIPKey, pair{"BOOTPROTO", "none"})
			for _, routes := range []string{routeFile(file, true), routeFile(file, false)} {
				if strings.HasPrefix(files[routes], madeRoutes) {
					delete(files, routes)
				}
			}
		}
		files[file] = k.String()
		if k.bare() {
			delete(files, file)
		}
		return nil
	default:
		return cannot(part, Scripts)
	}
	if file == "" {
		return nil
	}
	for _, routes := range []string{routeFile(file, true), routeFile(file, false)} {
		if text, there := files[routes]; there && !strings.HasPrefix(text, madeRoutes) {
			return fmt.Errorf("%s has routes of %s, and weft did not make that file: remove it, or leave persist out", routes, part.Of())
		}
		delete(files, routes)
	}
	delete(files, file)
	return nil
}
