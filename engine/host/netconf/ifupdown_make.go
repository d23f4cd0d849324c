package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Devices are made by ip-link(8), which every host has: the hooks of ifenslave,
// vlan and bridge-utils are packages of their own. A device that is there
// already stays, and no-auto-down keeps it while networking.service restarts.

func makeStanza(object, name string, own Station, commands ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The %s %s, written by weft, which overwrites changes.\nauto %s\nno-auto-down %s\niface %s inet manual\n", object, name, name, name, name)
	for _, c := range commands {
		b.WriteString("    pre-up " + c + "\n")
	}
	b.WriteString(own.options())
	return b.String()
}

// options are those of a stanza.
func (s Station) options() string {
	var b strings.Builder
	if s.MTU != 0 {
		fmt.Fprintf(&b, "    mtu %d\n", s.MTU)
	}
	if s.MAC != "" {
		fmt.Fprintf(&b, "    hwaddress %s\n", s.MAC)
	}
	if s.Down {
		b.WriteString("    up ip link set dev $IFACE down\n")
	}
	return b.String()
}

func bondStanza(p Bond) string {
	words := []string{"ip link add dev $IFACE type bond"}
	for _, k := range bondNames(p.Options) {
		if k != "primary" { // its member comes later
			words = append(words, ipName(k), onOff(k, p.Options[k]))
		}
	}
	commands := []string{strings.Join(words, " ") + " || true"}
	for _, m := range slices.Sorted(slices.Values(p.Members)) {
		commands = append(commands,
			fmt.Sprintf("ip link set dev %s down", m),
			fmt.Sprintf("ip link set dev %s master $IFACE", m))
	}
	if primary := p.Options["primary"]; primary != "" {
		commands = append(commands, "ip link set dev $IFACE type bond primary "+primary)
	}
	return makeStanza("bond", p.Device, p.Station, commands...)
}

// bondNames are the names of options that have a value, the mode first: whether
// others can be set hangs on it.
func bondNames(options map[string]string) []string {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(options)), func(k string) bool { return options[k] == "" })
	if i := slices.Index(keys, "mode"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "mode")
	}
	return keys
}

// ipName is how ip-link(8) calls an option.
func ipName(option string) string {
	if option == "num_peer_notif" {
		return "num_grat_arp"
	}
	return option
}

// onOff spells a switch as ip-link(8) takes it.
func onOff(option, value string) string {
	if slices.Contains([]string{"lacp_active", "reorder_hdr", "gvrp", "mvrp", "loose_binding"}, option) {
		return map[string]string{"0": "off", "1": "on"}[value]
	}
	return value
}

func vlanStanza(p VLAN) string {
	words := []string{"ip link add link", p.Link, "name $IFACE type vlan"}
	if p.Protocol != "" {
		words = append(words, "protocol", p.Protocol)
	}
	words = append(words, "id", strconv.Itoa(p.ID))
	for _, k := range slices.Sorted(maps.Keys(p.Options)) {
		words = append(words, k, onOff(k, p.Options[k]))
	}
	return makeStanza("VLAN", p.Device, p.Station, "ip link set dev "+p.Link+" up", strings.Join(words, " ")+" || true")
}

func bridgeStanza(p Bridge) string {
	words := []string{"ip link add dev $IFACE type bridge"}
	for _, k := range slices.Sorted(maps.Keys(p.Options)) {
		words = append(words, k, p.Options[k])
	}
	commands := []string{strings.Join(words, " ") + " || true"}
	for _, m := range slices.Sorted(slices.Values(p.Members)) {
		commands = append(commands, fmt.Sprintf("ip link set dev %s master $IFACE up", m))
	}
	return makeStanza("bridge", p.Device, p.Station, commands...)
}

// timed says whether an option of a bridge is a time.
func timed(option string) bool {
	return slices.Contains([]string{"forward_delay", "hello_time", "max_age", "ageing_time"}, option)
}

// seconds spells a time in whole seconds, which is all that a family can say.
func seconds(device, option, value string) (string, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n%100 != 0 {
		return "", fmt.Errorf("%s of %s is no number of whole seconds, which alone can be kept so: leave persist out, or name another way in persist_by", option, device)
	}
	return strconv.Itoa(n / 100), nil
}
