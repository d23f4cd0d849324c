package netconf

import (
	"cmp"
	"context"
	"crypto/sha1"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// keyfileDirectory has the profiles that weft writes. Those below /run and
// /usr/lib are of other programs: a device of theirs is refused.
const keyfileDirectory = "/etc/NetworkManager/system-connections"

// profiles is the family of NetworkManager: keys of the profile of a device,
// which operators and other steps write, too. Where there is none, one is made.
type profiles struct{}

func (profiles) read(ctx context.Context, v host.View) (Files, error) {
	files := Files{}
	for _, dir := range []string{"/usr/lib/NetworkManager/system-connections", "/run/NetworkManager/system-connections", keyfileDirectory} {
		found, err := readAll(ctx, v, dir, func(name string) bool {
			return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~")
		})
		if err != nil {
			return nil, err
		}
		maps.Copy(files, found)
	}
	return files, nil
}

func (profiles) readable(ctx context.Context, v host.View, p Part) error {
	there, err := exists(ctx, v, "/usr/sbin/NetworkManager")
	if err == nil && !there {
		return fmt.Errorf("persist needs NetworkManager, and /usr/sbin/NetworkManager is not there: put a step package before it: %w", host.ErrNotReady)
	}
	if err != nil || !isOVS(p) {
		return err
	}
	plugin, err := knowsOVS(ctx, v)
	if err == nil && !plugin {
		return fmt.Errorf("persist needs NetworkManager's plugin for Open vSwitch (%s), which Debian does not build: put a step package \"NetworkManager-ovs\" before it, or name another way in persist_by: %w", ovsPlugin, host.ErrNotReady)
	}
	return err
}

// made is what begins a profile that we made. It goes with its last key of ours.
const made = "# Made by weft, which sets its own keys and leaves others.\n"

// profileOf is the file of the profile of a device. Bridges and ports of Open
// vSwitch have no device: the interface of the same name has.
func profileOf(files Files, device string) (file string, there bool) {
	return profileWhere(files, device, func(kind string) bool { return kind != "ovs-bridge" && kind != "ovs-port" })
}

// profileWhere is the file of the profile of a name, of some types. Of several
// the one that is activated by itself with the greatest priority is meant, as
// NetworkManager chooses.
func profileWhere(files Files, device string, of func(kind string) bool) (file string, there bool) {
	best := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		k := parseKeys(keyfile{}, files[name])
		if d, _ := k.get("connection", "interface-name"); d != device || !strings.HasPrefix(name, keyfileDirectory+"/") {
			continue
		}
		if kind, _ := k.get("connection", "type"); !of(kind) {
			continue
		}
		n := k.rank()
		if !there || n > best {
			file, there, best = name, true, n
		}
	}
	return file, there
}

// rank is the greater the sooner NetworkManager takes a profile.
func (k keys) rank() int {
	priority, _ := k.get("connection", "autoconnect-priority")
	n, _ := strconv.Atoi(priority) // 0 where there is none
	if !k.autoconnects() {
		n -= 2000 // below all others, whose least is -999
	}
	return n
}

// profileTypes are NetworkManager's types by rtnetlink's kinds, and the group
// of each.
func profileType(kind string) string {
	switch kind {
	case "", "veth":
		return "ethernet"
	}
	return kind
}

// open returns the profile of a device, a new one where there is none. That
// comes before any that fits the device without naming it (by its Ethernet
// address, say). It gives no addresses, since a step of its own has those, and
// leaves IPv6 to the kernel, as without NetworkManager.
func (profiles) open(files Files, device, kind string) (file string, k keys) {
	if file, there := profileOf(files, device); there {
		return file, parseKeys(keyfile{}, files[file])
	}
	k = parseKeys(keyfile{}, made)
	k.setAll("connection", pair{"id", device}, pair{"uuid", uuid(device)}, pair{"type", profileType(kind)}, pair{"interface-name", device}, pair{"autoconnect-priority", "1"})
	k.set("ipv4", "method", "disabled")
	k.set("ipv6", "method", "ignore")
	return profilePath(device), k
}

// uuid is that of the profile of a device: the same at every check.
func uuid(device string) string {
	sum := sha1.Sum([]byte("weft network profile " + device))
	sum[6] = sum[6]&0x0f | 0x50 // version 5 of RFC 9562, of a name space of our own
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// fileName spells a device's name in characters that mean nothing in a path.
func fileName(device string) string { return strings.ReplaceAll(device, "/", "_") }

func (p profiles) keep(files Files, part Part) (notes []string, err error) {
	if err := p.unclear(files, part); err != nil {
		return nil, err
	}
	switch part := part.(type) {
	case Link:
		return nil, p.link(files, part)
	case Addresses:
		return nil, p.addresses(files, part)
	case Bond:
		if part.Members != nil {
			p.expel(files, part.Device, part.Members)
		}
		p.join(files, part.Device, "bond", part.Members)
		return nil, p.bond(files, part)
	case VLAN:
		return nil, p.vlan(files, part)
	case Bridge:
		if part.Members != nil && !part.Open {
			p.expel(files, part.Device, part.Members)
		}
		p.join(files, part.Device, "bridge", part.Members)
		return nil, p.bridge(files, part)
	case OVSBridge:
		return nil, p.ovsBridge(files, part)
	case OVSPort, OVSPatch:
		return nil, p.ovsPorts(files, part)
	}
	return nil, cannot(part, NetworkManager)
}

func (p profiles) bond(files Files, b Bond) error {
	file, k := p.open(files, b.Device, "bond")
	for _, o := range slices.Sorted(maps.Keys(b.Options)) {
		if b.Options[o] == "" {
			k.set("bond", ipName(o), "")
		}
	}
	for _, o := range bondNames(b.Options) {
		if o == "lacp_active" {
			return unknownOption(o, b.Device, NetworkManager)
		}
		k.set("bond", ipName(o), b.Options[o])
	}
	files[file] = k.String()
	return p.link(files, b.link(b.Device, "bond"))
}

func (p profiles) vlan(files Files, v VLAN) error {
	file, k := p.open(files, v.Device, "vlan")
	k.setAll("vlan", pair{"id", strconv.Itoa(v.ID)}, pair{"parent", v.Link})
	if protocol, there := k.get("vlan", "protocol"); there || v.Protocol != "" && v.Protocol != "802.1Q" {
		k.set("vlan", "protocol", cmp.Or(v.Protocol, protocol))
	}
	if len(v.Options) > 0 {
		text, there := k.get("vlan", "flags")
		flags, err := strconv.Atoi(text)
		if err != nil {
			flags = 1 // which NetworkManager has where nothing is said
		}
		was := flags
		for o, bit := range map[string]int{"reorder_hdr": 1, "gvrp": 2, "loose_binding": 4, "mvrp": 8} {
			switch v.Options[o] {
			case "1":
				flags |= bit
			case "0":
				flags &^= bit
			}
		}
		if flags != was || there && err != nil {
			k.set("vlan", "flags", strconv.Itoa(flags))
		}
	}
	files[file] = k.String()
	return p.link(files, v.link(v.Device, "vlan"))
}

func (p profiles) link(files Files, l Link) error {
	file, k := p.open(files, l.Device, l.Kind)
	if _, there := files[file]; !there && profileType(l.Kind) != "ethernet" {
		return makesNone(l.Device)
	}
	group := ethernetGroup(k)
	if l.MTU != 0 {
		k.set(group, "mtu", strconv.Itoa(l.MTU))
	}
	if now, _ := k.get(group, "cloned-mac-address"); l.MAC != "" && !strings.EqualFold(now, l.MAC) {
		k.set(group, "cloned-mac-address", l.MAC)
	}
	k.autoconnect(!l.Down)
	files[file] = k.String()
	return nil
}

func makesNone(device string) error {
	return fmt.Errorf("no profile of NetworkManager makes %s: say persist in the step that makes it, before this one", device)
}

// autoconnect sets whether the profile is activated at boot; that is so where
// nothing is said.
func (k *keys) autoconnect(on bool) {
	switch now := k.autoconnects(); {
	case on && !now:
		k.set("connection", "autoconnect", "")
	case !on && now:
		k.set("connection", "autoconnect", "false")
	}
}

// autoconnects reads the switch in both spellings that GLib takes.
func (k keys) autoconnects() bool {
	now, _ := k.get("connection", "autoconnect")
	return now != "false" && now != "0"
}

// ethernetGroup is where MTU and Ethernet address stand of all types.
func ethernetGroup(k keys) string {
	for _, e := range k.entries {
		if e.opens && e.group == "802-3-ethernet" {
			return e.group
		}
	}
	return "ethernet"
}

// skeleton says whether a profile says nothing but which device it is of.
func (k keys) skeleton() bool {
	for _, e := range k.entries {
		switch at := e.group + "." + e.key; at {
		case "connection.id", "connection.uuid", "connection.type", "connection.interface-name", "connection.autoconnect-priority":
		case "ipv4.method", "ipv6.method":
			if e.value != "disabled" && e.value != "ignore" {
				return false
			}
		default:
			if e.key != "" {
				return false
			}
		}
	}
	return true
}

// expel takes profiles out of a bond or a bridge that are no members.
func (p profiles) expel(files Files, master string, members []string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		k := parseKeys(keyfile{}, files[name])
		device, _ := k.get("connection", "interface-name")
		if !strings.HasPrefix(name, keyfileDirectory+"/") {
			continue
		}
		if now, _ := controller(k); names(files, now, master) && !slices.Contains(members, device) {
			k.replace("connection", memberKey)
			files[name] = k.String()
		}
	}
}

// join puts profiles below a bond or a bridge.
func (p profiles) join(files Files, master, kind string, members []string) {
	for _, m := range members {
		file, k := p.open(files, m, "")
		if now, as := controller(k); !names(files, now, master) || as != kind {
			k.replace("connection", memberKey, pair{"master", master}, pair{"slave-type", kind})
		}
		files[file] = k.String()
	}
}

// names says whether a word means a device: by its name, or by the uuid of its
// profile.
func names(files Files, word, device string) bool {
	file, there := profileOf(files, device)
	id, _ := parseKeys(keyfile{}, files[file]).get("connection", "uuid")
	return word == device || there && word != "" && word == id
}

// controller is what a profile is below. NetworkManager 1.46 has new names for
// it, and reads the old ones, too.
func controller(k keys) (device, kind string) {
	for _, p := range k.match("connection", memberKey) {
		switch p.key {
		case "master", "controller":
			device = p.value
		default:
			kind = p.value
		}
	}
	return device, kind
}

func memberKey(key string) bool {
	return slices.Contains([]string{"master", "slave-type", "controller", "port-type"}, key)
}

// bridgeKey is NetworkManager's name of an option of a bridge.
func bridgeKey(option string) string {
	switch option {
	case "stp_state":
		return "stp"
	case "mcast_snooping", "mcast_querier":
		return "multicast-" + strings.TrimPrefix(option, "mcast_")
	case "group_fwd_mask":
		return "group-forward-mask"
	}
	return strings.ReplaceAll(option, "_", "-")
}

func (p profiles) bridge(files Files, b Bridge) error {
	file, k := p.open(files, b.Device, "bridge")
	if _, there := files[file]; !there {
		k.set("bridge", "stp", "false") // which the kernel has, and NetworkManager has not
	}
	for _, o := range slices.Sorted(maps.Keys(b.Options)) {
		key, value := bridgeKey(o), b.Options[o]
		switch {
		case timed(o):
			var err error
			if value, err = seconds(b.Device, o, value); err != nil {
				return err
			}
		case o != "priority" && o != "group_fwd_mask":
			value = strconv.FormatBool(value == "1")
		}
		if now, there := k.get("bridge", key); !there && standard(key, value) || now == value {
			continue
		}
		k.set("bridge", key, value)
	}
	files[file] = k.String()
	return p.link(files, b.link(b.Device, "bridge"))
}

// standard says whether NetworkManager has a value where none is said.
func standard(key, value string) bool {
	switch key {
	case "stp", "multicast-snooping":
		return value == "true"
	case "vlan-filtering", "multicast-querier":
		return value == "false"
	case "group-forward-mask":
		return value == "0"
	case "forward-delay":
		return value == "15"
	case "hello-time":
		return value == "2"
	case "max-age":
		return value == "20"
	case "ageing-time":
		return value == "300"
	case "priority":
		return value == "32768"
	}
	return false
}

// madeProfile says whether weft made the profile of a device. NetworkManager drops
// the comment that says so when it rewrites one, and keeps the uuid.
func madeProfile(text, device string) bool {
	id, _ := parseKeys(keyfile{}, text).get("connection", "uuid")
	return strings.HasPrefix(text, made) || id == uuid(device)
}

// makesItself is the error of a device that is to be kept no more, and that a file of
// another hand makes.
func makesItself(file, kind, device string) error {
	return fmt.Errorf("%s makes the %s %s at boot, and weft did not make that file: remove it, or leave persist out", file, kind, device)
}

// drop takes out of a profile that we made the keys of a part, and removes it
// with the last of them. What makes a device goes whole.
func (p profiles) drop(files Files, part Part) error {
	file, there := profileOf(files, part.Of())
	if kind := making(part); kind != "" && there && !madeProfile(files[file], part.Of()) {
		return makesItself(file, kind, part.Of())
	}
	switch part := part.(type) {
	case Bond, Bridge:
		p.expel(files, part.Of(), nil)
	case VLAN:
	case OVSBridge, OVSPort, OVSPatch:
		p.dropOVS(files, part)
		return nil
	case Link, Addresses:
		if !there || !madeProfile(files[file], part.Of()) {
			return nil
		}
		k := parseKeys(keyfile{}, files[file])
		if _, link := part.(Link); link {
			k.setAll(ethernetGroup(k), pair{"mtu", ""}, pair{"cloned-mac-address", ""})
			k.autoconnect(true)
		} else {
			for group, none := range map[string]string{"ipv4": "disabled", "ipv6": "ignore"} {
				k.replace(group, ipKey, pair{"method", none})
				if dns := k.match(group, dnsKey); len(dns) > 0 {
					return fmt.Errorf("%s: [%s] has %s=, which NetworkManager refuses without addresses: take it out first", file, group, dns[0].key)
				}
			}
		}
		files[file] = k.String()
		if k.skeleton() {
			delete(files, file)
		}
		return nil
	default:
		return cannot(part, NetworkManager)
	}
	if there {
		delete(files, file)
	}
	return nil
}
