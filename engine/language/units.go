package language

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"weft/engine/step"
)

// memoSlot keeps what is the same for all hosts, once it is known.
type memoSlot struct{ kept atomic.Pointer[kept] }

// kept is the outcome of a node or of a whole step.
type kept struct {
	result   result
	json     []byte
	unknown  []string
	secret   []string
	mistakes []Diagnostic
	unit     *step.Unit
	skip     bool
}

// Units evaluates a play on one host: its steps as plain data, in order. Steps
// whose `when` is false, or that the tags leave out, are not among them; a
// step whose `when` or `for_each` is not known yet is, with [UnknownWhen] or
// [UnknownEach] among what is unknown.
func (p *Program) Units(play *Play, host string, k Known) ([]step.Unit, Diagnostics) {
	e, ds := p.Evaluate(play, host, k)
	return e.Units, ds
}

// Evaluate is [Program.Units] with the steps that are left out. A host that is
// not in the inventory is a mistake of the caller, and panics.
func (p *Program) Evaluate(play *Play, host string, k Known) (Evaluation, Diagnostics) {
	h := p.values.byName[host]
	if h == nil {
		panic("language: a host that is not in the inventory: " + host)
	}
	x := p.evaluation(play, h, k)
	x.run()
	if len(x.list) == 0 {
		return x.out, nil
	}
	return x.out, x.finish(p.config.files, p.Secrets)
}

// evaluation is one play on one host.
type evaluation struct {
	mistakes
	encoder
	p    *Program
	play *Play
	h    *Host
	k    Known
	out  Evaluation

	variables map[string]map[string]cty.Value // by the prefix of the use
	contexts  map[contextKey]*hcl.EvalContext
	own       map[string]cty.Value // values of named steps by address
	instances map[string][]string  // addresses of the steps of a for_each; of a step left out, none
}

type contextKey struct{ prefix, file string }

func (p *Program) evaluation(play *Play, h *Host, k Known) *evaluation {
	x := &evaluation{
		p: p, play: play, h: h, k: k,
		variables: map[string]map[string]cty.Value{},
		contexts:  map[contextKey]*hcl.EvalContext{},
		own:       map[string]cty.Value{},
		instances: map[string][]string{},
	}
	x.mistakes.host = h.Name
	x.out.Units = make([]step.Unit, 0, len(play.steps))
	return x
}

func (x *evaluation) run() {
	x.earlier()
	for i, s := range x.play.steps {
		switch {
		case s.kind.spec == nil: // an unknown kind
		case x.play.selected[i]:
			x.step(s)
		default:
			x.aside(s)
		}
	}
}

// aside evaluates a step that the tags leave out, for those that name it.
func (x *evaluation) aside(s *stepDef) {
	units, skipped := len(x.out.Units), len(x.out.Skipped)
	if s.named {
		x.step(s)
	}
	x.out.Aside = append(x.out.Aside, x.out.Units[units:]...)
	x.out.Units = x.out.Units[:units]
	x.out.Skipped = append(x.out.Skipped[:skipped], Skip{s.address, ByTags})
}

// step evaluates a step of the play, which may be none, one or many units.
func (x *evaluation) step(s *stepDef) {
	if s.slot >= 0 {
		x.invariant(s)
		return
	}
	runs := x.wanted(s)
	if s.keyed() && runs != decidedNo {
		x.each(s, runs)
		return
	}
	if runs == decidedNo {
		x.out.Skipped = append(x.out.Skipped, Skip{s.address, ByWhen})
		x.reached(s, nil, true)
		return
	}
	x.emit(s, s.address, x.context(s.use, s.at.Filename), runs)
	x.reached(s, []string{s.address}, false)
}

// invariant is step for one that is the same for all hosts, but for its name.
func (x *evaluation) invariant(s *stepDef) {
	slot := &x.p.memo[s.slot]
	k := slot.kept.Load()
	if k == nil {
		k = x.computeInvariant(s)
		slot.kept.Store(k)
	}
	x.list = append(x.list, k.mistakes...)
	if k.skip {
		x.out.Skipped = append(x.out.Skipped, Skip{s.address, ByWhen})
	}
	if k.unit != nil {
		x.out.Units = append(x.out.Units, *k.unit)
	}
	if s.named {
		x.reached(s, []string{s.address}, k.skip)
	}
}

func (x *evaluation) computeInvariant(s *stepDef) *kept {
	host, before, units := x.mistakes.host, len(x.list), len(x.out.Units)
	x.mistakes.host = ""
	k := &kept{}
	if runs := x.wanted(s); runs == decidedNo {
		k.skip = true
	} else {
		x.emit(s, s.address, x.context(s.use, s.at.Filename), runs)
	}
	x.mistakes.host = host
	k.mistakes = append(k.mistakes, x.list[before:]...)
	x.list = x.list[:before]
	if len(x.out.Units) > units {
		u := x.out.Units[units]
		k.unit = &u
		x.out.Units = x.out.Units[:units]
	}
	return k
}

// decided is the outcome of a `when`.
type decided int

const (
	decidedYes decided = iota
	decidedNo
	undecided
)

// wanted says whether a step runs: its own `when`, unless that names each, and
// those of the uses around it.
func (x *evaluation) wanted(s *stepDef) decided {
	out := decidedYes
	for u := s.use; u != nil; u = u.outer {
		if u.when != nil {
			out = out.and(x.condition(u.when, x.context(u.outer, u.at.Filename)))
		}
	}
	if s.when != nil && !s.when.perKey() {
		out = out.and(x.condition(s.when, x.context(s.use, s.at.Filename)))
	}
	return out
}

func (d decided) and(other decided) decided {
	switch {
	case d == decidedNo || other == decidedNo:
		return decidedNo
	case d == undecided || other == undecided:
		return undecided
	}
	return decidedYes
}

// perKey says whether a `when` names each.
func (c *condition) perKey() bool {
	for _, r := range c.used.roots {
		if r.name == rootEach {
			return true
		}
	}
	return false
}

func (x *evaluation) condition(c *condition, ctx *hcl.EvalContext) decided {
	v, ok := evaluateTold(c.expr, c.used, ctx, &x.mistakes)
	if !ok {
		return undecided
	}
	v, _ = v.Unmark()
	v, ok = toPrimitive(v, cty.Bool)
	switch {
	case !ok:
		x.error(c.expr.Range(), "when is true or false")
		return undecided
	case !v.IsKnown():
		return undecided
	case v.IsNull():
		x.error(c.expr.Range(), "when is true or false", detail("This is null."))
		return undecided
	case v.True():
		return decidedYes
	}
	return decidedNo
}

// instance is one key of a for_each.
type instance struct {
	key   string
	value cty.Value
}

// each evaluates a step with for_each.
func (x *evaluation) each(s *stepDef, runs decided) {
	ctx := x.context(s.use, s.at.Filename)
	list, known := x.keys(s, ctx)
	if !known {
		inner := eachContext(ctx, cty.UnknownVal(cty.String), cty.DynamicVal)
		x.emit(s, s.address, inner, undecided)
		if n := len(x.out.Units); n > 0 && x.out.Units[n-1].Address == s.address {
			u := &x.out.Units[n-1]
			u.Unknown = append([]string{UnknownEach}, without(u.Unknown, UnknownWhen)...)
		}
		x.reached(s, nil, false)
		return
	}
	addresses := make([]string, 0, len(list))
	for _, in := range list {
		address := s.address + "[" + strconv.Quote(in.key) + "]"
		inner, runs := eachContext(ctx, cty.StringVal(in.key), in.value), runs
		if s.when != nil && s.when.perKey() {
			runs = runs.and(x.condition(s.when, inner))
		}
		if runs == decidedNo {
			x.out.Skipped = append(x.out.Skipped, Skip{address, ByWhen})
			continue
		}
		x.emit(s, address, inner, runs)
		addresses = append(addresses, address)
	}
	x.reachedKeys(s, list, addresses)
}

func without(list []string, word string) []string {
	var out []string
	for _, s := range list {
		if s != word {
			out = append(out, s)
		}
	}
	return out
}

func eachContext(outer *hcl.EvalContext, key, value cty.Value) *hcl.EvalContext {
	ctx := outer.NewChild()
	ctx.Variables = map[string]cty.Value{
		rootEach: cty.ObjectVal(map[string]cty.Value{"key": key, "value": value}),
	}
	return ctx
}

// keys evaluates a for_each.
func (x *evaluation) keys(s *stepDef, ctx *hcl.EvalContext) ([]instance, bool) {
	v, ok := evaluateTold(s.forEach.expr, s.forEach.used, ctx, &x.mistakes)
	if !ok {
		return nil, false
	}
	at := s.forEach.expr.Range()
	if v.HasMark(sensitive) {
		x.error(at, "for_each cannot be sensitive", detail("Its keys become the addresses of steps, which everybody sees."))
		return nil, false
	}
	v, _ = v.Unmark()
	t := v.Type()
	switch {
	case !v.IsKnown():
		return nil, false
	case v.IsNull():
		x.error(at, "for_each cannot be null", hint("write {} or [] for none"))
		return nil, false
	case t.IsMapType() || t.IsObjectType():
		return pairs(v), true
	case t.IsListType() || t.IsSetType() || t.IsTupleType():
		return x.elements(v, at)
	}
	x.error(at, "for_each is a map, or a list of strings", detail("This is %s.", typeName(t)))
	return nil, false
}

func pairs(v cty.Value) []instance {
	var out []instance
	for it := v.ElementIterator(); it.Next(); {
		k, value := it.Element()
		out = append(out, instance{k.AsString(), value})
	}
	return out
}

func (x *evaluation) elements(v cty.Value, at hcl.Range) ([]instance, bool) {
	var out []instance
	seen := map[string]bool{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		switch {
		case e.HasMark(sensitive):
			x.error(at, "for_each cannot be sensitive", detail("Its keys become the addresses of steps, which everybody sees."))
			return nil, false
		case !e.IsKnown():
			return nil, false
		case e.IsNull() || e.Type() != cty.String:
			x.error(at, "for_each is a map, or a list of strings", detail("One of its elements is %s.", typeName(e.Type())),
				hint("make a map: { for x in LIST : x.name => x }"))
			return nil, false
		case seen[e.AsString()]:
			x.error(at, fmt.Sprintf("for_each has %q twice", e.AsString()), hint("distinct(LIST) leaves out repeats"))
			return nil, false
		}
		seen[e.AsString()] = true
		out = append(out, instance{e.AsString(), e})
	}
	return out, true
}
