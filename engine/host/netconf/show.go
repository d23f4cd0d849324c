package netconf

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"weft/engine/host/ifupdown"
)

// ownKeys are those that weft sets, as the families spell them, beside those of
// addresses, routes and DNS. None of them holds a secret.
func ownKeys() []string {
	return []string{
		// keyfiles
		"id", "uuid", "type", "interface-name", "autoconnect", "autoconnect-priority", "cloned-mac-address", "parent", "flags", "protocol",
		"master", "slave-type", "controller", "port-type", "stp", "priority", "vlan-filtering", "multicast-snooping", "multicast-querier", "group-forward-mask",
		"forward-delay", "hello-time", "max-age", "ageing-time",
		"mode", "miimon", "lacp_rate", "xmit_hash_policy", "ad_select", "min_links", "updelay", "downdelay", "primary", "primary_reselect",
		"arp_interval", "arp_validate", "arp_ip_target", "fail_over_mac", "num_grat_arp", "packets_per_slave", "resend_igmp", "all_slaves_active",
		// network-scripts
		"DEVICE", "TYPE", "ONBOOT", "MTU", "MACADDR", "MASTER", "SLAVE", "BRIDGE", "BONDING_MASTER", "BONDING_OPTS", "BRIDGING_OPTS", "STP", "DELAY",
		"VLAN", "PHYSDEV", "VLAN_ID", "VLAN_PROTOCOL", "VLAN_FLAGS", "REORDER_HDR", "GVRP", "MVRP", "IPV6INIT", "MASTER_UUID", "BRIDGE_UUID",
		// netplan
		"dhcp4", "mtu", "macaddress", "activation-mode", "addresses", "routes", "gateway4", "gateway6", "interfaces", "to", "via", "metric", "from", "on-link", "scope",
		// Open vSwitch
		"DEVICETYPE", "HOTPLUG", "BOND_IFACES", "OVS_BRIDGE", "OVS_EXTRA", "OVS_OPTIONS", "OVS_PATCH_PEER", "OVS_TUNNEL_OPTIONS", "OVS_TUNNEL_TYPE",
		"datapath-type", "fail-mode", "stp-enable", "rstp-enable", "mcast-snooping-enable", "tag", "trunks", "vlan-mode", "lacp",
		"bond-mode", "bond-updelay", "bond-downdelay", "peer",
		// ifupdown
		"auto", "iface", "address", "netmask", "broadcast", "network", "pointopoint", "gateway", "hwaddress",
	}
}

// Shown is a line of a file as a plan may show it: whole of a file of weft's own,
// and of another's what weft sets there. Of all else the key alone is shown, for
// its value may be a secret.
func Shown(file, line string) string {
	text := strings.TrimSpace(line)
	if text == "" || ifupdown.PurposeOf(file) != "" || strings.HasPrefix(file, netplanOwn) || line+"\n" == made || strings.HasPrefix(text, madeRoutes) {
		return line
	}
	if marked, ok := strings.CutPrefix(line, "#weft "); ok {
		return "#weft " + shownMarked(file, marked)
	}
	switch {
	case strings.HasPrefix(text, "#"):
		return "#…"
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		return line
	case strings.HasPrefix(path.Base(file), "route"):
		if _, err := parseRoute(strings.Fields(text)); err != nil {
			return "…"
		}
		return line
	}
	return shownValue(file, line)
}

// shownMarked is a line that was put out of force: in files of ifupdown the number
// of the release and the device come first.
func shownMarked(file, line string) string {
	if strings.HasSuffix(file, ".yaml") {
		return Shown(file, line)
	}
	words := strings.SplitN(line, " ", 3)
	if len(words) < 3 {
		return "…"
	}
	return words[0] + " " + words[1] + " " + Shown(file, words[2])
}

func shownValue(file, line string) string {
	text := strings.TrimSpace(line)
	between := "="
	switch {
	case strings.HasSuffix(file, ".yaml"):
		if strings.HasPrefix(text, "- ") && !strings.Contains(text, ": ") {
			return shownItem(line)
		}
		between = ":"
	case path.Dir(file) == scriptDirectory || path.Base(path.Dir(file)) == path.Base(keyfileDirectory):
	default:
		if w := strings.Fields(text); slices.Contains(ownKeys(), w[0]) || ifupdown.CommandGives(w) {
			return line
		}
		return strings.Fields(text)[0] + " …"
	}
	key, value, ok := strings.Cut(text, between)
	bare := strings.TrimSpace(strings.TrimPrefix(key, "- "))
	switch {
	case !ok:
		return "…"
	case strings.TrimSpace(value) == "", slices.Contains(ownKeys(), bare), ipKey(bare), dnsKey(bare), scriptIPKey(bare), scriptDNS(bare):
		return line
	}
	return line[:strings.Index(line, between)] + between + "…"
}

// shownItem is an entry of a sequence: an address, or a secret for all we know.
func shownItem(line string) string {
	text := strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "- "), `"' `)
	if _, err := netip.ParsePrefix(text); err == nil {
		return line
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return line
	}
	return line[:strings.Index(line, "-")] + "- …"
}
