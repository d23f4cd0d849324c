package language

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"weft/engine/step"
)

// emit evaluates the attributes of a step and appends the unit, unless they
// have mistakes.
func (x *evaluation) emit(s *stepDef, address string, ctx *hcl.EvalContext, runs decided) {
	u := step.Unit{Address: address, Kind: s.kind.Name, Name: s.name, Owner: x.p.Site + "/" + address}
	mistakesBefore := len(x.list)
	x.begin()
	x.buf = append(x.buf, '{')
	failed := x.items(s.nodes, ctx)
	x.buf = append(x.buf, '}')
	u.Spec = append(json.RawMessage(nil), x.buf...)
	u.Unknown, u.Secret = x.unknown, x.secret
	for _, n := range s.nodes {
		if n.field.trigger {
			u.Triggers = append(u.Triggers, x.addresses(n)...)
		}
	}
	if s.needs != nil {
		x.needs(&u, s.needs, ctx)
	}
	known := len(u.Unknown) == 0
	x.spans(&u, s, ctx)
	broken := s.told || failed || len(x.list) > mistakesBefore && Diagnostics(x.list[mistakesBefore:]).Failed()
	if known && s.kind.validator || s.kind.early {
		broken = x.problems(s, u, broken || !known) || broken
	}
	if broken {
		return
	}
	if runs == undecided {
		u.Unknown = append([]string{UnknownWhen}, u.Unknown...)
	}
	x.out.Units = append(x.out.Units, u)
}

// items encodes the attributes of a spec, and says whether one is wrong.
func (x *evaluation) items(nodes []*node, ctx *hcl.EvalContext) (failed bool) {
	for _, n := range nodes {
		at := len(x.buf)
		if at > 1 {
			x.buf = append(x.buf, ',')
		}
		x.buf = append(x.buf, n.field.key...)
		r := x.node(n, ctx)
		if r != written {
			x.buf = x.buf[:at]
		}
		if r == omitted {
			x.requiredNull(n)
		}
		failed = failed || r == wrong
	}
	return failed
}

func (x *evaluation) requiredNull(n *node) {
	if n.field.required || n.field.label {
		x.error(n.at, fmt.Sprintf("%s is null here, and must be given", n.path), hint("it is %s", n.shape))
	}
}

func (x *evaluation) needs(u *step.Unit, n *node, ctx *hcl.EvalContext) {
	x.begin()
	switch x.node(n, ctx) {
	case written:
		if err := json.Unmarshal(x.buf, &u.AfterNeeds); err != nil {
			panic("language: after_needs that is no list of strings: " + err.Error())
		}
	case unknown:
		u.Unknown = append(u.Unknown, "after_needs")
	}
}

// problems asks the spec itself, and says whether it has mistakes. Of a spec
// that has others already, or is not whole, only what is said of the attributes
// that are right so far counts: the rest may follow from those mistakes.
func (x *evaluation) problems(s *stepDef, u step.Unit, partly bool) bool {
	spec := reflect.New(reflect.TypeOf(s.kind.Spec))
	if err := json.Unmarshal(u.Spec, spec.Interface()); err != nil {
		if partly {
			return false // what is wrong with it was told, or will be
		}
		if len(u.Secret) > 0 {
			x.error(s.at, fmt.Sprintf("kind %q does not accept these attributes", s.kind.Name), detail("A sensitive value takes part, so the reason is not shown."))
		} else {
			x.error(s.at, fmt.Sprintf("kind %q does not accept these attributes", s.kind.Name), detail("%v", err))
		}
		return true
	}
	found := spec.Interface().(step.Validator).Validate()
	if partly {
		var given map[string]json.RawMessage
		if err := json.Unmarshal(u.Spec, &given); err != nil {
			panic("language: a spec that is no object: " + err.Error())
		}
		found = slices.DeleteFunc(found, func(p step.Problem) bool {
			name := p.Path
			if i := strings.IndexAny(name, ".["); i >= 0 {
				name = name[:i]
			}
			_, ok := given[name]
			return !ok
		})
	}
	for _, p := range found {
		message := p.Message
		for _, secret := range u.Secret {
			if p.Path == secret || strings.HasPrefix(p.Path, secret+".") || strings.HasPrefix(p.Path, secret+"[") {
				message = "is not valid (its value is sensitive and not shown)"
			}
		}
		summary := strings.TrimSpace(p.Path + " " + message)
		x.error(s.rangeOf(p.Path), summary, hint("%s", p.Hint))
	}
	return len(found) > 0
}

// rangeOf is where an attribute is written: the deepest node on its path.
func (s *stepDef) rangeOf(path string) hcl.Range {
	at := s.at
	var look func(n *node)
	look = func(n *node) {
		if n.path != path && !strings.HasPrefix(path, n.path+".") && !strings.HasPrefix(path, n.path+"[") {
			return
		}
		at = n.at
		for _, it := range n.items {
			look(it.node)
		}
		for _, e := range n.elems {
			look(e)
		}
	}
	for _, n := range s.nodes {
		look(n)
	}
	return at
}
