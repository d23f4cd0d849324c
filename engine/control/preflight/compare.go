package preflight

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host"
)

// twins are hosts that share what each must have for itself, because one was
// cloned from the other.
func twins(hosts []Host) []Finding {
	var all []Finding
	for _, id := range []struct {
		name, why, do string
		of            func(Host) []string
	}{
		{
			"machine-id", "DHCP servers, journals and OVN take such hosts for one",
			"on all but one: rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; reboot",
			func(h Host) []string { return []string{h.Facts.MachineID} },
		},
		{
			"Open vSwitch system-id", "OVN keeps one Chassis for both, and they take the ports from each other without end",
			"on all but one: stop ovn-controller, remove /etc/openvswitch/system-id.conf, restart Open vSwitch, and have ovn_chassis set a new one",
			func(h Host) []string { return []string{h.Facts.OVSSystemID} },
		},
		{
			"MAC", "switches send the frames of both to whoever spoke last",
			"give one of them another address: in its hypervisor, or by net_link",
			Host.macs,
		},
	} {
		having := map[string][]string{}
		for _, h := range hosts {
			for _, value := range id.of(h) {
				if value != "" && !slices.Contains(having[value], h.Name) {
					having[value] = append(having[value], h.Name)
				}
			}
		}
		for _, value := range slices.Sorted(maps.Keys(having)) {
			names := having[value]
			for _, name := range names[1:] {
				others := slices.DeleteFunc(slices.Clone(names), func(o string) bool { return o == name })
				all = append(all, Finding{Host: name, Severity: Problem, Why: id.why, Do: id.do,
					What: fmt.Sprintf("it has the same %s as %s: %s", id.name, strings.Join(others, ", "), value)})
			}
		}
	}
	return all
}

// macs are those of its devices, and of other links that have addresses for the
// world outside.
func (h Host) macs() []string {
	var macs []string
	for _, d := range h.Facts.PCI {
		macs = slices.AppendSeq(macs, maps.Values(d.Links))
	}
	for name, l := range h.Facts.Links {
		if len(l.Addresses) > 0 && !inside(name) {
			macs = append(macs, l.MAC)
		}
	}
	return slices.DeleteFunc(macs, func(m string) bool { return m == "00:00:00:00:00:00" })
}

// inside says whether a link is a bridge that Docker, libvirt, LXD or Podman
// keeps within each host, alike on all.
func inside(link string) bool {
	for _, prefix := range []string{"lo", "docker", "virbr", "lxdbr", "lxcbr", "podman", "cni"} {
		if rest, ok := strings.CutPrefix(link, prefix); ok && strings.Trim(rest, "0123456789") == "" {
			return true
		}
	}
	return len(link) == 15 && strings.HasPrefix(link, "br-") // Docker's, by the network's id
}

// tunnels are links that tunnels go over and that leave guests less than they
// count on. On a bare host the step that makes the tunnels cannot look yet.
func (h Host) tunnels() []Finding {
	const (
		usual = 1500 // of an underlay, and of what guests get of it: 1442
		v4    = 58   // bytes of Geneve: IPv4, UDP, its header, OVN's option, the inner Ethernet header
		v6    = v4 + 20
	)
	var all []Finding
	for _, u := range h.Units {
		var spec struct {
			IP string `json:"encap_ip"`
		}
		if json.Unmarshal(u.Spec, &spec) != nil { // another kind's attribute of that name
			continue
		}
		for text := range strings.SplitSeq(spec.IP, ",") {
			ip, err := netip.ParseAddr(strings.TrimSpace(text))
			link, l := h.carrying(ip)
			if err != nil || l == nil || l.MTU >= usual {
				continue
			}
			head := v4
			if ip.Is6() {
				head = v6
			}
			all = append(all, Finding{Host: h.Name, Severity: Problem, Step: u.Address,
				What: fmt.Sprintf("%s, which its tunnels go over, has MTU %d: Geneve leaves guests %d", link, l.MTU, l.MTU-head),
				Why:  fmt.Sprintf("guests usually have %d or more, and their larger packets are lost", usual-v4),
				Do:   fmt.Sprintf("give %s at least %d (net_link, and the switches between), or the guests less", link, usual)})
		}
	}
	return all
}

// carrying is the link that has an address.
func (h Host) carrying(ip netip.Addr) (string, *host.NIC) {
	for name, l := range h.Facts.Links {
		for _, a := range l.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && p.Addr() == ip {
				return name, l
			}
		}
	}
	return "", nil
}

// end is a link of a host in a network.
type end struct {
	host, link string
	mtu        int
}

// mtus compares the links of a network that hosts are in together.
func mtus(hosts []Host) []Finding {
	ends := map[netip.Prefix][]end{}
	for _, h := range hosts {
		for _, name := range slices.Sorted(maps.Keys(h.Facts.Links)) {
			l := h.Facts.Links[name]
			for _, a := range l.Addresses {
				p, err := netip.ParsePrefix(a)
				if err != nil || inside(name) || p.IsSingleIP() || p.Addr().IsLinkLocalUnicast() {
					continue
				}
				ends[p.Masked()] = append(ends[p.Masked()], end{h.Name, name, l.MTU})
			}
		}
	}
	var all []Finding
	for _, network := range slices.SortedFunc(maps.Keys(ends), netip.Prefix.Compare) {
		all = append(all, uneven(network, ends[network])...)
	}
	return all
}

// uneven names the ends whose MTU is smaller than another's.
func uneven(network netip.Prefix, ends []end) []Finding {
	most := slices.MaxFunc(ends, func(a, b end) int { return a.mtu - b.mtu })
	var all []Finding
	for _, e := range ends {
		if e.mtu >= most.mtu || e.host == most.host {
			continue
		}
		all = append(all, Finding{Host: e.host, Severity: Problem,
			What: fmt.Sprintf("%s has MTU %d, and %s of %s in the same network %s has %d", e.link, e.mtu, most.link, most.host, network, most.mtu),
			Why:  "larger packets, those of tunnels among them, are lost without a word",
			Do:   "give all links of a network one MTU (net_link, and the switches between)"})
	}
	return all
}
