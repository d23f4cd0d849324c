package language

import (
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
	x.about = h.Name
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
	host, before, units := x.about, len(x.list), len(x.out.Units)
	x.about = ""
	k := &kept{}
	if runs := x.wanted(s); runs == decidedNo {
		k.skip = true
	} else {
		x.emit(s, s.address, x.context(s.use, s.at.Filename), runs)
	}
	x.about = host
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
