package language

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// node is an attribute's value, taken apart as far as it is written out: each
// part has its own range and its own path, and what is the same for all hosts
// is evaluated once.
type node struct {
	shape  *shape
	field  *field // the attribute it is (part of), for enum and secret
	path   string
	at     hcl.Range
	slot   int // where its JSON is kept; -1 where it differs from host to host
	varies variance

	// Exactly one of these is set.
	fixed  []byte               // JSON
	expr   hclsyntax.Expression // to be evaluated
	used   *names               // of expr
	items  []item               // of an object or a map
	elems  []*node              // of a list
	choice *choice              // c ? a : b
	steps  []stepName           // references
	prefix string               // of the use that they stand in
	listed bool                 // elems is set, maybe empty
	objct  bool                 // items is set, maybe empty
}

// item is a key of an object or map.
type item struct {
	key  []byte // "name": as JSON
	node *node
}

// choice is a conditional of which only the arm that holds is evaluated.
type choice struct {
	condition *condition
	yes, no   *node
}

// node compiles an expression. Its own names are checked here, once.
func (c *compiler) node(expr hclsyntax.Expression, s *shape, f *field, path string) *node {
	for {
		p, ok := expr.(*hclsyntax.ParenthesesExpr)
		if !ok {
			break
		}
		expr = p.Expression
	}
	n := &node{shape: s, field: f, path: path, at: expr.Range(), slot: -1}
	if f.steps && s.form != formObject && s.form != formMap {
		c.stepNames(n, expr)
		return n
	}
	switch e := expr.(type) {
	case *hclsyntax.ObjectConsExpr:
		c.object(n, e)
	case *hclsyntax.TupleConsExpr:
		c.tuple(n, e)
	case *hclsyntax.ConditionalExpr:
		used := c.names(e.Condition)
		n.choice = &choice{&condition{e.Condition, used}, c.node(e.TrueResult, s, f, path), c.node(e.FalseResult, s, f, path)}
		n.varies = max(used.varyIn(c.step.use), n.choice.yes.varies, n.choice.no.varies)
	default:
		c.leaf(n, expr)
	}
	c.keep(n)
	return n
}

// keep gives a node a place for its JSON where that is the same for many hosts.
func (c *compiler) keep(n *node) {
	if n.varies < byHost {
		n.slot = c.slot()
	}
}

func (c *compiler) leaf(n *node, expr hclsyntax.Expression) {
	n.expr, n.used = expr, c.names(expr)
	if lit, ok := expr.(*hclsyntax.LiteralValueExpr); ok && n.shape.form == formString && lit.Val.Type() == cty.Number && !lit.Val.IsNull() {
		c.literalNumber(lit)
	}
	n.varies = n.used.varyIn(c.step.use)
}

// literalNumber catches 1.10 where a text is wanted: the number is 1.1.
func (c *compiler) literalNumber(lit *hclsyntax.LiteralValueExpr) {
	src, err := c.c.files.get(lit.SrcRange.Filename)
	if err != nil || lit.SrcRange.End.Byte > len(src) {
		return
	}
	written, is := string(src[lit.SrcRange.Start.Byte:lit.SrcRange.End.Byte]), numberText(lit.Val)
	if written != is {
		c.error(lit.SrcRange, fmt.Sprintf("as a text the number %s would become %q", written, is), hint("write %q, with quotation marks", written))
	}
}

func (c *compiler) object(n *node, e *hclsyntax.ObjectConsExpr) {
	if n.shape.form != formObject && n.shape.form != formMap {
		c.leaf(n, e)
		return
	}
	keys := make([]string, len(e.Items))
	for i, it := range e.Items {
		v, diags := it.KeyExpr.Value(nil)
		if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
			c.leaf(n, e) // a computed key
			return
		}
		keys[i] = v.AsString()
	}
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			c.error(e.Items[i].KeyExpr.Range(), fmt.Sprintf("%q is given twice", k))
		}
	}
	n.objct = true
	if n.shape.form == formMap {
		for i, it := range e.Items {
			child := c.node(it.ValueExpr, n.shape.elem, n.field, dotted(n.path, keys[i]))
			n.items = append(n.items, item{append(appendString(nil, keys[i]), ':'), child})
			n.varies = max(n.varies, child.varies)
		}
		return
	}
	given := make([]givenAttribute, len(e.Items))
	for i, it := range e.Items {
		given[i] = givenAttribute{name: keys[i], at: it.KeyExpr.Range(), expr: it.ValueExpr}
	}
	c.fill(n, given, quoted(n.path), e.SrcRange, nil)
}

func (c *compiler) tuple(n *node, e *hclsyntax.TupleConsExpr) {
	if n.shape.form != formList {
		c.leaf(n, e)
		return
	}
	n.listed = true
	for i, x := range e.Exprs {
		child := c.node(x, n.shape.elem, n.field, fmt.Sprintf("%s[%d]", n.path, i))
		n.elems = append(n.elems, child)
		n.varies = max(n.varies, child.varies)
	}
}

// givenAttribute is an attribute as it is written, or nested blocks that stand
// for it.
type givenAttribute struct {
	name   string
	at     hcl.Range
	expr   hclsyntax.Expression
	blocks []*hclsyntax.Block
}

// body compiles the body of a step or of a nested block.
func (c *compiler) body(body *hclsyntax.Body, s *shape, path, what string, missingAt hcl.Range, also []string) *node {
	n := &node{shape: s, field: &field{}, path: path, at: missingAt, slot: -1, objct: true}
	var given []givenAttribute
	for _, a := range sortedAttributes(body) {
		given = append(given, givenAttribute{name: a.Name, at: a.NameRange, expr: a.Expr})
	}
	for _, b := range body.Blocks {
		if len(b.Labels) > 0 {
			c.error(b.LabelRanges[0], fmt.Sprintf("a block %q has no name here", b.Type))
		}
		i := slices.IndexFunc(given, func(g givenAttribute) bool { return g.name == b.Type })
		switch {
		case i < 0:
			given = append(given, givenAttribute{name: b.Type, at: b.TypeRange, blocks: []*hclsyntax.Block{b}})
		case given[i].expr != nil:
			c.error(b.TypeRange, fmt.Sprintf("%q is given both as an attribute and as a block", b.Type))
		default:
			given[i].blocks = append(given[i].blocks, b)
		}
	}
	c.fill(n, given, what, missingAt, also)
	c.keep(n)
	return n
}

// fill puts the given attributes into an object node, in the order of the
// spec, and tells of those that are missing or not known.
func (c *compiler) fill(n *node, given []givenAttribute, what string, missingAt hcl.Range, also []string) {
	for _, g := range given {
		if n.shape.field(g.name) == nil {
			c.error(g.at, fmt.Sprintf("%s has no attribute %q", what, g.name), c.meantAttribute(g.name, n, also))
			for _, expr := range g.expressions() {
				c.names(expr)
			}
		}
	}
	for _, f := range n.shape.fields {
		i := slices.IndexFunc(given, func(g givenAttribute) bool { return g.name == f.Name })
		child := c.fallback(f, n, missingAt)
		if i >= 0 {
			child = c.given(given[i], f, dotted(n.path, f.Name))
		}
		if child != nil {
			n.items = append(n.items, item{f.key, child})
			n.varies = max(n.varies, child.varies)
		}
	}
	for _, f := range n.shape.fields {
		isGiven := slices.ContainsFunc(given, func(g givenAttribute) bool { return g.name == f.Name })
		if !isGiven {
			c.missing(f, n, missingAt, what)
		}
	}
}

// meantAttribute is meant; where nothing is near and the attributes are many, it
// says where they are listed.
func (c *compiler) meantAttribute(name string, n *node, also []string) note {
	return func(d *Diagnostic) {
		meant(name, slices.Concat(n.shape.names(), also))(d)
		if d.Hint == "" {
			d.Hint = fmt.Sprintf("weft modules %s lists them", c.step.kind.Name)
		}
	}
}

func (g givenAttribute) expressions() []hclsyntax.Expression {
	if g.expr != nil {
		return []hclsyntax.Expression{g.expr}
	}
	var out []hclsyntax.Expression
	for _, b := range g.blocks {
		for _, a := range sortedAttributes(b.Body) {
			out = append(out, a.Expr)
		}
	}
	return out
}

// fallback is the node of an attribute that is left out: the step's name, the
// default, or nothing.
func (c *compiler) fallback(f *field, parent *node, at hcl.Range) *node {
	n := &node{shape: f.shape, field: f, path: dotted(parent.path, f.Name), at: at, slot: -1}
	switch {
	case f.label && parent.path == "" && !c.step.keyed():
		n.fixed = appendString(nil, c.step.label)
	case f.fallback != nil:
		n.fixed = f.fallback
	default:
		return nil
	}
	return n
}

func (c *compiler) missing(f *field, parent *node, at hcl.Range, what string) {
	switch {
	case f.label && parent.path == "" && c.step.keyed():
		c.error(at, fmt.Sprintf("%s needs %q under for_each", what, f.Name),
			detail("The steps of a for_each cannot all have the name %q.", c.step.label), hint("write %s = each.key", f.Name))
	case f.required && f.fallback == nil && (!f.label || parent.path != ""):
		c.error(at, fmt.Sprintf("%s needs %q", what, f.Name), detail("%s", f.Doc), hint("it is %s", f.shape))
	}
}

func (c *compiler) given(g givenAttribute, f *field, path string) *node {
	if g.expr != nil {
		return c.node(g.expr, f.shape, f, path)
	}
	s := f.shape
	switch {
	case s.form == formObject:
		if len(g.blocks) > 1 {
			c.error(g.blocks[1].TypeRange, fmt.Sprintf("%q is given twice", f.Name))
		}
		n := c.body(g.blocks[0].Body, s, path, "block "+quoted(f.Name), g.blocks[0].DefRange(), nil)
		n.field = f
		return n
	case s.form == formList && s.elem.form == formObject:
		n := &node{shape: s, field: f, path: path, at: g.at, slot: -1, listed: true}
		for i, b := range g.blocks {
			n.elems = append(n.elems, c.body(b.Body, s.elem, fmt.Sprintf("%s[%d]", path, i), "block "+quoted(f.Name), b.DefRange(), nil))
		}
		for _, e := range n.elems {
			n.varies = max(n.varies, e.varies)
		}
		c.keep(n)
		return n
	}
	c.error(g.at, fmt.Sprintf("%q is an attribute, not a block", f.Name), hint("write %s = …, %s", f.Name, s))
	return nil
}

// stepNames compiles references to steps: step.KIND.NAME, or a list of them.
func (c *compiler) stepNames(n *node, expr hclsyntax.Expression) {
	list := []hclsyntax.Expression{expr}
	if t, ok := expr.(*hclsyntax.TupleConsExpr); ok && n.shape.form == formList {
		list, n.listed = t.Exprs, true
	}
	n.steps = []stepName{}
	if c.step.use != nil {
		n.prefix = c.step.use.prefix
	}
	n.varies, c.step.varies = byHost, byHost // which steps are there
	for _, e := range list {
		t, diags := hcl.AbsTraversalForExpr(e)
		if diags.HasErrors() || t.RootName() != rootStep {
			c.error(e.Range(), fmt.Sprintf("%s must name steps", n.path), hint("write step.KIND.NAME, as it is, without quotation marks"))
			continue
		}
		s, ok := stepIn(t[1:])
		if !ok || s.output != "" {
			c.error(e.Range(), fmt.Sprintf("%s must name steps, not their outputs", n.path), hint("write step.KIND.NAME"))
			continue
		}
		s.at = e.Range()
		n.steps = append(n.steps, s)
	}
}

func dotted(path, name string) string {
	if path == "" {
		return name
	}
	var b strings.Builder
	b.Grow(len(path) + 1 + len(name))
	b.WriteString(path)
	b.WriteByte('.')
	b.WriteString(name)
	return b.String()
}
