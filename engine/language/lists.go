package language

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

func (l *loader) listBlock(b *hclsyntax.Block, broken bool) {
	name, ok := labels(b, &l.mistakes, "LIST")
	if !ok {
		return
	}
	blockRule{what: "a list of steps", attrs: []string{"description"}, blocks: []string{"param", "step", "use"}}.check(b.Body, &l.mistakes)
	if before, ok := l.c.lists[name[0]]; ok {
		l.error(b.LabelRanges[0], fmt.Sprintf("list of steps %q is there twice", name[0]),
			detail("The first is at %s:%d.", before.at.Filename, before.at.Start.Line))
		return
	}
	out := &list{name: name[0], at: b.LabelRanges[0], body: b.Body, broken: broken}
	for _, inner := range b.Body.Blocks {
		if inner.Type == "param" {
			l.param(out, inner)
		}
	}
	l.c.lists[name[0]] = out
}

func (l *loader) param(in *list, b *hclsyntax.Block) {
	name, ok := labels(b, &l.mistakes, "NAME")
	if !ok {
		return
	}
	blockRule{what: "a param", attrs: []string{"type", "default", "description"}}.check(b.Body, &l.mistakes)
	if slices.Contains(useAttributes, name[0]) {
		l.error(b.LabelRanges[0], fmt.Sprintf("a param cannot be called %q", name[0]), hint("use has an attribute of that name"))
		return
	}
	if in.param(name[0]) != nil {
		l.error(b.LabelRanges[0], fmt.Sprintf("param %q is there twice", name[0]))
		return
	}
	p := &param{name: name[0], at: b.LabelRanges[0], typ: cty.DynamicPseudoType, fallback: attribute(b.Body, "default")}
	if t := attribute(b.Body, "type"); t != nil {
		p.typ, p.optional, _ = l.typeOf(t)
	}
	if p.fallback != nil {
		l.check(p.fallback, scopeConstant)
	}
	in.params = append(in.params, p)
}

func (li *list) param(name string) *param {
	i := slices.IndexFunc(li.params, func(p *param) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return li.params[i]
}

// useAttributes are the attributes of use itself; the others are arguments.
var useAttributes = []string{"when", "tags", "for_each"}

func (l *loader) use(b *hclsyntax.Block, outer *use) []*stepDef {
	names, ok := labels(b, &l.mistakes, "LIST", "NAME")
	if !ok {
		return nil
	}
	called := l.c.lists[names[0]]
	if called == nil {
		if !l.c.broken["steps"] {
			l.error(b.LabelRanges[0], fmt.Sprintf("there is no list of steps %q", names[0]),
				meantOr(names[0], sortedKeys(l.c.lists), "a list is written steps \"LIST\" { … }, here or in a file that include names"))
		}
		return nil
	}
	u := &use{list: called, name: names[1], at: b.DefRange(), outer: outer, args: map[string]*argument{}, prefix: names[1] + "/"}
	if outer != nil {
		u.prefix = outer.prefix + u.prefix
	}
	for up := outer; up != nil; up = up.outer {
		if up.list == called {
			l.error(b.DefRange(), fmt.Sprintf("list of steps %q uses itself", called.name))
			return nil
		}
	}
	for _, inner := range b.Body.Blocks {
		l.error(inner.TypeRange, "use holds attributes, not blocks", hint("write %s = …", inner.Type))
	}
	l.arguments(u, b, scopeStep(outer != nil, false))
	told := len(l.list)
	steps := l.steps(called.body, u)
	if called.broken {
		l.list = l.list[:told]
	}
	return steps
}

func (l *loader) arguments(u *use, b *hclsyntax.Block, s scope) {
	params := make([]string, len(u.list.params))
	for i, p := range u.list.params {
		params[i] = p.name
	}
	for _, a := range sortedAttributes(b.Body) {
		switch {
		case a.Name == "when":
			u.when = &condition{a.Expr, l.check(a.Expr, s)}
		case a.Name == "tags":
			u.tags = a.Expr
			l.check(a.Expr, scopePlay)
		case a.Name == "for_each":
			l.error(a.NameRange, "use has no for_each", hint("put for_each on the steps of the list, over a param"))
		case slices.Contains(stepAttributes, a.Name) && u.list.param(a.Name) == nil:
			l.error(a.NameRange, "use has no "+a.Name, hint("put %s on the steps of the list, made of a param where uses differ", a.Name))
		case u.list.param(a.Name) == nil:
			l.error(a.NameRange, fmt.Sprintf("list of steps %q has no param %q", u.list.name, a.Name), meant(a.Name, params))
		default:
			arg := &argument{a.Expr, l.check(a.Expr, s)}
			u.args[a.Name] = arg
			u.varies = max(u.varies, arg.used.varyIn(u.outer))
		}
	}
	for _, p := range u.list.params {
		if p.fallback == nil && u.args[p.name] == nil {
			l.error(b.DefRange(), fmt.Sprintf("param %q of list %q has no value", p.name, u.list.name), hint("write %s = … in this use", p.name))
		}
	}
}
