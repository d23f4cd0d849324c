package language

import (
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// values are what expressions can name before any host is looked at.
type values struct {
	roots map[string]cty.Value
	// hosts and roles as expressions see them; the attributes of each host
	// without facts and outputs.
	hostAttrs map[string]map[string]cty.Value
	byName    map[string]*Host
	roles     map[string][]*Host // in the order of the inventory
	groups    map[string][]*Host
	noHosts   bool

	mu       sync.Mutex
	contexts map[string]*hcl.EvalContext // by file
}

// Bind gives the variables their values, reads the inventory, and finds the
// hosts of each play. The Program is always there, and as whole as can be.
func (c *Config) Bind(in Inputs) (*Program, Diagnostics) {
	p := &Program{
		Playbook: c.sources.Playbook,
		Site:     "default",
		config:   c,
		memo:     make([]memoSlot, c.slots),
		sealed:   map[string]bool{},
		values: &values{
			roots:     map[string]cty.Value{rootAbsent: absentValue()},
			hostAttrs: map[string]map[string]cty.Value{},
			byName:    map[string]*Host{},
			roles:     map[string][]*Host{},
			groups:    map[string][]*Host{},
			noHosts:   len(c.hosts) == 0,
			contexts:  map[string]*hcl.EvalContext{},
		},
	}
	b := &binder{Program: p, c: c, done: map[string]cty.Value{}}
	b.variables(in)
	b.locals(false)
	b.site()
	b.inventory()
	b.hostValues()
	b.locals(true)
	b.lab()
	b.plays(in)
	b.hostReferences()
	return p, b.finish(c.files, p.Secrets)
}

type binder struct {
	*Program
	mistakes
	c *Config

	groupOrder []*group
	done       map[string]cty.Value // locals
}

// context returns what expressions of a file see outside steps.
func (p *Program) context(file string) *hcl.EvalContext {
	v := p.values
	v.mu.Lock()
	defer v.mu.Unlock()
	ctx, ok := v.contexts[file]
	if !ok {
		ctx = p.config.functions.of(file)
		ctx.Variables = v.roots
		v.contexts[file] = ctx
	}
	return ctx
}

func (b *binder) site() {
	for _, a := range b.c.sites {
		if s := text(a.Expr, b.context(a.SrcRange.Filename), "site", &b.mistakes); s != "" {
			b.Site = s
		}
	}
}

// locals evaluates the locals that need no hosts, or the others. Those that
// name one another are evaluated in the order that this takes.
func (b *binder) locals(late bool) {
	byName := map[string]*local{}
	for _, l := range b.c.locals {
		byName[l.name] = l
	}
	e := &localEvaluation{binder: b, byName: byName, open: map[string]bool{}}
	for _, l := range b.c.locals {
		if late || !b.c.needsHosts(l.name, nil) {
			e.evaluate(l)
		}
	}
	b.values.roots[rootLocal] = cty.ObjectVal(b.namedLocals())
}

type localEvaluation struct {
	*binder
	byName map[string]*local
	open   map[string]bool // being evaluated, to find circles
}

// needsHosts says whether a local names hosts, itself or through others.
func (c *Config) needsHosts(name string, through []string) bool {
	i := slices.IndexFunc(c.locals, func(l *local) bool { return l.name == name })
	if i < 0 || slices.Contains(through, name) {
		return false
	}
	l := c.locals[i]
	for _, r := range l.used.roots {
		if r.name == rootHosts || r.name == rootRole {
			return true
		}
	}
	for _, n := range l.used.locals {
		if c.needsHosts(n.name, append(through, name)) {
			return true
		}
	}
	return false
}

func (e *localEvaluation) evaluate(l *local) {
	if _, ok := e.done[l.name]; ok {
		return
	}
	e.open[l.name] = true
	for _, n := range l.used.locals {
		next := e.byName[n.name]
		if next == nil {
			continue
		}
		if e.open[n.name] {
			e.error(n.at, "local "+quoted(l.name)+" needs itself", hint("the circle goes through local.%s", n.name))
			e.done[n.name] = cty.DynamicVal
			continue
		}
		e.evaluate(next)
	}
	delete(e.open, l.name)
	if _, ok := e.done[l.name]; ok {
		return // part of a circle
	}
	// The others are as good as unknown: what l names is done.
	e.values.roots[rootLocal] = cty.ObjectVal(e.named(l))
	e.done[l.name], _ = evaluateTold(l.expr, l.used, e.context(l.at.Filename), &e.mistakes)
}

// named are the locals that a local names.
func (e *localEvaluation) named(l *local) map[string]cty.Value {
	out := map[string]cty.Value{}
	for _, n := range l.used.locals {
		out[n.name] = cty.DynamicVal
		if v, ok := e.done[n.name]; ok {
			out[n.name] = v
		}
	}
	return out
}

// namedLocals are all locals; those that are not evaluated yet, and those that
// are named but not there, are unknown.
func (b *binder) namedLocals() map[string]cty.Value {
	out := map[string]cty.Value{}
	for _, ch := range b.c.checked {
		for _, n := range ch.used.locals {
			out[n.name] = cty.DynamicVal
		}
	}
	maps.Copy(out, b.done)
	return out
}
