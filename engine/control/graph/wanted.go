package graph

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host/topology"
	"weft/engine/language"
	"weft/engine/step"
)

// Wanted is what a playbook's steps ask for, on hosts by name, without a look at
// any host: what was there before is not in it, nor what depends on facts or on
// outputs of other steps. Notes say which steps those are. Sensitive attributes
// are left out.
func Wanted(p *language.Program, hosts []string) (Picture, language.Diagnostics) {
	picture := Picture{Title: fmt.Sprintf("%s: what %s wants", p.Site, p.Playbook)}
	var mistakes language.Diagnostics
	var wishes []*wish
	unknown := []string{}
	memo := &language.Memo{}
	for _, h := range p.Hosts {
		if !slices.Contains(hosts, h.Name) {
			continue
		}
		w := &wish{host: h.Name, t: &topology.Topology{}}
		wishes = append(wishes, w)
		for _, play := range p.Plays {
			if !slices.Contains(play.Hosts, h.Name) {
				continue
			}
			units, ds := p.Units(play, h.Name, language.Known{Memo: memo})
			mistakes = append(mistakes, ds...)
			for _, u := range units {
				if w.step(u) {
					continue
				}
				unknown = append(unknown, h.Name+": "+u.Address)
			}
		}
	}
	overlay(wishes)
	for _, w := range wishes {
		w.sort()
		h := Host{Name: w.host, Topology: w.t}
		for _, known := range p.Hosts {
			if known.Name == w.host {
				h.Address, h.Roles = known.Address, known.Roles
			}
		}
		picture.Hosts = append(picture.Hosts, h)
	}
	if n := len(unknown); n > 0 {
		note := "not drawn, or not whole, since a host must be asked first: " + strings.Join(unknown[:min(n, 6)], ", ")
		if n > 6 {
			note += fmt.Sprintf(" and %d more", n-6)
		}
		picture.Notes = append(picture.Notes, note)
	}
	return picture, mistakes
}

// A wish is what steps ask for of one host.
type wish struct {
	host   string
	t      *topology.Topology
	remote []string // the southbound databases of its chassis
	at     string   // the integration bridge
}

// step adds what a unit asks for, and says whether all of that was known.
func (w *wish) step(u step.Unit) bool {
	reader, known := readers()[u.Kind]
	if !known {
		return true
	}
	if slices.Contains(u.Unknown, language.UnknownWhen) || slices.Contains(u.Unknown, language.UnknownEach) || len(u.Spec) == 0 {
		return false
	}
	var spec map[string]any
	if err := json.Unmarshal(u.Spec, &spec); err != nil {
		panic("graph: a spec that is no JSON: " + err.Error())
	}
	for _, path := range u.Secret {
		without(spec, path)
	}
	drawn := reader.attributes()
	for _, place := range []string{"name", "bridge", "switch", "link"} {
		if _, known := spec[place]; !known && slices.Contains(drawn, place) && (slices.Contains(u.Unknown, place) || slices.Contains(u.Secret, place)) {
			return false // nobody knows where it belongs
		}
	}
	public, err := json.Marshal(spec)
	if err != nil {
		panic("graph: a spec that cannot be written again: " + err.Error())
	}
	if err := reader.put(w, public); err != nil {
		panic(fmt.Sprintf("graph: %s is not as its kind has it: %v", u.Address, err))
	}
	return !slices.ContainsFunc(u.Unknown, func(path string) bool {
		name, _, _ := strings.Cut(path, ".")
		return slices.Contains(drawn, name)
	})
}

// without removes an attribute by its path: "password", "options.key". Of a
// list the whole goes.
func without(spec map[string]any, path string) {
	name, rest, nested := strings.Cut(path, ".")
	name, _, indexed := strings.Cut(name, "[")
	inner, isObject := spec[name].(map[string]any)
	if nested && isObject && !indexed {
		without(inner, rest)
		return
	}
	delete(spec, name)
}

// overlay adds the tunnels that ovn-controller makes by itself, between all
// chassis of one southbound database that have a type in common.
func overlay(wishes []*wish) {
	for _, a := range wishes {
		for _, b := range wishes {
			if a == b || a.t.Chassis == nil || b.t.Chassis == nil || !slices.Equal(a.remote, b.remote) || len(b.t.Chassis.EncapIPs) == 0 {
				continue
			}
			common := ""
			for _, kind := range []string{"geneve", "stt", "vxlan"} { // as OVN prefers them
				if common == "" && slices.Contains(a.t.Chassis.EncapTypes, kind) && slices.Contains(b.t.Chassis.EncapTypes, kind) {
					common = kind
				}
			}
			if common == "" {
				continue
			}
			name := "ovn-" + b.host + "-0"
			a.put(cmp.Or(a.at, "br-int"), topology.Port{Name: name, Interfaces: []topology.Interface{
				{Name: name, Type: common, Remote: b.t.Chassis.EncapIPs[0], Key: "flow"}}})
		}
	}
}

// bridge finds a bridge, or makes it: steps may plug into one that others make.
func (w *wish) bridge(name string) *topology.Bridge {
	for i := range w.t.Bridges {
		if w.t.Bridges[i].Name == name {
			return &w.t.Bridges[i]
		}
	}
	w.t.Bridges = append(w.t.Bridges, topology.Bridge{Name: name})
	return &w.t.Bridges[len(w.t.Bridges)-1]
}

// put adds a port to a bridge, and takes it from where it was. Where either is
// not known there is nothing to draw.
func (w *wish) put(bridge string, p topology.Port) {
	if bridge == "" || p.Name == "" {
		return
	}
	w.unplug(p.Name)
	for _, i := range p.Interfaces {
		w.unplug(i.Name)
	}
	b := w.bridge(bridge)
	b.Ports = append(b.Ports, p)
}

func (w *wish) unplug(port string) {
	for i := range w.t.Bridges {
		b := &w.t.Bridges[i]
		b.Ports = slices.DeleteFunc(b.Ports, func(p topology.Port) bool { return p.Name == port })
	}
}

// link finds a device, or makes it.
func (w *wish) link(name string) *topology.Link {
	for i := range w.t.Links {
		if w.t.Links[i].Name == name {
			return &w.t.Links[i]
		}
	}
	w.t.Links = append(w.t.Links, topology.Link{Name: name})
	return &w.t.Links[len(w.t.Links)-1]
}

// unlink takes a device away, as another of its name comes.
func (w *wish) unlink(name string) {
	w.t.Links = slices.DeleteFunc(w.t.Links, func(l topology.Link) bool { return l.Name == name })
	for i := range w.t.Links {
		if w.t.Links[i].Master == name {
			w.t.Links[i].Master = ""
		}
	}
}

// logical is the logical network, made where there is none.
func (w *wish) logical() *topology.Logical {
	if w.t.Logical == nil {
		w.t.Logical = &topology.Logical{}
	}
	return w.t.Logical
}

func (w *wish) logicalSwitch(name string) *topology.Switch {
	l := w.logical()
	for i := range l.Switches {
		if l.Switches[i].Name == name {
			return &l.Switches[i]
		}
	}
	l.Switches = append(l.Switches, topology.Switch{Name: name})
	return &l.Switches[len(l.Switches)-1]
}

func (w *wish) removeSwitchPort(name string) {
	for i := range w.logical().Switches {
		s := &w.t.Logical.Switches[i]
		s.Ports = slices.DeleteFunc(s.Ports, func(p topology.SwitchPort) bool { return p.Name == name })
	}
}

// sort puts everything in the order that is read from hosts too.
func (w *wish) sort() {
	slices.SortFunc(w.t.Bridges, func(a, b topology.Bridge) int { return cmp.Compare(a.Name, b.Name) })
	for _, b := range w.t.Bridges {
		slices.SortFunc(b.Ports, func(x, y topology.Port) int { return cmp.Compare(x.Name, y.Name) })
	}
	slices.SortFunc(w.t.Links, func(a, b topology.Link) int { return cmp.Compare(a.Name, b.Name) })
	if w.t.Logical == nil {
		return
	}
	slices.SortFunc(w.t.Logical.Switches, func(a, b topology.Switch) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range w.t.Logical.Switches {
		slices.SortFunc(s.Ports, func(x, y topology.SwitchPort) int { return cmp.Compare(x.Name, y.Name) })
	}
}
