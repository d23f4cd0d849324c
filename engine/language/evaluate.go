package language

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// evaluate returns the value of an expression. Mistakes go to m, and the value
// is then unknown, so that nothing follows from them.
func evaluate(expr hcl.Expression, ctx *hcl.EvalContext, m *mistakes) (cty.Value, bool) {
	v, diags := expr.Value(ctx)
	if len(diags) == 0 {
		return v, true
	}
	if !diags.HasErrors() {
		return v, true
	}
	tell(diags, expr, ctx, m)
	return cty.DynamicVal, false
}

// evaluateTold is evaluate for an expression whose names were looked up: where
// some are not there, that was told, and the value is unknown.
func evaluateTold(expr hcl.Expression, used *names, ctx *hcl.EvalContext, m *mistakes) (cty.Value, bool) {
	if used.told {
		return cty.DynamicVal, false
	}
	return evaluate(expr, ctx, m)
}

// tell makes our own diagnostics of those of an evaluation.
func tell(diags hcl.Diagnostics, expr hcl.Expression, ctx *hcl.EvalContext, m *mistakes) {
	for _, d := range diags {
		switch d.Summary {
		case "Unknown variable", "Call to unknown function", "Variables not allowed", "Function calls not allowed":
			continue // names were looked up at load, with suggestions
		}
		if d.Severity != hcl.DiagError {
			continue
		}
		at := expr.Range()
		if d.Subject != nil {
			at = *d.Subject
		}
		inner, innerCtx := expr, ctx
		if d.Expression != nil && d.EvalContext != nil {
			inner, innerCtx = d.Expression, d.EvalContext
		}
		if template, ok := templateMistakes(d); ok {
			for _, t := range template {
				m.list = append(m.list, withHost(t, m.about))
			}
			continue
		}
		if takesSensitive(inner, innerCtx) || takesSensitive(expr, ctx) {
			m.error(at, summaryOf(d), detail("A sensitive value takes part, so the reason is not shown."))
			continue
		}
		if missingName(inner, innerCtx, m) {
			continue
		}
		m.error(at, summaryOf(d), detail("%s", detailOf(d)))
	}
}

// summaryOf is the summary of the library's diagnostic, with the name of the
// function that was called.
func summaryOf(d *hcl.Diagnostic) string {
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok && call.CalledFunctionName() != "" {
		return fmt.Sprintf("%s: %s", call.CalledFunctionName(), lowerFirst(d.Summary))
	}
	return lowerFirst(d.Summary)
}

// detailOf is its detail; of a function that failed, what the function said.
func detailOf(d *hcl.Diagnostic) string {
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok && call.FunctionCallError() != nil {
		return upperFirst(call.FunctionCallError().Error()) + "."
	}
	return d.Detail
}

func upperFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

func withHost(d Diagnostic, host string) Diagnostic {
	if host != "" {
		d.Hosts = []string{host}
	}
	return d
}

// missingName tells which part of a.b.c is not there, and what is.
func missingName(expr hcl.Expression, ctx *hcl.EvalContext, m *mistakes) bool {
	if e, ok := expr.(*hclsyntax.IndexExpr); ok {
		return missingKey(e, ctx, m)
	}
	var traversal hcl.Traversal
	var value cty.Value
	var said string
	switch e := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		said, traversal = e.Traversal.RootName(), e.Traversal[1:]
		v, diags := e.Traversal[:1].TraverseAbs(ctx)
		if diags.HasErrors() {
			return false
		}
		value = v
	case *hclsyntax.RelativeTraversalExpr:
		v, diags := e.Source.Value(ctx)
		if diags.HasErrors() {
			return false
		}
		said, traversal, value = spelled(e.Source, ctx), e.Traversal, v
	default:
		return false
	}
	for _, t := range traversal {
		next, diags := t.TraversalStep(value)
		if !diags.HasErrors() {
			value = next
			said += partText(t)
			continue
		}
		value, _ := value.Unmark()
		name := keyOf(t)
		switch {
		case value.IsNull():
			m.error(nameRange(t), fmt.Sprintf("%s is null, so it has no %q", said, name))
		case name != "" && (value.Type().IsObjectType() || value.Type().IsMapType()):
			m.error(nameRange(t), fmt.Sprintf("%s has no %q", said, name), meant(name, keysOf(value)), whyNot(name))
		case value.CanIterateElements():
			m.error(t.SourceRange(), fmt.Sprintf("%s has no element %s", said, partText(t)), detail("It has %d elements.", value.LengthInt()))
		default:
			m.error(nameRange(t), fmt.Sprintf("%s is %s, so it has no %q", said, typeName(value.Type()), name))
		}
		return true
	}
	return false
}

// missingKey tells which key of a[b] is not there.
func missingKey(e *hclsyntax.IndexExpr, ctx *hcl.EvalContext, m *mistakes) bool {
	collection, diags := e.Collection.Value(ctx)
	key, more := e.Key.Value(ctx)
	if diags.HasErrors() || more.HasErrors() {
		return false
	}
	collection, _ = collection.Unmark()
	key, _ = key.Unmark()
	if !key.IsKnown() || key.IsNull() || collection.IsNull() || !collection.IsKnown() {
		return false
	}
	said := spelled(e.Collection, ctx)
	t := collection.Type()
	switch {
	case key.Type() == cty.String && (t.IsObjectType() || t.IsMapType()):
		m.error(e.Key.Range(), fmt.Sprintf("%s has no %q", said, key.AsString()), meant(key.AsString(), keysOf(collection)))
	case key.Type() == cty.Number && (t.IsTupleType() || t.IsListType()):
		m.error(e.Key.Range(), fmt.Sprintf("%s has no element [%s]", said, numberText(key)), detail("It has %d elements.", collection.LengthInt()))
	default:
		return false
	}
	return true
}

// whyNot explains names that other places have.
func whyNot(name string) note {
	return func(d *Diagnostic) {
		switch name {
		case "facts", rootStep:
			d.Detail = fmt.Sprintf("What hosts say of themselves (%q) is known only in the attributes of steps.", name)
			d.Hint = ""
		}
	}
}

// spelled is what an expression names, with what its keys are here: a["b"].c of
// a[each.key].c. What is more than a name is "this".
func spelled(expr hcl.Expression, ctx *hcl.EvalContext) string {
	said, rest := "this", hcl.Traversal(nil)
	switch e := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		said, rest = e.Traversal.RootName(), e.Traversal[1:]
	case *hclsyntax.RelativeTraversalExpr:
		said, rest = spelled(e.Source, ctx), e.Traversal
	case *hclsyntax.IndexExpr:
		key, diags := e.Key.Value(ctx)
		if diags.HasErrors() || key.IsMarked() || !key.IsKnown() || key.IsNull() {
			return "this"
		}
		said, rest = spelled(e.Collection, ctx), hcl.Traversal{hcl.TraverseIndex{Key: key}}
	}
	if said == "this" {
		return said
	}
	for _, part := range rest {
		said += partText(part)
	}
	return said
}

func partText(t hcl.Traverser) string {
	switch t := t.(type) {
	case hcl.TraverseAttr:
		return "." + t.Name
	case hcl.TraverseIndex:
		if t.Key.Type() == cty.Number && t.Key.IsKnown() {
			return "[" + numberText(t.Key) + "]"
		}
		return fmt.Sprintf("[%q]", keyOf(t))
	}
	return ""
}

func keysOf(v cty.Value) []string {
	if !v.IsKnown() || v.IsNull() {
		return nil
	}
	var out []string
	for it := v.ElementIterator(); it.Next(); {
		k, _ := it.Element()
		out = append(out, k.AsString())
	}
	return out
}

// takesSensitive says whether a sensitive value takes part in an expression.
func takesSensitive(expr hcl.Expression, ctx *hcl.EvalContext) bool {
	for _, t := range expr.Variables() {
		// What cannot be reached whole may still pass a sensitive value.
		for i := range t {
			v, diags := t[:i+1].TraverseAbs(ctx)
			if diags.HasErrors() {
				break
			}
			if i+1 == len(t) && deeplySensitive(v) || v.HasMark(sensitive) {
				return true
			}
		}
	}
	return false
}

func deeplySensitive(v cty.Value) bool {
	found := false
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		found = found || v.HasMark(sensitive)
		return !found, nil
	})
	return found
}

// templateMistakes are those of a template that a function rendered.
func templateMistakes(d *hcl.Diagnostic) ([]Diagnostic, bool) {
	extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
	if !ok || extra.FunctionCallError() == nil {
		return nil, false
	}
	var inner *templateError
	if !errors.As(extra.FunctionCallError(), &inner) {
		return nil, false
	}
	out := inner.mistakes
	if d.Subject != nil {
		for i := range out {
			out[i].Detail = strings.TrimSpace(out[i].Detail + fmt.Sprintf("\nThe template is used at %s:%d.", d.Subject.Filename, d.Subject.Start.Line))
		}
	}
	return out, true
}

func lowerFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	next, _ := utf8.DecodeRuneInString(s[size:])
	if unicode.IsUpper(next) { // HCL, JSON
		return s
	}
	return string(unicode.ToLower(r)) + s[size:]
}

// typeName names a type in messages.
func typeName(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsListType(), t.IsTupleType():
		return "a list"
	case t.IsSetType():
		return "a set"
	case t.IsMapType(), t.IsObjectType():
		return "a map"
	}
	return "a value"
}

// text, number, truth and texts evaluate an expression to a plain value. They
// return zero where it is unknown, null or wrong; wrong ones are told.
func text(expr hcl.Expression, ctx *hcl.EvalContext, what string, m *mistakes) string {
	v, ok := plain(expr, ctx, cty.String, what+" is a string", m)
	if !ok {
		return ""
	}
	return v.AsString()
}

func truth(expr hcl.Expression, ctx *hcl.EvalContext, what string, m *mistakes) (value, known bool) {
	v, ok := plain(expr, ctx, cty.Bool, what+" is true or false", m)
	return ok && v.True(), ok
}

func number(expr hcl.Expression, ctx *hcl.EvalContext, what string, m *mistakes) int {
	want := what + " is a whole number, 0 or more"
	v, ok := plain(expr, ctx, cty.Number, want, m)
	if !ok {
		return 0
	}
	i, accuracy := v.AsBigFloat().Int64()
	if accuracy != 0 || i < 0 || i > 1<<31-1 {
		m.error(expr.Range(), want)
		return 0
	}
	return int(i)
}

func texts(expr hcl.Expression, ctx *hcl.EvalContext, what string, m *mistakes) []string {
	want := what + " is a list of strings"
	v, ok := plain(expr, ctx, cty.List(cty.String), want, m)
	if !ok {
		return nil
	}
	var out []string
	for _, e := range v.AsValueSlice() {
		switch {
		case !e.IsKnown():
		case e.IsNull():
			m.error(expr.Range(), want, detail("One of its elements is null."))
		default:
			out = append(out, e.AsString())
		}
	}
	return out
}

func plain(expr hcl.Expression, ctx *hcl.EvalContext, want cty.Type, say string, m *mistakes) (cty.Value, bool) {
	v, ok := evaluate(expr, ctx, m)
	if !ok {
		return v, false
	}
	v, _ = v.UnmarkDeep()
	if t, ok := uniform(v, want); ok && t == want {
		return cty.ListVal(v.AsValueSlice()), true
	}
	got, err := convert.Convert(v, want)
	if err != nil || v.IsNull() && want != cty.String {
		m.error(expr.Range(), say, detail("This is %s.", typeName(v.Type())))
		return v, false
	}
	return got, got.IsKnown() && !got.IsNull()
}
