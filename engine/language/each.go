package language

import (
	"fmt"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

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
