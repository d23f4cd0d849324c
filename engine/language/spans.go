package language

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"weft/engine/step"
)

// span is an attribute of steps and plays that is a time.
type span struct {
	name     string
	shortest time.Duration
	longest  time.Duration
	why      string // why it cannot be shorter
}

var (
	// guardSpan is how long a host waits for a confirmation.
	guardSpan = span{"guard", 5 * time.Second, 24 * time.Hour,
		"In this time a new connection is made and confirms the change, else the host takes it back."}
	// limitSpan is how long a step may take.
	limitSpan = span{"time_limit", time.Second, 24 * time.Hour, "A step that is not done in this time fails."}
)

// read returns the time that a known value says.
func (s span) read(v cty.Value, at hcl.Range, m *mistakes) (time.Duration, bool) {
	example := hint(`write %s = "60s": a number and ms, s, m or h`, s.name)
	if v.HasMark(sensitive) {
		m.error(at, s.name+" cannot be sensitive", detail("Everybody who sees the plan sees it."))
		return 0, false
	}
	v, _ = v.Unmark()
	if v.Type() != cty.String {
		m.error(at, s.name+" is a duration, as a string", detail("This is %s.", typeName(v.Type())), example)
		return 0, false
	}
	d, err := time.ParseDuration(v.AsString())
	switch {
	case err != nil:
		m.error(at, fmt.Sprintf("%s is a duration, not %q", s.name, v.AsString()), example)
	case d < 0:
		m.error(at, fmt.Sprintf("%s cannot be negative", s.name), hint("leave it out for none"))
	case d < s.shortest:
		m.error(at, fmt.Sprintf("%s cannot be shorter than %v", s.name, s.shortest), detail("%s", s.why), hint("leave it out for none; in a step of a play that has one, write absent"))
	case d > s.longest:
		m.error(at, fmt.Sprintf("%s cannot be longer than %v", s.name, s.longest))
	default:
		return d, true
	}
	return 0, false
}

// spanOf compiles such an attribute of a step. It must be known before the step
// is: outputs are not.
func (c *compiler) spanOf(body *hclsyntax.Body, s span) *condition {
	a, ok := body.Attributes[s.name]
	if !ok {
		return nil
	}
	told, used := len(c.list), c.names(a.Expr)
	outputs := slices.Concat(used.steps, used.farSteps)
	for _, o := range used.others {
		if o.step != nil {
			outputs = append(outputs, *o.step)
		}
	}
	for _, o := range outputs {
		if c.c.kinds[o.kind] != nil {
			c.error(o.at, s.name+" cannot be made of the outputs of steps", detail("It must be known before the play begins."))
		}
	}
	used.told = used.told || len(c.list) > told
	return &condition{a.Expr, used}
}

// spans reads the attributes of a step that are times.
func (c *compiler) spans(body *hclsyntax.Body) {
	s := c.step
	s.guard, s.limit = c.spanOf(body, guardSpan), c.spanOf(body, limitSpan)
	if s.guard != nil && s.kind.Probe != nil {
		c.warn(s.guard.expr.Range(), "a probe has nothing to guard",
			detail("A guard is armed before a step's first effect, and a probe has none."), hint("guard the steps that this probe looks at"))
	}
}

// guardsSomething warns of a play with a guard that nothing would ever arm.
func (l *loader) guardsSomething(p *playBlock) {
	e := attribute(p.body, guardSpan.name)
	if e == nil || p.broken {
		return
	}
	for _, s := range p.steps {
		if s.kind.Probe == nil {
			return
		}
	}
	l.warn(e.Range(), fmt.Sprintf("play %q has nothing to guard", p.name), detail("None of its steps changes anything."),
		hint("a guard covers the steps of its own play; write it in the play that they stand in"))
}

// span evaluates such an attribute of a play.
func (b *binder) span(block *playBlock, s span) time.Duration {
	e := attribute(block.body, s.name)
	if e == nil {
		return 0
	}
	v, ok := evaluate(e, b.context(block.at.Filename), &b.mistakes)
	if !ok || v.IsNull() || !v.IsKnown() {
		return 0
	}
	d, _ := s.read(v, e.Range(), &b.mistakes)
	return d
}

// spans gives a unit its times: the step's own, or else those of the play. A
// step takes leave of its play's by `absent`.
func (x *evaluation) spans(u *step.Unit, s *stepDef, ctx *hcl.EvalContext) {
	ofPlay := x.play.guard
	if s.kind.Probe != nil {
		ofPlay = 0
	}
	u.Guard = x.span(u, guardSpan, s.guard, ctx, ofPlay)
	u.Limit = x.span(u, limitSpan, s.limit, ctx, x.play.limit)
}

func (x *evaluation) span(u *step.Unit, s span, c *condition, ctx *hcl.EvalContext, ofPlay time.Duration) time.Duration {
	if c == nil {
		return ofPlay
	}
	v, ok := evaluateTold(c.expr, c.used, ctx, &x.mistakes)
	switch {
	case !ok || isAbsent(v):
		return 0
	case v.IsNull():
		return ofPlay
	case !v.IsKnown():
		u.Unknown = append(u.Unknown, s.name)
		return 0
	}
	d, _ := s.read(v, c.expr.Range(), &x.mistakes)
	return d
}
