package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// FirewallSpec is the spec of kind firewall.
type FirewallSpec struct {
	Zone       string     `json:"zone" weft:"label" doc:"With firewalld a zone that is there (public, internal, …); with nftables a name for what is let in, and of the table weft_ZONE."`
	By         string     `json:"by,omitzero" weft:"enum=firewalld|nftables" doc:"What keeps the rules; left out, firewalld where it runs, else nftables."`
	Services   []string   `json:"services,omitzero" weft:"set" doc:"Services let in, by the names that firewalld has for them: ssh, libvirt-tls, geneve."`
	Ports      []string   `json:"ports,omitzero" weft:"set" doc:"Ports let in, with their protocol: 6642/tcp, 49152-49215/tcp, 6081/udp."`
	Sources    []string   `json:"sources,omitzero" weft:"set" doc:"Networks whose packets belong to the zone: 10.0.0.0/24."`
	Interfaces []string   `json:"interfaces,omitzero" weft:"set" doc:"Links whose packets belong to the zone. With nftables, packets of all links where neither sources nor interfaces are given."`
	RichRules  []string   `json:"rich_rules,omitzero" weft:"set" doc:"Rules in firewalld's rich language; firewalld only."`
	Rules      []string   `json:"rules,omitzero" doc:"Rules as nft(8) has them, behind those for services and ports; nftables only. A link is named by iifname."`
	Target     string     `json:"target,omitzero" weft:"enum=accept|drop|reject" doc:"What becomes of packets that nothing lets in; nftables only, where accept is meant if it is left out. With firewalld the zone itself says it."`
	State      step.State `json:"state,omitzero" default:"present" doc:"If absent, the zone of firewalld has none of what the step names; with nftables the whole table goes."`
}

var (
	zoneShape    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,16}$`)
	serviceShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	linkShape    = regexp.MustCompile(`^[A-Za-z0-9_.:@-]{1,15}\+?$`)
)

// Validate finds what neither world knows.
func (s *FirewallSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, format string, args ...any) {
		problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if !zoneShape.MatchString(s.Zone) {
		bad("zone", "%q is not the name of a zone: letters, digits, - and _, at most 17", s.Zone)
	}
	for i, p := range s.Ports {
		if _, _, ok := parsePort(p); !ok {
			bad(fmt.Sprintf("ports[%d]", i), "%q is no port with a protocol, like 6642/tcp or 49152-49215/tcp", p)
		}
	}
	for i, name := range s.Services {
		if !serviceShape.MatchString(name) {
			bad(fmt.Sprintf("services[%d]", i), "%q is not the name of a service", name)
		}
	}
	for i, source := range s.Sources {
		if _, err := parseSource(source); err != nil {
			bad(fmt.Sprintf("sources[%d]", i), "%q is no network, like 10.0.0.0/24", source)
		}
	}
	for i, link := range s.Interfaces {
		if !linkShape.MatchString(link) {
			bad(fmt.Sprintf("interfaces[%d]", i), "%q is not the name of a link", link)
		}
	}
	for i, r := range s.RichRules {
		if !strings.HasPrefix(r, "rule") || strings.ContainsAny(r, "\n\r\x00") {
			bad(fmt.Sprintf("rich_rules[%d]", i), "is no rich rule: it begins with the word rule, and is one line")
		}
	}
	for i, r := range s.Rules {
		if strings.TrimSpace(r) == "" || strings.ContainsAny(r, "\n\r\x00") || opens(r) {
			bad(fmt.Sprintf("rules[%d]", i), "is not one rule in one line")
		}
	}
	switch {
	case s.By == "firewalld" && (s.Rules != nil || s.Target != ""):
		bad("by", "firewalld knows neither rules nor target: use rich_rules, and a zone with that target (drop, trusted)")
	case s.By == "nftables" && s.RichRules != nil:
		bad("by", "nftables knows no rich_rules: use rules")
	case s.RichRules != nil && (s.Rules != nil || s.Target != ""):
		bad("rich_rules", "belong to firewalld, rules and target to nftables: they exclude each other")
	}
	return problems
}

// opens says whether a rule would end its chain: more braces are closed than opened,
// or fewer.
func opens(rule string) bool {
	depth, quoted := 0, false
	for _, c := range rule {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth < 0 {
				return true
			}
		case c == '#', c == ';' && depth == 0:
			return true
		}
	}
	return depth != 0 || quoted
}

// parsePort reads "6642/tcp" and "1-9/udp".
func parsePort(text string) (ports, protocol string, ok bool) {
	ports, protocol, ok = strings.Cut(text, "/")
	first, last, ranged := strings.Cut(ports, "-")
	a, err := strconv.ParseUint(first, 10, 16)
	b := a
	if ranged && err == nil {
		b, err = strconv.ParseUint(last, 10, 16)
	}
	known := slices.Contains([]string{"tcp", "udp", "sctp", "dccp"}, protocol)
	return ports, protocol, ok && known && err == nil && a > 0 && (b > a || !ranged)
}

// parseSource reads an address or a network.
func parseSource(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

func firewallKind() step.Kind {
	return step.Kind{
		Name:    "firewall",
		Summary: "What a host lets in: services, ports, networks and rules, now and after a boot.",
		Doc: `Where firewalld runs (or is started at boot), entries of one of its zones, in force and permanent; entries that the step does not name stay, and nothing is
reloaded, so rules that are in force alone survive. The zone must be there, and a source or link of another zone is refused as firewalld refuses it.

Else nftables: one table of weft's own, inet weft_ZONE, loaded in one transaction, with a file below /etc/nftables.d and the unit
weft-firewall-ZONE.service, which loads it at boot and after nftables.service was started. No other table is touched. Established connections, loopback and
ICMP are always let in, then services, ports and rules, then target decides. Another table that drops still drops: an accept ends one table alone.
Rules are tried in a network namespace of their own by the check, so a mistake in one is told by the plan. What the kernel has is compared with that, rule by rule.

A change that may shut somebody out names the links of the host, and where one of them carries weft's session a guard is armed: the change is taken back unless
it is confirmed over a new connection. Mind the ports of whatever else runs before target = "drop".`,
		Spec: FirewallSpec{},
		Example: `step "firewall" "public" {
  services = ["ssh"]
  ports    = ["6642/tcp", "6081/udp"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[FirewallSpec](u)
			if err != nil {
				return nil, err
			}
			return &firewall{spec}, nil
		},
	}
}

// firewall is the step of whichever world the host is of.
type firewall struct{ spec FirewallSpec }

// Check finds out what keeps the rules here, and asks it.
func (s *firewall) Check(ctx context.Context, v host.View) (step.Finding, error) {
	fail := func(err error) (step.Finding, error) {
		return step.Finding{Object: "firewall " + s.spec.Zone}, fmt.Errorf("read firewall %s: %w", s.spec.Zone, err)
	}
	by, err := s.keeper(ctx, v)
	if err != nil {
		return fail(err)
	}
	if by == "firewalld" {
		if s.spec.Rules != nil || s.spec.Target != "" {
			return fail(errors.New("firewalld keeps the rules of this host, and knows neither rules nor target; use rich_rules, or say by = \"nftables\" and stop firewalld by a service step"))
		}
		return zoneStep(s.spec.zone()).Check(ctx, v)
	}
	if s.spec.RichRules != nil {
		return fail(errors.New("firewalld does not run on this host, and nftables knows no rich_rules; use rules"))
	}
	want, err := s.spec.table(ctx, v)
	if err != nil {
		return fail(err)
	}
	return tableStep(want).Check(ctx, v)
}

// keeper is firewalld where it runs or starts at boot, else nftables.
func (s *firewall) keeper(ctx context.Context, v host.View) (string, error) {
	if s.spec.By == "nftables" {
		return s.spec.By, hasNft(ctx, v)
	}
	u, err := v.Units.Unit(ctx, "firewalld.service")
	if err != nil {
		return "", err
	}
	switch {
	case u.ActiveState == "active":
		return "firewalld", nil
	case u.FileState == "enabled":
		return "", fmt.Errorf("firewalld starts at boot, and is not at work now; start it by a service step, or disable it: %w", step.ErrNotYet)
	case s.spec.By == "firewalld":
		return "", fmt.Errorf("firewalld does not run; its package, or a service step that starts it, must come first: %w", step.ErrNotYet)
	}
	return "nftables", hasNft(ctx, v)
}

func hasNft(ctx context.Context, v host.View) error {
	for _, name := range []string{"/usr/sbin/nft", "/sbin/nft"} {
		_, err := v.Files.Stat(ctx, name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("the host has neither firewalld nor nft; the package firewalld or nftables brings one: %w", step.ErrNotYet)
}

// of is the step that a finding came from.
func (s *firewall) of(f step.Finding) (step.Step, error) {
	var which struct{ By string }
	if err := json.Unmarshal(f.Want, &which); err != nil {
		return nil, fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	if which.By == "firewalld" {
		var want zone
		err := json.Unmarshal(f.Want, &want)
		return zoneStep(want), err
	}
	var want table
	err := json.Unmarshal(f.Want, &want)
	return tableStep(want), err
}

// Apply has the world that was found do it.
func (s *firewall) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	inner, err := s.of(f)
	if err != nil {
		return err
	}
	return inner.Apply(ctx, h, f)
}

// Undo has the same world take it back.
func (s *firewall) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	inner, err := s.of(f)
	if err != nil {
		return err
	}
	return inner.Undo(ctx, h, f)
}

// bearers are the links that have addresses: what a firewall may cut.
func bearers(ctx context.Context, v host.View) ([]string, error) {
	links, err := v.Links.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		if len(l.Addresses) > 0 && l.Name != "lo" {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
