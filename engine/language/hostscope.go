package language

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// context is what the expressions of a play, or of a use in it, see on this
// host.
func (x *evaluation) context(in *use, file string) *hcl.EvalContext {
	prefix := ""
	if in != nil {
		prefix = in.prefix
	}
	key := contextKey{prefix, file}
	ctx, ok := x.contexts[key]
	if !ok {
		ctx = x.p.context(file).NewChild()
		ctx.Variables = x.scopeOf(in, prefix)
		x.contexts[key] = ctx
	}
	return ctx
}

// scopeOf are the variables of a play or use, made when first asked for.
func (x *evaluation) scopeOf(in *use, prefix string) map[string]cty.Value {
	if vars, ok := x.variables[prefix]; ok {
		return vars
	}
	vars := map[string]cty.Value{}
	x.variables[prefix] = vars
	if prefix == "" {
		vars[rootHost] = x.hostObject()
		x.otherHosts(vars)
	} else {
		outer := x.scopeOf(nil, "")
		maps.Copy(vars, outer)
		vars[rootParam] = x.params(in)
	}
	x.showSteps(prefix)
	return vars
}

// hostObject is `host`.
func (x *evaluation) hostObject() cty.Value {
	attrs := x.p.values.hostAttrs[x.h.Name]
	if attrs == nil {
		attrs = unknownHost()
	}
	if !x.play.named.facts {
		return cty.ObjectVal(attrs)
	}
	attrs = maps.Clone(attrs)
	attrs["facts"] = x.p.facts(x.h.Name, x.k)
	return cty.ObjectVal(attrs)
}

// unknownHost stands for the hosts of a play while no inventory says which.
func unknownHost() map[string]cty.Value {
	return map[string]cty.Value{
		"name":    cty.UnknownVal(cty.String),
		"address": cty.UnknownVal(cty.String),
		"roles":   cty.UnknownVal(cty.List(cty.String)),
		"groups":  cty.UnknownVal(cty.List(cty.String)),
		"vars":    cty.DynamicVal,
	}
}

func (p *Program) facts(host string, k Known) cty.Value {
	if k.Facts == nil {
		return factsValue(p.config.facts, nil, p.config.factNames)
	}
	return factsValue(p.config.facts, k.Facts(host), p.config.factNames)
}

// params are the arguments of a use, by the types of its list.
func (x *evaluation) params(u *use) cty.Value {
	out := map[string]cty.Value{}
	for _, p := range u.list.params {
		out[p.name] = x.param(u, p)
	}
	return cty.ObjectVal(out)
}

func (x *evaluation) param(u *use, p *param) cty.Value {
	arg := u.args[p.name]
	expr, ctx := p.fallback, x.p.context(p.at.Filename)
	if arg != nil {
		expr, ctx = arg.expr, x.context(u.outer, u.at.Filename)
	}
	if expr == nil || arg != nil && arg.used.told {
		return cty.DynamicVal // told at load
	}
	v, ok := evaluate(expr, ctx, &x.mistakes)
	if !ok {
		return cty.DynamicVal
	}
	if p.optional != nil && !v.IsNull() {
		v = p.optional.Apply(v)
	}
	if isAbsent(v) {
		return v
	}
	got, err := convert.Convert(v, p.typ)
	if err != nil {
		x.error(expr.Range(), fmt.Sprintf("param %q of list %q does not fit its type", p.name, u.list.name), detail("It wants %s.", wantedType(p.typ)))
		return cty.DynamicVal
	}
	return got
}

// earlier notes what is known of the steps of earlier plays that this one
// names.
func (x *evaluation) earlier() {
	var keyed []ownStep
	for _, prefix := range sortedKeys(x.play.named.own) {
		for _, address := range sortedKeys(x.play.named.own[prefix]) {
			ref := x.play.named.own[prefix][address]
			if ref.inPlay || ref.keyed {
				x.own[address] = cty.DynamicVal
			} else {
				x.own[address] = x.outputs(ref.kind, x.h.Name, address, ref.said.at)
				x.instances[address] = []string{address}
			}
			if ref.keyed && !ref.inPlay {
				keyed = append(keyed, ref)
			}
		}
	}
	for _, ref := range keyed { // they may name the others
		x.earlierKeys(ref)
	}
}

// earlierKeys evaluates the for_each of a step of an earlier play.
func (x *evaluation) earlierKeys(ref ownStep) {
	quiet := &evaluation{p: x.p, play: x.play, h: x.h, k: x.k, variables: x.variables, contexts: x.contexts, own: x.own, instances: x.instances}
	list, known := quiet.keys(ref.def, quiet.context(ref.def.use, ref.def.at.Filename))
	if !known {
		return
	}
	addresses := make([]string, len(list))
	for i, in := range list {
		addresses[i] = ref.address + "[" + strconv.Quote(in.key) + "]"
	}
	x.reachedKeys(ref.def, list, addresses)
}

// reached notes what is known of a step that later ones may name.
func (x *evaluation) reached(s *stepDef, addresses []string, left bool) {
	if !s.named {
		return
	}
	x.instances[s.address] = addresses
	switch {
	case left && s.keyed():
		x.own[s.address] = cty.EmptyObjectVal
	case left:
		x.own[s.address], _ = s.kind.outputs.value([]byte("null"), false)
	case s.keyed():
		x.own[s.address] = cty.DynamicVal
	default:
		x.own[s.address] = x.outputs(s.kind, x.h.Name, s.address, s.at)
	}
	x.shown(s)
}

// reachedKeys is reached for the steps of a for_each. Those of the list that
// are not among the addresses were left out.
func (x *evaluation) reachedKeys(s *stepDef, list []instance, addresses []string) {
	if !s.named {
		return
	}
	x.instances[s.address] = addresses
	attrs := make(map[string]cty.Value, len(list))
	reached := make(map[string]bool, len(addresses))
	for _, address := range addresses {
		reached[address] = true
	}
	for _, in := range list {
		address := s.address + "[" + strconv.Quote(in.key) + "]"
		if reached[address] {
			attrs[in.key] = x.outputs(s.kind, x.h.Name, address, s.at)
		} else {
			attrs[in.key], _ = s.kind.outputs.value([]byte("null"), false)
		}
	}
	x.own[s.address] = cty.ObjectVal(attrs)
	x.shown(s)
}

// shown renews `step` where a step is named.
func (x *evaluation) shown(s *stepDef) {
	for prefix, named := range x.play.named.own {
		if _, ok := named[s.address]; ok && x.variables[prefix] != nil {
			x.showSteps(prefix)
		}
	}
}

// showSteps makes `step` of a scope: the steps that its expressions name.
func (x *evaluation) showSteps(prefix string) {
	named := x.play.named.own[prefix]
	if len(named) == 0 {
		delete(x.variables[prefix], rootStep)
		return
	}
	kinds := map[string]map[string]cty.Value{}
	for address, ref := range named {
		if kinds[ref.said.kind] == nil {
			kinds[ref.said.kind] = map[string]cty.Value{}
		}
		kinds[ref.said.kind][ref.said.name] = x.own[address]
	}
	x.variables[prefix][rootStep] = objects(kinds)
}

func objects(kinds map[string]map[string]cty.Value) cty.Value {
	out := make(map[string]cty.Value, len(kinds))
	for k, names := range kinds {
		out[k] = cty.ObjectVal(names)
	}
	return cty.ObjectVal(out)
}

// outputs are those of a step, as far as they are known.
func (x *evaluation) outputs(k *kind, host, address string, at hcl.Range) cty.Value {
	v, err := x.p.outputs(k, host, address, x.k)
	if err != nil {
		x.error(at, fmt.Sprintf("what host %q said of step %s cannot be used", host, address), detail("%v", err))
	}
	return v
}

func (p *Program) outputs(k *kind, host, address string, known Known) (cty.Value, error) {
	if known.Outputs == nil || host == "" {
		return k.outputs.value(nil, false)
	}
	return k.outputs.value(known.Outputs(host, address), known.Lost != nil && known.Lost(host))
}

// stepNode writes references to steps: their addresses.
func (x *evaluation) stepNode(n *node) result {
	addresses := x.addresses(n)
	if n.shape.form != formList {
		if len(addresses) == 0 {
			return omitted
		}
		x.buf = appendString(x.buf, addresses[0])
		return written
	}
	x.buf = append(x.buf, '[')
	for i, a := range addresses {
		if i > 0 {
			x.buf = append(x.buf, ',')
		}
		x.buf = appendString(x.buf, a)
	}
	x.buf = append(x.buf, ']')
	return written
}

// addresses are those of the steps that a node names: all of a for_each
// without a key, none of one that is left out.
func (x *evaluation) addresses(n *node) []string {
	var out []string
	for _, ref := range n.steps {
		address := ref.kind + "." + n.prefix + ref.name
		if ref.hasKey {
			out = append(out, address+"["+strconv.Quote(ref.key)+"]")
			continue
		}
		out = append(out, x.instances[address]...)
	}
	return out
}
