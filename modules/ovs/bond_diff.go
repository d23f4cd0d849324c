package ovs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/step"
)

func (bond) Diff(have, want BondSpec) []step.Delta {
	have.Mode = likeDefault(have.Mode, want.Mode, defaultMode)
	have.LACP = likeDefault(have.LACP, want.LACP, defaultLACP)
	have.Persist, have.PersistBy = want.Persist, want.PersistBy // the files say it
	if want.Device != nil {
		have.Up = want.Up // each device for itself, below
	}
	have.Interfaces = maps.Clone(have.Interfaces)
	for name, m := range have.Interfaces {
		m.Type = likeDefault(m.Type, want.Interfaces[name].Type, "system")
		have.Interfaces[name] = m
	}
	deltas := step.Compare(have, want)
	if have.State.There() && want.State.There() {
		if have.Error != "" && want.Error == "" {
			deltas = append(deltas, step.Change("error", have.Error, nil))
		}
		for _, name := range slices.Sorted(maps.Keys(want.Interfaces)) {
			w, h := want.Interfaces[name], have.Interfaces[name]
			path := "interfaces." + name + ".mtu_request.device"
			deltas = append(deltas, deviceSpec{MTU: w.MTU, ActualMTU: w.ActualMTU}.deltas(deviceSpec{MTU: h.MTU, ActualMTU: h.ActualMTU}, path, "")...)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(want.Alone)) {
		if was, is := want.Alone[m].Bridge, have.Alone[m].Bridge; was != is {
			deltas = append(deltas, step.Change("ports."+m, stringOrNil(is), was))
		}
	}
	lost := maps.Clone(want.Device)
	for name, m := range want.Interfaces {
		if d, there := lost[name]; there && m.MTU.Or(0) != 0 {
			d.MTU = 0 // it is compared with what is asked for, above
			lost[name] = d
		}
	}
	deltas = append(deltas, lost.deltas(have.Now)...)
	return append(deltas, keptDelta(have.Kept, want.Kept)...)
}

func stringOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// likeDefault spells a column as want does where both say the same: an empty one
// stands for its default.
func likeDefault(have, want step.Attr[string], byDefault string) step.Attr[string] {
	if have.Managed() && want.Managed() && have.Or(byDefault) == want.Or(byDefault) {
		return want
	}
	return have
}

func (bond) Advise(f *step.Finding, have, want BondSpec) {
	f.Warnings = append(f.Warnings, keptNotes(have.Kept)...)
	if !want.State.There() {
		for _, d := range f.Deltas {
			severs(f, have.severedBy(d, want))
		}
		return
	}
	changed := map[string]bool{}
	for _, d := range f.Deltas {
		severs(f, have.severedBy(d, want))
		changed[d.Path] = true
	}
	for _, m := range slices.Sorted(maps.Keys(have.Alone)) {
		was := have.Alone[m]
		f.Warnings = append(f.Warnings, fmt.Sprintf("member %s is taken out of bridge %s, where it is a port of its own; undo gives it back", m, was.Bridge))
	}
	if len(have.Seen.Down) > 0 && !want.Up.Or(false) {
		f.Warnings = append(f.Warnings, "members that are down carry nothing: "+strings.Join(have.Seen.Down, ", ")+" (up = true brings them up)")
	}
	mode, lacp, falls := have.Seen.Mode, have.Seen.LACP, have.Seen.Falls
	mode, lacp = effective(want.Mode, mode, defaultMode), effective(want.LACP, lacp, defaultLACP)
	if v := want.OtherConfig["lacp-fallback-ab"]; v.Managed() {
		falls = v.Or("")
	}
	if changed["bond_mode"] || changed["lacp"] {
		f.Cost.Disruption = "settles anew which members carry traffic: a dataplane outage of a moment, with LACP of seconds"
	}
	if have.State.There() && !changed["bond_mode"] && !changed["lacp"] && !changed["other_config.lacp-fallback-ab"] {
		return // it was said when it was set so
	}
	switch {
	case lacp == "off" && mode == "balance-tcp":
		f.Warnings = append(f.Warnings, "without LACP a bond of mode balance-tcp drops every frame: name bond_mode or lacp")
	case lacp == "off" && mode == "balance-slb":
		f.Warnings = append(f.Warnings, "balance-slb without LACP wants switch ports that are no channel: towards one, frames come back and addresses move from port to port")
	case lacp != "off" && falls != "true":
		f.Warnings = append(f.Warnings, `until the switch answers with LACP the bond passes nothing; lacp-fallback-ab = "true" in other_config lets it work as active-backup`)
	}
}

// effective is what a column will say: what is wanted, or what is there, or its
// default.
func effective(want step.Attr[string], there, byDefault string) string {
	if want.Managed() || there == "" {
		return want.Or(byDefault)
	}
	return there
}

// severedBy are the links that a change of a bond may cut: those of members that
// join, and what goes through the bridge that the bond carries.
func (have BondSpec) severedBy(d step.Delta, want BondSpec) []string {
	key, ofMember := d.Path, false
	if rest, ok := strings.CutPrefix(d.Path, "interfaces."); ok {
		_, key, _ = strings.Cut(strings.TrimPrefix(rest, nameIn(rest, want.Members)), ".")
		ofMember = true
	}
	switch {
	case key == "state" && !have.State.There():
		return have.Seen.Joins
	case key == "members":
		return slices.Concat(have.Seen.Joins, have.Seen.Carries)
	case key == "up" && want.Up.Or(false), !have.State.There():
		return nil
	case ofMember && (key == "type" || strings.HasPrefix(key, "options.")), strings.HasPrefix(key, "other_config.lacp-"):
		return have.Seen.Carries
	case slices.Contains([]string{"state", "bridge", "bond_mode", "lacp", "tag", "trunks", "cvlans", "vlan_mode", "up", "other_config.bond-detect-mode"}, key):
		return have.Seen.Carries
	}
	return nil
}

// nameIn is the member that a path begins with: names may hold dots.
func nameIn(path string, members []string) string {
	for _, m := range members {
		if strings.HasPrefix(path, m+".") {
			return m
		}
	}
	return ""
}
