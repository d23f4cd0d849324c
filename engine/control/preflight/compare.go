package preflight

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
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
