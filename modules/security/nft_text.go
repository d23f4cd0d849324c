package security

import (
	"fmt"
	"slices"
	"strings"
)

// nftServices are the services that hypervisors have, by firewalld's names.
func nftServices() map[string][]string {
	return map[string][]string{
		"ssh": {"22/tcp"}, "http": {"80/tcp"}, "https": {"443/tcp"}, "ntp": {"123/udp"}, "snmp": {"161/udp"}, "syslog": {"514/udp"},
		"dns": {"53/tcp", "53/udp"}, "dhcp": {"67/udp"}, "dhcpv6": {"547/udp"}, "dhcpv6-client": {"546/udp"}, "tftp": {"69/udp"}, "nfs": {"2049/tcp"}, "cockpit": {"9090/tcp"},
		"vxlan": {"4789/udp"}, "geneve": {"6081/udp"}, "libvirt": {"16509/tcp"}, "libvirt-tls": {"16514/tcp"}, "vnc-server": {"5900-5903/tcp"}, "bgp": {"179/tcp"},
		"prometheus-node-exporter": {"9100/tcp"},
	}
}

// nft is the table as nft(8) reads it.
func (s FirewallSpec) nft(name string) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\t\t"+format+"\n", args...) }
	b.WriteString("table inet " + name + " {\n\tchain input {\n")
	line("type filter hook input priority filter; policy accept;")
	links, v4, v6 := quotedNames(s.Interfaces), sourcesOf(s.Sources, true), sourcesOf(s.Sources, false)
	if links != "" {
		line("iifname { %s } goto zone", links)
	}
	if v4 != "" {
		line("ip saddr { %s } goto zone", v4)
	}
	if v6 != "" {
		line("ip6 saddr { %s } goto zone", v6)
	}
	if len(s.Interfaces)+len(s.Sources) == 0 {
		line("goto zone")
	}
	b.WriteString("\t}\n\n\tchain zone {\n")
	line("ct state established,related accept")
	line(`iifname "lo" accept`)
	line("meta l4proto { icmp, ipv6-icmp } accept")
	ports, err := s.allPorts()
	if err != nil {
		return "", err
	}
	for _, p := range ports {
		number, protocol, _ := parsePort(p)
		line("%s dport %s accept", protocol, number)
	}
	for _, r := range s.Rules {
		line("%s", strings.TrimSpace(r))
	}
	if s.Target == "drop" || s.Target == "reject" {
		line("%s", s.Target)
	}
	b.WriteString("\t}\n}\n")
	return b.String(), nil
}

// allPorts are those given, and those of the services.
func (s FirewallSpec) allPorts() ([]string, error) {
	var all []string
	known := nftServices()
	for _, name := range s.Services {
		ports, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("weft does not know the ports of service %s for nftables; name them in ports", name)
		}
		all = append(all, ports...)
	}
	all = append(all, s.Ports...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// quotedNames are names of links; a + at the end, as firewalld has it, is nft's *.
func quotedNames(names []string) string {
	var quoted []string
	for _, n := range slices.Sorted(slices.Values(names)) {
		if short, wild := strings.CutSuffix(n, "+"); wild {
			n = short + "*"
		}
		quoted = append(quoted, `"`+n+`"`)
	}
	return strings.Join(quoted, ", ")
}

// sourcesOf are the networks of one version of IP.
func sourcesOf(sources []string, v4 bool) string {
	var list []string
	for _, text := range sources {
		if p, err := parseSource(text); err == nil && p.Addr().Is4() == v4 {
			list = append(list, p.String())
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}
