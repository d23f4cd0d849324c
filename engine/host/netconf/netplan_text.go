package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// plan is the text of a file: lines below a definition.
type plan struct{ strings.Builder }

func (p *plan) define(d definition) {
	fmt.Fprintf(p, "  %s:\n    %s:\n", d.section, yamlWord(d.id))
}

func (p *plan) line(depth int, text string) {
	p.WriteString(strings.Repeat("  ", depth) + text + "\n")
}

// yamlWord spells a name. Names of devices that would mean something else are
// quoted.
func yamlWord(s string) string {
	if plainScalar(s) == nil && !strings.ContainsAny(s, "#,[]{} ") {
		return s
	}
	return `"` + s + `"`
}

func linkPlan(l Link, d definition) string {
	var p plan
	p.define(d)
	own := Station{l.MTU, l.MAC, l.Down}
	p.station(own)
	if own == (Station{}) {
		p.line(3, "optional: true") // brought up, and nobody waits for it
	}
	return p.String()
}

func (p *plan) station(s Station) {
	if s.MTU != 0 {
		p.line(3, "mtu: "+strconv.Itoa(s.MTU))
	}
	if s.MAC != "" {
		p.line(3, `macaddress: "`+s.MAC+`"`)
	}
	if s.Down {
		p.line(3, `activation-mode: "off"`)
	}
}

// routesPlan begins the routes of a device, which are the last of its file.
const routesPlan = "      routes:\n"

func addressPlan(a Addresses, d definition) string {
	var p plan
	p.define(d)
	p.line(3, "dhcp4: "+strconv.FormatBool(a.DHCP))
	if a.MTU != 0 {
		p.line(3, "mtu: "+strconv.Itoa(a.MTU))
	}
	if len(a.Addresses) > 0 {
		p.line(3, "addresses:")
		for _, address := range a.Addresses {
			p.line(3, `- "`+address.String()+`"`)
		}
	}
	if len(a.Routes) > 0 {
		p.WriteString(routesPlan)
	}
	for _, r := range a.Routes {
		p.line(3, `- to: "`+r.Destination.String()+`"`)
		if r.Via.IsValid() {
			p.line(4, `via: "`+r.Via.String()+`"`)
		} else {
			p.line(4, "scope: link")
		}
		if n := metric(r); n != 0 {
			p.line(4, "metric: "+strconv.Itoa(n))
		}
		if r.Source.IsValid() {
			p.line(4, `from: "`+r.Source.String()+`"`)
		}
		if r.OnLink {
			p.line(4, "on-link: true")
		}
	}
	return p.String()
}

// members lists devices.
func (p *plan) members(list []string, parsed parsedPlans) {
	if list == nil {
		return
	}
	if len(list) == 0 {
		p.line(3, "interfaces: []")
		return
	}
	p.line(3, "interfaces:")
	for _, m := range slices.Sorted(slices.Values(list)) {
		p.line(3, "- "+yamlWord(parsed.of(m, "").id))
	}
}

// undescribed defines devices that no file describes.
func (p *plan) undescribed(list []string, parsed parsedPlans) {
	list = slices.DeleteFunc(slices.Sorted(slices.Values(list)), parsed.there)
	if len(list) == 0 {
		return
	}
	p.line(1, "ethernets:")
	for _, m := range list {
		p.line(2, yamlWord(m)+": {}")
	}
}

// parameters writes options under their names in netplan.
func (p *plan) parameters(device string, options, names map[string]string, flags ...string) error {
	opened := false
	for _, o := range slices.Sorted(maps.Keys(options)) {
		value, name := options[o], names[o]
		switch {
		case value == "":
			continue
		case name == "":
			return unknownOption(o, device, Netplan)
		case slices.Contains(flags, o):
			value = strconv.FormatBool(value == "1")
		case timed(o):
			var err error
			if value, err = seconds(device, o, value); err != nil {
				return err
			}
		}
		if !opened {
			p.line(3, "parameters:")
			opened = true
		}
		if list := strings.Split(value, ","); o == "arp_ip_target" {
			p.line(4, name+": ["+strings.Join(list, ", ")+"]")
			continue
		}
		p.line(4, name+": "+yamlWord(value))
	}
	return nil
}

func bondPlan(b Bond, parsed parsedPlans) (string, error) {
	var p plan
	p.undescribed(b.Members, parsed)
	p.define(parsed.of(b.Device, "bond"))
	p.station(b.Station)
	p.members(b.Members, parsed)
	err := p.parameters(b.Device, b.Options, map[string]string{
		"mode": "mode", "miimon": "mii-monitor-interval", "lacp_rate": "lacp-rate", "xmit_hash_policy": "transmit-hash-policy",
		"ad_select": "ad-select", "min_links": "min-links", "updelay": "up-delay", "downdelay": "down-delay", "primary": "primary",
		"primary_reselect": "primary-reselect-policy", "arp_interval": "arp-interval", "arp_validate": "arp-validate",
		"arp_ip_target": "arp-ip-targets", "fail_over_mac": "fail-over-mac-policy", "num_peer_notif": "gratuitous-arp",
		"packets_per_slave": "packets-per-slave", "resend_igmp": "resend-igmp", "all_slaves_active": "all-slaves-active",
	}, "all_slaves_active")
	return p.String(), err
}

func vlanPlan(v VLAN, parsed parsedPlans) (string, error) {
	if v.Protocol != "" && v.Protocol != "802.1Q" {
		return "", unknownOption("protocol "+v.Protocol, v.Device, Netplan)
	}
	for _, o := range slices.Sorted(maps.Keys(v.Options)) {
		if kernels := o == "reorder_hdr"; (v.Options[o] == "1") != kernels {
			return "", unknownOption(o, v.Device, Netplan)
		}
	}
	var p plan
	p.undescribed([]string{v.Link}, parsed)
	p.define(parsed.of(v.Device, "vlan"))
	p.station(v.Station)
	p.line(3, "id: "+strconv.Itoa(v.ID))
	p.line(3, "link: "+yamlWord(parsed.of(v.Link, "").id))
	return p.String(), nil
}

func bridgePlan(b Bridge, parsed parsedPlans) (string, error) {
	var p plan
	p.undescribed(b.Members, parsed)
	p.define(parsed.of(b.Device, "bridge"))
	p.station(b.Station)
	p.members(b.Members, parsed)
	options := map[string]string{}
	if !parsed.there(b.Device) {
		options["stp_state"] = "0" // which the kernel has, and netplan has not
	}
	maps.Copy(options, b.Options)
	for o, kernels := range map[string]string{"vlan_filtering": "0", "mcast_snooping": "1", "mcast_querier": "0", "group_fwd_mask": "0"} {
		if options[o] == kernels {
			delete(options, o) // as without a word of it
		}
	}
	err := p.parameters(b.Device, options, map[string]string{
		"stp_state": "stp", "forward_delay": "forward-delay", "hello_time": "hello-time", "max_age": "max-age",
		"ageing_time": "ageing-time", "priority": "priority",
	}, "stp_state")
	return p.String(), err
}
