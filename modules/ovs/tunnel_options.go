package ovs

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"weft/engine/step"
)

// textual is an attribute as the column options holds it.
type textual interface {
	text() step.Attr[string]
	take(found step.Attr[string])
}

type (
	word   struct{ attr *step.Attr[string] }
	number struct{ attr *step.Attr[int] }
	flag   struct{ attr *step.Attr[bool] }
)

func (w word) text() step.Attr[string]  { return *w.attr }
func (w word) take(a step.Attr[string]) { *w.attr = a }
func (n number) text() step.Attr[string] {
	return written(*n.attr, strconv.Itoa)
}

// take reads a number as C does. What is none is -1, which no playbook can want.
func (n number) take(a step.Attr[string]) {
	*n.attr = written(a, func(s string) int {
		v, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			return -1
		}
		return int(v)
	})
}

func (f flag) text() step.Attr[string] { return written(*f.attr, strconv.FormatBool) }
func (f flag) take(a step.Attr[string]) {
	*f.attr = written(a, func(s string) bool { return s == "true" })
}

// written is an attribute in another type.
func written[A, B any](a step.Attr[A], as func(A) B) step.Attr[B] {
	v, ok := a.Get()
	switch {
	case ok:
		return step.Is(as(v))
	case a.Managed():
		return step.None[B]()
	}
	return step.Attr[B]{}
}

// fields are the attributes that are keys of the column options.
func (s *TunnelSpec) fields() map[string]textual {
	return map[string]textual{
		"remote_ip": word{&s.RemoteIP}, "local_ip": word{&s.LocalIP},
		"key": word{&s.Key}, "in_key": word{&s.InKey}, "out_key": word{&s.OutKey},
		"tos": word{&s.TOS}, "ttl": word{&s.TTL},
		"dst_port": number{&s.DstPort}, "egress_pkt_mark": number{&s.EgressPktMark},
		"df_default": flag{&s.DFDefault}, "csum": flag{&s.Csum},
	}
}

func tunnelKeys() []string { return slices.Sorted(maps.Keys(new(TunnelSpec).fields())) }

// complete fills in what follows from what was given.
func (s TunnelSpec) complete() TunnelSpec {
	if s.Key.Managed() {
		s.InKey, s.OutKey = step.None[string](), step.None[string]()
	} else if s.InKey.Managed() || s.OutKey.Managed() {
		s.Key = step.None[string]()
	}
	s.Kept = keptGoal(s.Persist, s.State)
	return s
}

// port is the tunnel as a port: what was found of it, and over that what the
// attributes say.
func (s TunnelSpec) port() PortSpec {
	p := PortSpec{Name: s.Name}
	if s.Found != nil {
		p = *s.Found
	}
	p.State, p.Bridge, p.Type, p.Tag, p.Protected, p.OFPort = s.State, s.Bridge, s.Type, s.Tag, s.Protected, s.OFPort
	p.Persist, p.PersistBy, p.Kept = s.Persist, s.PersistBy, s.Kept
	p.BFD, p.ExternalIDs = s.BFD, s.ExternalIDs
	found := p.Options
	p.Options = maps.Clone(s.Options)
	if p.Options == nil {
		p.Options = map[string]step.Attr[string]{}
	}
	for key, f := range s.fields() {
		if f.text().Managed() {
			p.Options[key] = f.text()
		}
	}
	// What was found keeps its spelling where it says the same.
	var asFound TunnelSpec
	for key, f := range asFound.fields() {
		if f.take(found[key]); found[key].Managed() && f.text() == p.Options[key] {
			p.Options[key] = found[key]
		}
	}
	return p
}

// ofPort is a port as a tunnel.
func ofPort(p PortSpec) TunnelSpec {
	s := TunnelSpec{
		Name: p.Name, State: p.State, Bridge: p.Bridge, Type: p.Type, Tag: p.Tag, Protected: p.Protected, OFPort: p.OFPort, Kept: p.Kept,
		BFD: p.BFD, ExternalIDs: p.ExternalIDs, Found: &p,
	}
	s.Options = maps.Clone(p.Options)
	for key, f := range s.fields() {
		f.take(p.Options[key])
		delete(s.Options, key)
	}
	if len(s.Options) == 0 {
		s.Options = nil
	}
	return s
}

// meant is what an option means to Open vSwitch: spellings and the default are
// one.
func meant(kind, key string, attr step.Attr[string]) string {
	text := attr.Or("")
	switch key {
	case "remote_ip", "local_ip":
		if a, err := netip.ParseAddr(text); err == nil {
			return a.String()
		}
	case "df_default":
		return strconv.FormatBool(text == "true" || text == "")
	case "csum":
		return strconv.FormatBool(text == "true")
	case "dst_port":
		if text == "" {
			return map[string]string{"vxlan": "4789", "geneve": "6081"}[kind]
		}
		fallthrough
	default:
		if n, err := strconv.ParseUint(text, 0, 64); err == nil || text == "" {
			return strconv.FormatUint(n, 10)
		}
	}
	return text
}

// like is a tunnel that spells as another does what both mean.
func (s TunnelSpec) like(want TunnelSpec) TunnelSpec {
	kind := want.Type.Or(s.Type.Or(""))
	wanted := want.fields()
	if want.Key.Managed() && s.keys(kind) == want.keys(kind) {
		s.Key, s.InKey, s.OutKey = want.Key, want.InKey, want.OutKey
	}
	for key, f := range s.fields() {
		if w := wanted[key].text(); w.Managed() && meant(kind, key, w) == meant(kind, key, f.text()) {
			f.take(w)
		}
	}
	return s
}

// keys are those that packets must have and get.
func (s TunnelSpec) keys(kind string) [2]string {
	in, out := s.InKey, s.OutKey
	if _, ok := in.Get(); !ok {
		in = s.Key
	}
	if _, ok := out.Get(); !ok {
		out = s.Key
	}
	return [2]string{meant(kind, "key", in), meant(kind, "key", out)}
}
