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

func makeStanza(object, name string, commands ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The %s %s, written by weft, which overwrites changes.\nauto %s\nno-auto-down %s\niface %s inet manual\n", object, name, name, name, name)
	for _, c := range commands {
		b.WriteString("    pre-up " + c + "\n")
	}
	return b.String()
}

func bondStanza(p Bond) string {
	words := []string{"ip link add dev $IFACE type bond"}
	for _, k := range bondNames(p.Options) {
		if k == "primary" {
			continue // its member comes later
		}
		words = append(words, k, p.Options[k])
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
	return makeStanza("bond", p.Device, commands...)
}

// bondNames are the names of options with the mode first: whether others can be
// set hangs on it.
func bondNames(options map[string]string) []string {
	keys := slices.Sorted(maps.Keys(options))
	if i := slices.Index(keys, "mode"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "mode")
	}
	return keys
}

func vlanStanza(p VLAN) string {
	protocol := ""
	if p.Protocol != "" {
		protocol = " protocol " + p.Protocol
	}
	return makeStanza("VLAN", p.Device,
		fmt.Sprintf("ip link set dev %s up", p.Link),
		fmt.Sprintf("ip link add link %s name $IFACE type vlan%s id %d || true", p.Link, protocol, p.ID))
}

func bridgeStanza(p Bridge) string {
	words := []string{"ip link add dev $IFACE type bridge"}
	for _, k := range slices.Sorted(maps.Keys(p.Options)) {
		words = append(words, k, ticks(k, p.Options[k]))
	}
	commands := []string{strings.Join(words, " ") + " || true"}
	for _, m := range slices.Sorted(slices.Values(p.Members)) {
		commands = append(commands, fmt.Sprintf("ip link set dev %s master $IFACE up", m))
	}
	return makeStanza("bridge", p.Device, commands...)
}

// ticks spells a time of a bridge as the kernel takes it: in hundredths of a
// second.
func ticks(option, value string) string {
	if n, err := strconv.Atoi(value); err == nil && slices.Contains([]string{"forward_delay", "hello_time", "max_age", "ageing_time"}, option) {
		return strconv.Itoa(100 * n)
	}
	return value
}
