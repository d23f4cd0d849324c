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
	if l.MTU != 0 {
		p.line(3, "mtu: "+strconv.Itoa(l.MTU))
	}
	if l.MAC != "" {
		p.line(3, `macaddress: "`+l.MAC+`"`)
	}
	if l.Down {
		p.line(3, `activation-mode: "off"`)
	}
	if l.MTU == 0 && l.MAC == "" && !l.Down {
		p.line(3, "optional: true") // brought up, and nobody waits for it
	}
	return p.String()
}

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
		p.line(3, "routes:")
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

// members lists devices and defines those that no file describes.
func (p *plan) members(list []string, parsed parsedPlans) {
	if len(list) == 0 {
		p.line(3, "interfaces: []")
		return
	}
	p.line(3, "interfaces:")
	for _, m := range list {
		p.line(3, "- "+yamlWord(parsed.of(m, "").id))
	}
}

func (p *plan) undescribed(list []string, parsed parsedPlans) {
	list = slices.DeleteFunc(slices.Clone(list), parsed.there)
	if len(list) == 0 {
		return
	}
	p.line(1, "ethernets:")
	for _, m := range list {
		p.line(2, yamlWord(m)+": {}")
	}
}

// parameters writes options under their names in netplan.
func (p *plan) parameters(device string, options map[string]string, names map[string]string, flags ...string) error {
	if len(options) == 0 {
		return nil
	}
	p.line(3, "parameters:")
	for _, o := range slices.Sorted(maps.Keys(options)) {
		name, known := names[o]
		if !known {
			return fmt.Errorf("netplan has no parameter for %s of %s: leave persist out, or name another way in persist_by", o, device)
		}
		value := options[o]
		if slices.Contains(flags, o) {
			value = strconv.FormatBool(value == "1" || value == "on")
		}
		p.line(4, name+": "+yamlWord(value))
	}
	return nil
}

func bondPlan(b Bond, parsed parsedPlans) (string, error) {
	var p plan
	members := slices.Sorted(slices.Values(b.Members))
	p.undescribed(members, parsed)
	p.define(parsed.of(b.Device, "bond"))
	p.members(members, parsed)
	err := p.parameters(b.Device, b.Options, map[string]string{
		"mode": "mode", "miimon": "mii-monitor-interval", "lacp_rate": "lacp-rate", "xmit_hash_policy": "transmit-hash-policy",
		"ad_select": "ad-select", "min_links": "min-links", "updelay": "up-delay", "downdelay": "down-delay", "primary": "primary",
		"primary_reselect": "primary-reselect-policy", "arp_interval": "arp-interval", "arp_validate": "arp-validate",
		"arp_all_targets": "arp-all-targets", "fail_over_mac": "fail-over-mac-policy", "num_grat_arp": "gratuitous-arp",
		"packets_per_slave": "packets-per-slave", "resend_igmp": "resend-igmp", "lp_interval": "learn-packet-interval",
		"all_slaves_active": "all-slaves-active",
	}, "all_slaves_active")
	return p.String(), err
}

func vlanPlan(v VLAN, parsed parsedPlans) (string, error) {
	if v.Protocol != "" && v.Protocol != "802.1Q" {
		return "", fmt.Errorf("netplan makes no VLAN of protocol %s: leave persist out of %s, or name another way in persist_by", v.Protocol, v.Device)
	}
	var p plan
	p.undescribed([]string{v.Link}, parsed)
	p.define(parsed.of(v.Device, "vlan"))
	p.line(3, "id: "+strconv.Itoa(v.ID))
	p.line(3, "link: "+yamlWord(parsed.of(v.Link, "").id))
	return p.String(), nil
}

func bridgePlan(b Bridge, parsed parsedPlans) (string, error) {
	var p plan
	members := slices.Sorted(slices.Values(b.Members))
	p.undescribed(members, parsed)
	p.define(parsed.of(b.Device, "bridge"))
	p.members(members, parsed)
	options := map[string]string{}
	if !parsed.there(b.Device) {
		options["stp_state"] = "0" // which the kernel has, and netplan has not
	}
	maps.Copy(options, b.Options)
	err := p.parameters(b.Device, options, map[string]string{
		"stp_state": "stp", "forward_delay": "forward-delay", "hello_time": "hello-time", "max_age": "max-age",
		"ageing_time": "ageing-time", "priority": "priority",
	}, "stp_state")
	return p.String(), err
}
