package language

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// encoder writes the JSON of a spec, and notes what is unknown and what is
// secret by its path.
type encoder struct {
	buf     []byte
	unknown []string
	secret  []string
	inList  string // the path of the outermost list that is being written
	hidden  int    // above zero, what is written is sensitive
}

// result is what became of a value.
type result int

const (
	written result = iota
	omitted        // null: unmanaged
	unknown        // noted, unless inside a list, which is then unknown as a whole
	wrong          // told
)

func (x *evaluation) begin() {
	x.buf = x.buf[:0]
	x.unknown, x.secret = nil, nil
}

// node writes what a node stands for.
func (x *evaluation) node(n *node, ctx *hcl.EvalContext) result {
	if n.fixed != nil {
		x.buf = append(x.buf, n.fixed...)
		x.noteSecret(n)
		return written
	}
	if n.slot < 0 {
		return x.compute(n, ctx)
	}
	slot := x.slot(n)
	if slot == nil || x.inList != "" {
		// Inside a list unknowns and secrets are the list's: they are not
		// kept, for lists that are the same everywhere are kept as wholes.
		return x.compute(n, ctx)
	}
	k := slot.kept.Load()
	if k == nil {
		k = x.keep(n, ctx)
		slot.kept.Store(k)
	}
	x.buf = append(x.buf, k.json...)
	x.unknown = append(x.unknown, k.unknown...)
	x.secret = append(x.secret, k.secret...)
	x.list = append(x.list, k.mistakes...)
	return k.result
}

// slot is where a node's JSON is kept: for the program, or for as long as what
// is known of the other hosts stays the same.
func (x *evaluation) slot(n *node) *memoSlot {
	if n.varies == byNothing {
		return &x.p.memo[n.slot]
	}
	if x.k.Memo == nil {
		return nil
	}
	return x.k.Memo.slot(n.slot)
}

// keep computes a node and takes out of the encoder what it wrote.
func (x *evaluation) keep(n *node, ctx *hcl.EvalContext) *kept {
	buf, unknowns, secrets, told, host := len(x.buf), len(x.unknown), len(x.secret), len(x.list), x.about
	x.about = ""
	k := &kept{result: x.compute(n, ctx)}
	x.about = host
	k.json = slices.Clone(x.buf[buf:])
	k.unknown = slices.Clone(x.unknown[unknowns:])
	k.secret = slices.Clone(x.secret[secrets:])
	k.mistakes = slices.Clone(x.list[told:])
	x.buf, x.unknown, x.secret, x.list = x.buf[:buf], x.unknown[:unknowns], x.secret[:secrets], x.list[:told]
	return k
}

func (x *evaluation) compute(n *node, ctx *hcl.EvalContext) result {
	var r result
	switch {
	case n.steps != nil:
		r = x.stepNode(n)
	case n.objct:
		r = x.objectNode(n, ctx)
	case n.listed:
		r = x.listNode(n, ctx)
	case n.choice != nil:
		r = x.choiceNode(n, ctx)
	default:
		v, ok := evaluateTold(n.expr, n.used, ctx, &x.mistakes)
		if !ok {
			return wrong
		}
		r = x.value(v, n.shape, n.field, n.path, n.at)
	}
	if r == written || r == unknown {
		x.noteSecret(n)
	}
	return r
}

func (x *evaluation) noteSecret(n *node) {
	if n.field.secret {
		x.secretAt(n.path)
	}
}

func (x *evaluation) secretAt(path string) {
	if x.inList != "" {
		path = x.inList
	}
	if !slices.Contains(x.secret, path) {
		x.secret = append(x.secret, path)
	}
}

func (x *evaluation) unknownAt(path string) result {
	if x.inList == "" {
		x.unknown = append(x.unknown, path)
	}
	return unknown
}

func (x *evaluation) objectNode(n *node, ctx *hcl.EvalContext) result {
	out := written
	begin := len(x.buf)
	x.buf = append(x.buf, '{')
	for _, it := range n.items {
		at := len(x.buf)
		if at > begin+1 {
			x.buf = append(x.buf, ',')
		}
		x.buf = append(x.buf, it.key...)
		r := x.node(it.node, ctx)
		if r != written {
			x.buf = x.buf[:at]
		}
		switch {
		case r == omitted && n.shape.form == formObject:
			x.requiredNull(it.node)
		case r == wrong, r == unknown && x.inList != "" && out != wrong:
			out = r
		}
	}
	x.buf = append(x.buf, '}')
	return x.ended(out, begin)
}

// ended takes back what was written of a value that did not come about.
func (x *evaluation) ended(r result, begin int) result {
	if r != written {
		x.buf = x.buf[:begin]
	}
	return r
}

// enterList notes the outermost list; the returned function leaves it.
func (x *evaluation) enterList(path string) (leave func()) {
	if x.inList != "" {
		return func() {}
	}
	x.inList = path
	return func() { x.inList = "" }
}

func (x *evaluation) listNode(n *node, ctx *hcl.EvalContext) result {
	out, begin := written, len(x.buf)
	leave := x.enterList(n.path)
	x.buf = append(x.buf, '[')
	for i, e := range n.elems {
		if i > 0 {
			x.buf = append(x.buf, ',')
		}
		switch r := x.node(e, ctx); r {
		case omitted:
			x.error(e.at, fmt.Sprintf("%s is null", e.path), detail("A list has no empty places."))
			out = wrong
		case wrong:
			out = wrong
		case unknown:
			out = max(out, unknown)
		}
	}
	x.buf = append(x.buf, ']')
	leave()
	if out == unknown {
		x.unknownAt(n.path)
	}
	return x.ended(out, begin)
}

func (x *evaluation) choiceNode(n *node, ctx *hcl.EvalContext) result {
	c := n.choice.condition
	v, ok := evaluateTold(c.expr, c.used, ctx, &x.mistakes)
	if !ok {
		return wrong
	}
	if v.HasMark(sensitive) {
		x.secretAt(n.path)
	}
	v, _ = v.Unmark()
	v, ok = toPrimitive(v, cty.Bool)
	switch {
	case !ok || v.IsNull():
		x.error(c.expr.Range(), "a condition is true or false")
		return wrong
	case !v.IsKnown():
		// Both arms are looked at for their mistakes.
		begin, unknowns := len(x.buf), len(x.unknown)
		x.node(n.choice.yes, ctx)
		x.node(n.choice.no, ctx)
		x.buf, x.unknown = x.buf[:begin], x.unknown[:unknowns]
		return x.unknownAt(n.path)
	case v.True():
		return x.node(n.choice.yes, ctx)
	}
	return x.node(n.choice.no, ctx)
}
