package language

import (
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// functions are the functions that files may call. file and templatefile
// differ by the folder of the file that calls them.
type functions struct {
	names []string
	root  *hcl.EvalContext // of the pure ones
	files *fileSet

	mu        sync.Mutex
	templates map[string]template
}

type template struct {
	expr hclsyntax.Expression
	err  error
}

func newFunctions(files *fileSet) *functions {
	pure := pureFunctions()
	names := sortedKeys(pure)
	return &functions{
		names:     append(names, "file", "templatefile"),
		root:      &hcl.EvalContext{Functions: pure},
		files:     files,
		templates: map[string]template{},
	}
}

// of returns a context with the functions of a file.
func (f *functions) of(file string) *hcl.EvalContext {
	ctx := f.root.NewChild()
	ctx.Functions = map[string]function.Function{
		"file":         f.fileFunction(file),
		"templatefile": f.templateFunction(file),
	}
	return ctx
}

func (f *functions) fileFunction(from string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			b, err := f.read(beside(from, args[0].AsString()))
			return cty.StringVal(string(b)), err
		},
	})
}

func (f *functions) read(path string) ([]byte, error) {
	b, err := f.files.get(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w (paths are relative to the file they are written in)", err)
	case !utf8.Valid(b):
		return nil, fmt.Errorf("%s is not UTF-8 text", path)
	}
	return b, nil
}

// templateError carries the mistakes of a template to the diagnostic of the
// call.
type templateError struct {
	mistakes []Diagnostic
}

func (e *templateError) Error() string { return "the template has mistakes" }

func (f *functions) templateFunction(from string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "path", Type: cty.String},
			{Name: "values", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true, AllowDynamicType: true},
		},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return f.render(beside(from, args[0].AsString()), args[1])
		},
	})
}

func (f *functions) render(path string, values cty.Value) (cty.Value, error) {
	t := f.template(path)
	if t.err != nil {
		return cty.UnknownVal(cty.String), t.err
	}
	values, marks := values.Unmark()
	unknown := cty.UnknownVal(cty.String).WithMarks(marks)
	if !values.IsKnown() {
		return unknown, nil
	}
	if values.IsNull() || !values.Type().IsObjectType() && !values.Type().IsMapType() {
		return unknown, errors.New("the second argument is a map: the names that the template uses")
	}
	ctx := f.root.NewChild()
	ctx.Functions = map[string]function.Function{"file": f.fileFunction(path)}
	ctx.Variables = map[string]cty.Value{}
	for it := values.ElementIterator(); it.Next(); {
		k, v := it.Element()
		ctx.Variables[k.AsString()] = v
	}
	m := mistakes{}
	for _, v := range t.expr.Variables() {
		if _, ok := ctx.Variables[v.RootName()]; !ok {
			m.error(v.SourceRange(), fmt.Sprintf("the template is not given %q", v.RootName()), meant(v.RootName(), sortedKeys(ctx.Variables)))
		}
	}
	if m.failed() {
		return unknown, &templateError{m.list}
	}
	out, ok := evaluate(t.expr, ctx, &m)
	if !ok {
		return unknown, &templateError{m.list}
	}
	return asText(out, t.expr, marks)
}

func asText(v cty.Value, expr hcl.Expression, marks cty.ValueMarks) (cty.Value, error) {
	m := mistakes{}
	bare, own := v.Unmark()
	switch {
	case bare.Type() == cty.String:
		return v.WithMarks(marks), nil
	case !bare.IsKnown():
		return cty.UnknownVal(cty.String).WithMarks(marks, own), nil
	case bare.IsNull() || !bare.Type().IsPrimitiveType():
		m.error(expr.Range(), "the template gives no text")
		return v, &templateError{m.list}
	case bare.Type() == cty.Number:
		return cty.StringVal(numberText(bare)).WithMarks(marks, own), nil
	}
	return cty.StringVal(fmt.Sprint(bare.True())).WithMarks(marks, own), nil
}

// template parses a template once.
func (f *functions) template(path string) template {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.templates[path]; ok {
		return t
	}
	t := template{}
	src, err := f.read(path)
	if err != nil {
		t.err = err
	} else {
		t.expr, t.err = f.parseTemplate(path, src)
	}
	f.templates[path] = t
	return t
}

func (f *functions) parseTemplate(path string, src []byte) (hclsyntax.Expression, error) {
	m := mistakes{}
	expr, diags := hclsyntax.ParseTemplate(src, path, hcl.InitialPos)
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			syntaxMistake(d, &m)
		}
	}
	if !m.failed() {
		known := append(sortedKeys(f.root.Functions), "file")
		for _, call := range namesOf(expr, &mistakes{}).calls {
			if _, ok := f.root.Functions[call.name]; !ok && call.name != "file" {
				m.error(call.at, fmt.Sprintf("there is no function %q in a template", call.name), meantOnly(call.name, known))
			}
		}
	}
	if m.failed() {
		return nil, &templateError{m.list}
	}
	return expr, nil
}
