package ovn

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weft/engine/step"
)

// Validate finds what the database would refuse or ovn-northd pass over.
func (s *LoadBalancerSpec) Validate() []step.Problem {
	problems := slices.Concat(
		validName("name", s.Name), validOnce("switches", s.Switches, nil), validOnce("routers", s.Routers, nil),
		s.selectionProblems(), s.optionProblems(), validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs))
	for _, name := range s.Switches {
		problems = append(problems, validName("switches", name)...)
	}
	for _, name := range s.Routers {
		problems = append(problems, validName("routers", name)...)
	}
	if s.template() { // its addresses are variables
		if len(s.HealthCheck) > 0 {
			problems = append(problems, step.Problem{Path: "health_check", Message: "is not for a load balancer with options:template"})
		}
		return problems
	}
	for vip, endpoints := range s.VIPs {
		problems = append(problems, vipProblems(vip, endpoints)...)
	}
	for endpoint, value := range s.IPPortMappings {
		problems = append(problems, mappingProblems(endpoint, value)...)
	}
	return append(problems, s.checkProblems()...)
}

func (s *LoadBalancerSpec) template() bool { return s.Options["template"].Or("") == "true" }

func (s *LoadBalancerSpec) selectionProblems() []step.Problem {
	known := []string{"eth_src", "eth_dst", "ip_src", "ip_dst", "tp_src", "tp_dst"}
	problems := validOnce("selection_fields", s.SelectionFields, nil)
	for _, field := range s.SelectionFields {
		switch {
		case !slices.Contains(known, field):
			problems = append(problems, step.Problem{Path: "selection_fields", Message: fmt.Sprintf("%q is no field to choose by", field), Hint: strings.Join(known, ", ") + " are"})
		case strings.HasPrefix(field, "tp_") && s.Protocol.Or("") == "":
			problems = append(problems, step.Problem{Path: "selection_fields", Message: field + " is of no known protocol", Hint: "give protocol too"})
		}
	}
	return problems
}

func (s *LoadBalancerSpec) optionProblems() []step.Problem {
	var problems []step.Problem
	if v, ok := s.Options["affinity_timeout"].Get(); ok {
		if n, err := strconv.Atoi(v); err != nil || n < 0 || n > 65535 {
			problems = append(problems, step.Problem{Path: "options.affinity_timeout", Message: fmt.Sprintf("%q is no number of seconds from 0 to 65535", v)})
		}
	}
	modes := []string{"reachable", "all", "none"}
	if v, ok := s.Options["neighbor_responder"].Get(); ok && !slices.Contains(modes, v) {
		problems = append(problems, step.Problem{Path: "options.neighbor_responder", Message: fmt.Sprintf("%q is no mode", v), Hint: strings.Join(modes, ", ") + " are"})
	}
	return problems
}

// checkProblems are those of health checks.
func (s *LoadBalancerSpec) checkProblems() []step.Problem {
	problem := func(message, hint string) step.Problem {
		return step.Problem{Path: "health_check", Message: message, Hint: hint}
	}
	if len(s.HealthCheck) > 0 && s.Protocol.Or("") == "sctp" {
		return []step.Problem{problem("is not for sctp", "OVN checks endpoints of tcp and udp alone")}
	}
	var problems []step.Problem
	var vips []string
	for _, check := range s.HealthCheck {
		vips = append(vips, check.VIP)
		e, err := addressAndPort(check.VIP)
		a, named := s.VIPs[check.VIP]
		switch {
		case err != nil || e.Port() == 0:
			problems = append(problems, problem(fmt.Sprintf("%q is no virtual address with a port", check.VIP), `write "10.0.0.10:80"`))
		case len(s.VIPs) > 0 && (!named || a.Absent()):
			problems = append(problems, problem(fmt.Sprintf("%q is none of vips", check.VIP), "write it as it stands there, with its port"))
		}
		for _, key := range []string{"interval", "timeout", "success_count", "failure_count"} {
			v, given := check.Options[key]
			if n, err := strconv.Atoi(v); given && (err != nil || n < 1) {
				problems = append(problems, problem(fmt.Sprintf("%s = %q is no number above 0", key, v), ""))
			}
		}
	}
	return append(problems, validOnce("health_check", vips, nil)...)
}

func vipProblems(vip string, endpoints step.Attr[string]) []step.Problem {
	path := "vips." + vip
	at, err := addressAndPort(vip)
	if err != nil {
		return []step.Problem{{Path: path, Message: "is no address with or without a port", Hint: `write "10.0.0.10:80", or "[fd00::10]:80" for IPv6`}}
	}
	if one := addressPortText(at); one != vip { // else one address could stand there twice
		return []step.Problem{{Path: path, Message: "is not in its usual spelling", Hint: fmt.Sprintf("write %q", one)}}
	}
	for _, text := range endpointsOf(endpoints.Or("")) {
		e, err := addressAndPort(text)
		switch {
		case err != nil:
			return []step.Problem{{Path: path, Message: fmt.Sprintf("%q is no endpoint", text), Hint: `write "172.16.1.11:8080,172.16.2.11:8080", without spaces`}}
		case e.Addr().Is4() != at.Addr().Is4():
			return []step.Problem{{Path: path, Message: fmt.Sprintf("endpoint %q is of another address family", text)}}
		case (e.Port() == 0) != (at.Port() == 0):
			return []step.Problem{{Path: path, Message: fmt.Sprintf("endpoint %q and the virtual address do not both have a port", text), Hint: "give all of them a port, or none"}}
		}
	}
	return nil
}

// mappingProblems are those of an element of ip_port_mappings.
func mappingProblems(endpoint string, value step.Attr[string]) []step.Problem {
	path := "ip_port_mappings." + endpoint
	a, err := netip.ParseAddr(unbracketed(endpoint))
	if err != nil || a.Is6() != strings.HasPrefix(endpoint, "[") {
		return []step.Problem{{Path: path, Message: "is no address of an endpoint", Hint: `write "172.16.1.11", or "[fd00::11]" for IPv6, without a port`}}
	}
	text, given := value.Get()
	port, source, _ := strings.Cut(text, ":")
	if s, err := netip.ParseAddr(unbracketed(source)); given && (port == "" || err != nil || s.Is4() != a.Is4()) {
		return []step.Problem{{Path: path, Message: fmt.Sprintf("%q is no logical port with a source address of the same family", text), Hint: `write "ls1-vm1:172.16.1.2", or "ls1-vm1:[fd00::2]" for IPv6`}}
	}
	return nil
}

func unbracketed(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "["), "]") }

// addressAndPort reads an address with a port, or with none: then the port is 0.
func addressAndPort(s string) (netip.AddrPort, error) {
	if e, err := netip.ParseAddrPort(s); err == nil && e.Port() != 0 && e.Addr().Zone() == "" {
		return e, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, errors.Join(err, fmt.Errorf("%q is no address with or without a port", s))
	}
	return netip.AddrPortFrom(a, 0), nil
}

// addressPortText is the one spelling of what addressAndPort read.
func addressPortText(e netip.AddrPort) string {
	if e.Port() == 0 {
		return e.Addr().String()
	}
	return e.String()
}

// endpointsOf are the elements of a value of vips. Spaces between them are no part of
// the notation: where there is one, ovn-northd passes over the whole virtual address.
func endpointsOf(value string) []string {
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

// canonicalEndpoints is the one spelling of a value of vips. The order of endpoints
// stays: datapaths choose by it.
func canonicalEndpoints(value string) string {
	list := endpointsOf(value)
	for i, text := range list {
		if e, err := addressAndPort(text); err == nil {
			list[i] = addressPortText(e)
		}
	}
	return strings.Join(list, ",")
}
