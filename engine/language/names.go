package language

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// names is what an expression names, found once, without evaluating it.
type names struct {
	roots  []named // the first names of all traversals
	vars   []named
	locals []named
	params []named
	roles  []named
	whole  []named    // roles that are not followed by an index
	facts  []named    // host.facts.NAME; one without a name is all of them
	steps  []stepName // step.KIND.NAME
	others []otherName
	calls  []named
	varies variance
	told   bool // it names what is not there, which was told at load

	// Of other hosts that are not written out: in a loop over a role, by a
	// computed key.
	farFacts []named
	farSteps []stepName
	allHosts bool // hosts is used otherwise than by a written key
}

// named is a name and where it is written.
type named struct {
	name string
	at   hcl.Range
}

// stepName is KIND.NAME, with what follows it.
type stepName struct {
	kind, name string
	key        string // ["KEY"]
	hasKey     bool
	output     string // empty for the whole object
	at         hcl.Range
}

func (s stepName) address() string { return s.kind + "." + s.name }

// otherName is hosts["x"], with what is asked of it.
type otherName struct {
	host  string
	at    hcl.Range
	facts []named
	step  *stepName
}

// namesOf finds what an expression names. What it cannot make sense of goes to
// m.
func namesOf(expr hclsyntax.Expression, m *mistakes) *names {
	n := &names{}
	scoped := map[hcl.Range]bool{}
	for _, t := range expr.Variables() {
		scoped[t.SourceRange()] = true
		n.traversal(t, m)
	}
	_ = hclsyntax.VisitAll(expr, func(node hclsyntax.Node) hcl.Diagnostics {
		switch e := node.(type) {
		case *hclsyntax.FunctionCallExpr:
			n.calls = append(n.calls, named{e.Name, e.NameRange})
		case *hclsyntax.RelativeTraversalExpr:
			n.far(e.Traversal)
		case *hclsyntax.ScopeTraversalExpr:
			if !scoped[e.Traversal.SourceRange()] {
				n.far(e.Traversal[1:]) // of a loop's variable
			}
		}
		return nil
	})
	return n
}

func (n *names) traversal(t hcl.Traversal, m *mistakes) {
	root := t.RootName()
	n.roots = append(n.roots, named{root, t[0].SourceRange()})
	second := named{at: t.SourceRange()}
	if len(t) > 1 {
		second = named{keyOf(t[1]), nameRange(t[1])}
	}
	switch root {
	case rootVar:
		n.vars = append(n.vars, second)
	case rootLocal:
		n.locals = append(n.locals, second)
	case rootParam:
		n.params = append(n.params, second)
	case rootEach:
		n.varies = byHost
		if second.name != "key" && second.name != "value" {
			m.error(second.at, "each has a key and a value, nothing else", hint("write each.key or each.value"))
		}
	case rootHost:
		n.varies = byHost
		n.ofHost(t[1:])
	case rootStep:
		n.varies = byHost
		if s, ok := stepIn(t[1:]); ok {
			s.at = t.SourceRange()
			n.steps = append(n.steps, s)
		} else {
			m.error(t.SourceRange(), "a reference to a step needs its kind and its name",
				hint(`write step.KIND.NAME.OUTPUT, or step.KIND["NAME"].OUTPUT; both must be written out`))
		}
	case rootRole:
		if second.name != "" {
			n.roles = append(n.roles, second)
			if len(t) == 2 {
				n.whole = append(n.whole, second)
			}
		}
		n.far(t[1:])
	case rootHosts:
		n.ofHosts(t, second, m)
	}
}

func (n *names) ofHost(tail hcl.Traversal) {
	if len(tail) == 0 || keyOf(tail[0]) != "facts" {
		return
	}
	f := named{at: tail.SourceRange()}
	if len(tail) > 1 {
		f = named{keyOf(tail[1]), nameRange(tail[1])}
	}
	n.facts = append(n.facts, f)
}

func (n *names) ofHosts(t hcl.Traversal, second named, m *mistakes) {
	if second.name == "" {
		n.allHosts = true
		return
	}
	o := otherName{host: second.name, at: second.at}
	if tail := t[2:]; len(tail) > 0 {
		switch keyOf(tail[0]) {
		case "facts":
			inner := names{}
			inner.ofHost(tail)
			o.facts, n.varies = inner.facts, max(n.varies, byKnowledge)
		case "step":
			n.varies = max(n.varies, byKnowledge)
			s, ok := stepIn(tail[1:])
			if !ok {
				m.error(t.SourceRange(), "a reference to a step needs its kind and its name",
					hint(`write hosts["NAME"].step.KIND.NAME.OUTPUT`))
				break
			}
			s.at = t.SourceRange()
			o.step = &s
		}
	}
	n.others = append(n.others, o)
}

// far notes facts and outputs that are asked of hosts which are not written
// out: h.step.KIND.NAME, role.x[0].facts.cpus.
func (n *names) far(tail hcl.Traversal) {
	for i, t := range tail {
		attr, ok := t.(hcl.TraverseAttr)
		if !ok {
			continue
		}
		switch attr.Name {
		case "facts":
			inner := names{}
			inner.ofHost(tail[i:])
			n.farFacts, n.varies = append(n.farFacts, inner.facts...), max(n.varies, byKnowledge)
			return
		case rootStep:
			if s, ok := stepIn(tail[i+1:]); ok {
				s.at = tail.SourceRange()
				n.farSteps, n.varies = append(n.farSteps, s), max(n.varies, byKnowledge)
				return
			}
		}
	}
}

// stepIn reads KIND.NAME["KEY"].OUTPUT.
func stepIn(tail hcl.Traversal) (stepName, bool) {
	if len(tail) < 2 || keyOf(tail[0]) == "" || keyOf(tail[1]) == "" {
		return stepName{}, false
	}
	s := stepName{kind: keyOf(tail[0]), name: keyOf(tail[1])}
	rest := tail[2:]
	if len(rest) > 0 {
		if index, ok := rest[0].(hcl.TraverseIndex); ok {
			s.key, s.hasKey = keyOf(index), true
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		if attr, ok := rest[0].(hcl.TraverseAttr); ok {
			s.output = attr.Name
		}
	}
	return s, true
}

// nameRange is where a name stands, without the dot before it.
func nameRange(t hcl.Traverser) hcl.Range {
	at := t.SourceRange()
	if _, ok := t.(hcl.TraverseAttr); ok && at.End.Byte-at.Start.Byte > 1 {
		at.Start.Byte++
		at.Start.Column++
	}
	return at
}

// keyOf is the name in .NAME and ["NAME"]; empty for anything else.
func keyOf(t hcl.Traverser) string {
	switch t := t.(type) {
	case hcl.TraverseAttr:
		return t.Name
	case hcl.TraverseIndex:
		if t.Key.Type() == cty.String && t.Key.IsKnown() && !t.Key.IsNull() {
			return t.Key.AsString()
		}
	}
	return ""
}
