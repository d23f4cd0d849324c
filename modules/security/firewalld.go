package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// Where an entry of a zone is: in force, permanent, or both. None is neither.
const (
	runtime   = "runtime"
	permanent = "permanent"
	both      = "both"
)

type entries = map[string]step.Attr[string]

// zone is the state of what a step names in a zone of firewalld.
type zone struct {
	By         string  `json:"by" weft:"label"`
	Zone       string  `json:"zone" weft:"label"`
	Services   entries `json:"services,omitzero"`
	Ports      entries `json:"ports,omitzero"`
	Sources    entries `json:"sources,omitzero"`
	Interfaces entries `json:"interfaces,omitzero"`
	RichRules  entries `json:"rich_rules,omitzero"`
	// Links are those that a change may cut.
	Links []string `json:"links,omitzero" weft:"found"`
}

// zone is what the spec asks for. What is to be absent is None.
func (s FirewallSpec) zone() zone {
	all := func(names []string) entries {
		e := entries{}
		for _, name := range names {
			e[name] = step.None[string]()
			if s.State.There() {
				e[name] = step.Is(both)
			}
		}
		return e
	}
	return zone{By: "firewalld", Zone: s.Zone, Services: all(s.Services), Ports: all(s.Ports), Sources: all(s.Sources), Interfaces: all(s.Interfaces), RichRules: all(s.RichRules)}
}

func zoneStep(want zone) step.Step { return step.Of("firewall "+want.Zone, zones{}, want) }

type zones struct{}

// A zoneList is a kind of entry: firewall-cmd's word for it, and its line in a listing.
type zoneList struct {
	option, line string
	of           func(*zone) *entries
}

func zoneLists() []zoneList {
	return []zoneList{
		{"service", "services", func(z *zone) *entries { return &z.Services }},
		{"port", "ports", func(z *zone) *entries { return &z.Ports }},
		{"source", "sources", func(z *zone) *entries { return &z.Sources }},
		{"interface", "interfaces", func(z *zone) *entries { return &z.Interfaces }},
		{"rich-rule", "rich rules", func(z *zone) *entries { return &z.RichRules }},
	}
}

// firewallCmd is firewall-cmd(1) about a zone, in force or permanent.
func firewallCmd(zone, reach string, options ...string) host.Command {
	argv := []string{"firewall-cmd"}
	if reach == permanent {
		argv = append(argv, "--permanent")
	}
	return host.Command{Argv: slices.Concat(argv, []string{"--zone=" + zone}, options)}
}

// Read lists the zone twice.
func (zones) Read(ctx context.Context, v host.View, want zone) (zone, error) {
	have := zone{By: want.By, Zone: want.Zone}
	for _, l := range zoneLists() {
		*l.of(&have) = entries{}
	}
	for _, reach := range []string{runtime, permanent} {
		listing, err := listZone(ctx, v, want.Zone, reach)
		if err != nil {
			return have, err
		}
		for _, l := range zoneLists() {
			for name := range *l.of(&want) {
				in := slices.ContainsFunc(listing[l.line], func(found string) bool { return sameEntry(l.option, found, name) })
				if !in && l.option == "rich-rule" && len(listing[l.line]) > 0 {
					if in, err = queryRule(ctx, v, want.Zone, reach, name); err != nil {
						return have, err
					}
				}
				note(*l.of(&have), name, reach, in)
			}
		}
	}
	var err error
	have.Links, err = bearers(ctx, v)
	return have, err
}

// note adds where an entry was seen.
func note(e entries, name, reach string, in bool) {
	now, seen := e[name].Get()
	switch {
	case in && seen:
		e[name] = step.Is(both)
	case in:
		e[name] = step.Is(reach)
	case !seen || now == "":
		e[name] = step.None[string]()
	}
}

// listZone is what a zone has, by the lines of its listing.
func listZone(ctx context.Context, v host.View, zone, reach string) (map[string][]string, error) {
	return host.Recall(v.Memo, "firewalld "+reach+" "+zone, func() (map[string][]string, error) {
		r, err := v.Commands.Query(ctx, firewallCmd(zone, reach, "--list-all"))
		var exit *host.ExitError
		if errors.As(err, &exit) && strings.Contains(string(r.Stderr)+string(r.Stdout), "INVALID_ZONE") {
			return nil, fmt.Errorf("firewalld has no zone %s; firewall-cmd --get-zones lists those that it has", zone)
		}
		return parseZone(string(r.Stdout)), err
	})
}

// parseZone reads what firewall-cmd(1) --list-all prints: "  ports: 1/tcp 2/udp", and
// below "  rich rules:" a line for each.
func parseZone(text string) map[string][]string {
	listing := map[string][]string{}
	last := ""
	for line := range strings.Lines(text) {
		switch name, rest, ok := strings.Cut(line, ":"); {
		case strings.HasPrefix(line, "\t"):
			if rule := strings.TrimSpace(line); rule != "" && last != "" {
				listing[last] = append(listing[last], rule)
			}
		case strings.HasPrefix(line, "  ") && ok:
			last = strings.TrimSpace(name)
			listing[last] = strings.Fields(rest)
			if last == "rich rules" { // older ones put the first beside it
				listing[last] = nil
				if rule := strings.TrimSpace(rest); rule != "" {
					listing[last] = []string{rule}
				}
			}
		}
	}
	return listing
}

// sameEntry says whether two spellings are of one entry.
func sameEntry(option, a, b string) bool {
	switch option {
	case "rich-rule":
		plain := strings.NewReplacer(`"`, "", `'`, "")
		return slices.Equal(strings.Fields(plain.Replace(a)), strings.Fields(plain.Replace(b)))
	case "source":
		x, err := parseSource(a)
		y, err2 := parseSource(b)
		return a == b || err == nil && err2 == nil && x == y
	}
	return a == b
}

// queryRule asks firewalld, which knows every spelling of a rule.
func queryRule(ctx context.Context, v host.View, zone, reach, rule string) (bool, error) {
	_, err := v.Commands.Query(ctx, firewallCmd(zone, reach, "--query-rich-rule="+rule))
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Result.Exit == 1 {
		return false, nil
	}
	return err == nil, err
}

// Diff compares entry by entry.
func (zones) Diff(have, want zone) []step.Delta { return step.Compare(have, want) }

// Write adds and removes what differs, permanent first: what cuts us off is then
// at least the same after a boot.
func (zones) Write(ctx context.Context, h host.Host, have, want zone) error {
	for _, l := range zoneLists() {
		for _, reach := range []string{permanent, runtime} {
			var add, remove []string
			for _, name := range slices.Sorted(maps.Keys(*l.of(&want))) {
				is, was := reaches((*l.of(&want))[name], reach), reaches((*l.of(&have))[name], reach)
				if is && !was {
					add = append(add, "--add-"+l.option+"="+name)
				} else if was && !is {
					remove = append(remove, "--remove-"+l.option+"="+name)
				}
			}
			for _, options := range [][]string{add, remove} {
				if len(options) == 0 {
					continue
				}
				if _, err := h.Commands.Run(ctx, firewallCmd(want.Zone, reach, options...)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func reaches(a step.Attr[string], reach string) bool {
	at, there := a.Get()
	return there && (at == reach || at == both)
}

// Advise names the links that a change may cut: one that takes away, moves packets to
// another zone, or drops.
func (zones) Advise(f *step.Finding, have, want zone) {
	f.Outputs = json.RawMessage("{}")
	for _, d := range f.Deltas {
		list, entry, _ := strings.Cut(d.Path, ".")
		cuts := d.To == nil || list == "sources" || list == "interfaces" ||
			list == "rich_rules" && !strings.HasSuffix(strings.TrimSpace(entry), "accept")
		if cuts {
			f.Cost.Severs = have.Links
		}
	}
}
