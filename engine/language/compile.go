package language

import (
	"fmt"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"weft/engine/step"
)

var playRule = blockRule{
	what:   "a play",
	attrs:  []string{"hosts", "serial", "max_failures", "continue", "on_failure", "reboot", "guard", "time_limit", "description"},
	blocks: []string{"step", "use"},
}

// compile turns the blocks of plays and lists into steps.
func (l *loader) compile() {
	for _, p := range l.c.plays {
		told := len(l.list)
		playRule.check(p.body, &l.mistakes)
		for _, a := range sortedAttributes(p.body) {
			if slices.Contains(playRule.attrs, a.Name) {
				l.check(a.Expr, scopePlay)
			}
		}
		if attribute(p.body, "hosts") == nil {
			l.error(p.at, fmt.Sprintf("play %q says no hosts", p.name), hint(`write hosts = role.NAME, or hosts = "all"`))
		}
		p.steps = l.steps(p.body, nil)
		l.guardsSomething(p)
		for i, s := range p.steps {
			s.index = i
		}
		l.uniqueSteps(p.steps, fmt.Sprintf("play %q", p.name))
		if p.broken {
			l.list = l.list[:told]
		}
	}
	used := map[*list]bool{}
	for _, p := range l.c.plays {
		for _, s := range p.steps {
			for u := s.use; u != nil; u = u.outer {
				used[u.list] = true
			}
		}
	}
	for _, name := range sortedKeys(l.c.lists) {
		if list := l.c.lists[name]; !used[list] {
			// Nobody uses it here; its mistakes are told all the same.
			u := &use{list: list, name: name, at: list.at, args: map[string]*argument{}, prefix: name + "/", varies: byHost}
			told := len(l.list)
			l.resolve(l.steps(list.body, u))
			if list.broken {
				l.list = l.list[:told]
			}
		}
	}
	l.references()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (l *loader) uniqueSteps(steps []*stepDef, where string) {
	first := map[string]*stepDef{}
	for _, s := range steps {
		if before, ok := first[s.address]; ok {
			l.error(s.nameAt, fmt.Sprintf("step %s is there twice in %s", s.address, where),
				detail("The first is at %s:%d. A kind and a name are one step of a host.", before.at.Filename, before.at.Start.Line),
				hint("give it another name"))
			continue
		}
		first[s.address] = s
	}
}

// steps compiles the steps and uses of a body, in reading order.
func (l *loader) steps(body *hclsyntax.Body, in *use) []*stepDef {
	var out []*stepDef
	uses := map[string]hcl.Range{} // by name: it is part of the names of their steps
	for _, b := range body.Blocks {
		switch b.Type {
		case "step":
			if s := l.step(b, in); s != nil {
				out = append(out, s)
			}
		case "use":
			if len(b.Labels) == 2 {
				if before, twice := uses[b.Labels[1]]; twice {
					l.error(b.LabelRanges[1], fmt.Sprintf("a use named %q is there twice", b.Labels[1]),
						detail("The first is at %s:%d. The steps of both would go by the same names.", before.Filename, before.Start.Line),
						hint("give it another name"))
					continue
				}
				uses[b.Labels[1]] = b.DefRange()
			}
			out = append(out, l.use(b, in)...)
		}
	}
	return out
}

// variance says how the value of an expression differs between the hosts of a
// play.
type variance int

const (
	byNothing   variance = iota // the same in the whole program
	byKnowledge                 // the same, by what is known of other hosts
	byHost                      // each host has its own
)

// varyIn is how an expression varies that stands in a use, or in none.
func (n *names) varyIn(in *use) variance {
	if len(n.params) > 0 && in != nil {
		return max(n.varies, in.varies)
	}
	return n.varies
}

// stepAttributes are the attributes of every step.
var stepAttributes = []string{"when", "for_each", "tags", "after_needs", "guard", "time_limit"}

func (l *loader) step(b *hclsyntax.Block, in *use) *stepDef {
	names, ok := labels(b, &l.mistakes, "KIND", "NAME")
	if !ok {
		return nil
	}
	k := l.c.kinds[names[0]]
	if k == nil {
		l.error(b.LabelRanges[0], fmt.Sprintf("there is no kind of step %q", names[0]),
			meantOr(names[0], sortedKeys(l.c.kinds), "weft modules lists them"))
		// Its references may still be looked at, and references to it hold.
		k = &kind{Kind: step.Kind{Name: names[0]}}
	}
	s := &stepDef{kind: k, name: names[1], label: names[1], at: b.DefRange(), nameAt: b.LabelRanges[1], use: in, slot: -1}
	if in != nil {
		s.name = in.prefix + s.name
	}
	s.address = k.Name + "." + s.name
	told := len(l.list)
	defer func() { s.told = len(l.list) > told }()
	each := b.Body.Attributes["for_each"]
	c := &compiler{loader: l, step: s, scope: scopeStep(in != nil, each != nil)}
	for u := in; u != nil; u = u.outer {
		if u.tags != nil {
			s.tags = append(s.tags, u.tags)
		}
	}
	c.meta(b.Body)
	if k.spec == nil {
		for _, a := range sortedAttributes(b.Body) {
			c.names(a.Expr)
		}
		return s
	}
	c.attributes(b)
	if s.varies == byNothing && !s.keyed() {
		s.slot = l.slot()
	}
	return s
}

func (s *stepDef) keyed() bool { return s.forEach != nil }

func (l *loader) slot() int {
	l.c.slots++
	return l.c.slots - 1
}

// meta reads the attributes that every step has.
func (c *compiler) meta(body *hclsyntax.Body) {
	s := c.step
	for u := s.use; u != nil; u = u.outer {
		if u.when != nil {
			s.varies = max(s.varies, u.when.used.varyIn(u.outer))
		}
	}
	if a, ok := body.Attributes["when"]; ok {
		s.when = &condition{a.Expr, c.names(a.Expr)}
	}
	if a, ok := body.Attributes["for_each"]; ok {
		outer := c.scope
		c.scope = scopeStep(s.use != nil, false)
		s.forEach = &condition{a.Expr, c.names(a.Expr)}
		c.scope = outer
	}
	if a, ok := body.Attributes["tags"]; ok {
		s.tags = append(s.tags, a.Expr)
		c.check(a.Expr, scopePlay)
	}
	if a, ok := body.Attributes["after_needs"]; ok {
		s.needs = c.node(a.Expr, needsShape, &field{Field: step.Field{Name: "after_needs"}, shape: needsShape}, "after_needs")
	}
	c.spans(body)
}

func (c *compiler) names(expr hclsyntax.Expression) *names {
	used := c.check(expr, c.scope)
	c.step.used = append(c.step.used, used)
	c.step.varies = max(c.step.varies, used.varyIn(c.step.use))
	return used
}

var needsShape = &shape{form: formList, elem: &shape{form: formString}}

// compiler compiles one step.
type compiler struct {
	*loader
	step  *stepDef
	scope scope
}

// attributes compiles the attributes and nested blocks of a step's body
// against the kind's spec.
func (c *compiler) attributes(b *hclsyntax.Block) {
	s := c.step
	body := *b.Body
	body.Attributes = hclsyntax.Attributes{}
	for name, a := range b.Body.Attributes {
		if !slices.Contains(stepAttributes, name) {
			body.Attributes[name] = a
		}
	}
	object := c.body(&body, s.kind.spec, "", fmt.Sprintf("kind %q", s.kind.Name), b.DefRange(), stepAttributes)
	for _, it := range object.items {
		s.nodes = append(s.nodes, it.node)
	}
}
