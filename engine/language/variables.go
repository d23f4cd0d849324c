package language

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// given is a value of a variable that came from outside the playbook.
type given struct {
	from   string // "WEFT_VAR_x", for messages
	text   string // to be read by the variable's type
	value  cty.Value
	at     hcl.Range
	sealed bool // it comes from an encrypted file
}

func (b *binder) variables(in Inputs) {
	all := map[string]cty.Value{}
	for _, ch := range b.c.checked {
		for _, n := range ch.used.vars {
			all[n.name] = cty.DynamicVal // told at load where it is not declared
		}
	}
	outside := b.outside(in)
	for _, v := range b.c.variables {
		if g := outside[v.name]; g != nil && g.sealed {
			b.sealed[v.name] = true
			hidden := *v
			hidden.sensitive = true
			v = &hidden
		}
		value := compact(b.variable(v, outside[v.name], in))
		if v.sensitive {
			b.secretsIn(value)
			value = value.Mark(sensitive)
		}
		all[v.name] = value
	}
	b.values.roots[rootVar] = cty.ObjectVal(all)
	for _, v := range b.c.variables {
		b.validate(v, all[v.name])
	}
}

// outside collects the values from the environment, files and flags.
func (b *binder) outside(in Inputs) map[string]*given {
	names := namesIn(b.c.variables, func(v *variable) string { return v.name })
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	out := map[string]*given{}
	environment := in.Environment
	if environment == nil {
		environment = os.LookupEnv
	}
	for _, name := range names {
		if text, ok := environment("WEFT_VAR_" + name); ok {
			out[name] = &given{from: "WEFT_VAR_" + name, text: text}
		}
	}
	for _, path := range in.Files {
		b.variableFile(path, in, known, names, out)
	}
	for _, flag := range in.Flags {
		name, text, ok := strings.Cut(flag, "=")
		switch {
		case !ok:
			b.error(hcl.Range{}, fmt.Sprintf("a variable is given as NAME=VALUE, not as %q", name))
		case !known[name]:
			b.error(hcl.Range{}, fmt.Sprintf("there is no variable %q", name), meant(name, names))
		case strings.HasPrefix(text, "@"):
			out[name] = b.valueFile(name, text[1:])
		default:
			out[name] = &given{from: "the command line", text: text}
		}
	}
	return out
}

// valueFile reads a file that holds one value, and perhaps a newline.
func (b *binder) valueFile(name, path string) *given {
	src, err := b.c.files.get(path)
	if err != nil {
		b.error(hcl.Range{}, fmt.Sprintf("cannot read the value of variable %q: %v", name, err))
		return &given{value: cty.DynamicVal}
	}
	return &given{from: path, text: strings.TrimSuffix(strings.TrimSuffix(string(src), "\n"), "\r")}
}

func (b *binder) variableFile(path string, in Inputs, known map[string]bool, names []string, out map[string]*given) {
	src, err := b.c.files.get(path)
	if err != nil {
		b.error(hcl.Range{}, fmt.Sprintf("cannot read the file of variables: %v", err))
		return
	}
	sealed := Encrypted(path, src)
	if sealed {
		if src, err = in.decrypt(path, src); err != nil {
			b.error(hcl.Range{}, fmt.Sprintf("cannot read the file of variables: %v", err))
			return
		}
	}
	f, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		// Whose value it is cannot be told.
		b.mayHide(sealed || slices.ContainsFunc(b.c.variables, func(v *variable) bool { return v.sensitive }),
			func(m *mistakes) { syntaxMistake(diags[0], m) })
		return
	}
	body := f.Body.(*hclsyntax.Body)
	for _, block := range body.Blocks {
		b.error(block.TypeRange, "a file of variables holds name = value alone, no blocks")
	}
	for _, a := range sortedAttributes(body) {
		if !known[a.Name] {
			b.warn(a.NameRange, fmt.Sprintf("there is no variable %q", a.Name), meant(a.Name, names))
			continue
		}
		if len(a.Expr.Variables()) > 0 {
			b.error(a.Expr.Range(), "a file of variables holds values, not names")
			continue
		}
		b.mayHide(sealed || b.Sensitive(a.Name), func(m *mistakes) {
			v, ok := evaluate(a.Expr, b.c.functions.of(path), m)
			if !ok {
				v = cty.DynamicVal
			}
			out[a.Name] = &given{from: path, value: v, at: a.Expr.Range(), sealed: sealed}
		})
	}
}

func (in Inputs) decrypt(path string, src []byte) ([]byte, error) {
	if in.Decrypt == nil {
		return nil, fmt.Errorf("%s is encrypted", path)
	}
	return in.Decrypt(path, src)
}

// mayHide hides the source and the reason of the mistakes that are found where
// a sensitive value may stand.
func (b *binder) mayHide(hide bool, find func(*mistakes)) {
	before := len(b.list)
	find(&b.mistakes)
	for i := before; hide && i < len(b.list); i++ {
		unseen(&b.list[i])
	}
}

func (b *binder) variable(v *variable, g *given, in Inputs) cty.Value {
	unknown := cty.UnknownVal(v.typ.WithoutOptionalAttributesDeep())
	if v.broken {
		return cty.DynamicVal
	}
	fallback, fallbackOK := cty.NullVal(v.typ), true
	if v.fallback != nil {
		fallback, fallbackOK = b.fallback(v)
	}
	switch {
	case g != nil:
		return b.fromOutside(v, g, fallback)
	case v.fallback != nil && !fallbackOK:
		return unknown
	case v.fallback != nil:
		return fallback
	case in.Ask == nil:
		b.noValue(v, "")
		return unknown
	}
	answer, err := in.Ask(v.name, v.sensitive)
	switch {
	case errors.Is(err, errUnknown):
		return unknown
	case err != nil:
		b.noValue(v, err.Error())
		return unknown
	}
	return b.fromOutside(v, &given{from: "the answer", text: answer}, fallback)
}

func (b *binder) noValue(v *variable, why string) {
	b.error(v.at, fmt.Sprintf("variable %q has no value", v.name), detail("%s", why),
		hint("give it with --var %s=%s, in a file with --var-file, or as WEFT_VAR_%s", v.name, v.example(), v.name))
}

// example is how a flag gives the value; who lists processes sees flags.
func (v *variable) example() string {
	if v.sensitive {
		return "@FILE"
	}
	return "VALUE"
}

func (b *binder) fallback(v *variable) (cty.Value, bool) {
	value, ok := evaluate(v.fallback, b.c.functions.of(v.at.Filename), &b.mistakes)
	if !ok {
		return value, false
	}
	converted, err := v.convert(value)
	if err != nil {
		b.error(v.fallback.Range(), fmt.Sprintf("the default of variable %q does not fit its type", v.name), v.why(err))
		return value, false
	}
	return converted, true
}

func (v *variable) convert(value cty.Value) (cty.Value, error) {
	if v.optional != nil && !value.IsNull() {
		value = v.optional.Apply(value)
	}
	return convert.Convert(value, v.typ)
}

// why shows the reason unless it could show a sensitive value, and then the
// source neither.
func (v *variable) why(err error) note {
	if v.sensitive {
		return func(d *Diagnostic) {
			d.Detail, d.hidden = fmt.Sprintf("It wants %s.", wantedType(v.typ)), true
		}
	}
	return detail("It wants %s: %v.", wantedType(v.typ), err)
}

func wantedType(t cty.Type) string {
	if t == cty.DynamicPseudoType {
		return "any value"
	}
	return typeName(t)
}

func (b *binder) fromOutside(v *variable, g *given, fallback cty.Value) cty.Value {
	at := g.at
	if at.Filename == "" {
		at = v.at
	}
	value := g.value
	if value == cty.NilVal {
		value = b.read(v, g, fallback, at)
	}
	converted, err := v.convert(value)
	if err != nil {
		b.error(at, fmt.Sprintf("the value of variable %q from %s does not fit its type", v.name, g.from), v.why(err))
		return cty.UnknownVal(v.typ.WithoutOptionalAttributesDeep())
	}
	return converted
}

// read turns a text from outside into a value: as it is where a simple type is
// wanted, as an expression where a list or a map is.
func (b *binder) read(v *variable, g *given, fallback cty.Value, at hcl.Range) cty.Value {
	t := v.typ
	if !v.typed && !fallback.IsNull() {
		t = fallback.Type()
	}
	if t.IsPrimitiveType() || t == cty.DynamicPseudoType {
		return cty.StringVal(g.text)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(g.text), g.from, hcl.InitialPos)
	if !diags.HasErrors() && len(expr.Variables()) == 0 {
		if value, more := expr.Value(nil); !more.HasErrors() {
			return value
		}
	}
	b.error(at, fmt.Sprintf("the value of variable %q from %s cannot be read", v.name, g.from),
		detail("It wants %s, written as in a playbook.", wantedType(t)), hint(`for example ["a", "b"], or { a = 1 }`))
	return cty.UnknownVal(v.typ.WithoutOptionalAttributesDeep())
}

// validate asks the validations of a variable.
func (b *binder) validate(v *variable, value cty.Value) {
	if v.broken || !value.IsWhollyKnown() {
		return
	}
	for _, check := range v.validations {
		ctx := b.context(v.at.Filename)
		holds, known := truth(check.condition, ctx, "a condition", &b.mistakes)
		if !known || holds {
			continue
		}
		message := "(its error_message is sensitive)"
		if said, ok := evaluate(check.message, ctx, &b.mistakes); ok && !deeplySensitive(said) && said.Type() == cty.String && said.IsWhollyKnown() && !said.IsNull() {
			message = said.AsString()
		}
		b.error(check.condition.Range(), fmt.Sprintf("the value of variable %q is not valid", v.name), detail("%s", message))
	}
}

// secretsIn remembers the texts in a sensitive value.
func (b *binder) secretsIn(value cty.Value) {
	_ = cty.Walk(value, func(_ cty.Path, v cty.Value) (bool, error) {
		v, _ = v.Unmark()
		switch {
		case !v.IsKnown() || v.IsNull():
		case v.Type() == cty.String && v.AsString() != "":
			b.Secrets = append(b.Secrets, v.AsString())
		case v.Type() == cty.Number:
			b.Secrets = append(b.Secrets, numberText(v))
		}
		return true, nil
	})
}
