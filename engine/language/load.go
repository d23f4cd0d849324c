package language

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"weft/engine/host"
	"weft/engine/step"
)

// Load reads and parses the files, and finds every mistake that can be seen
// without values. The Config is always there and as whole as can be, so that
// [Config.Bind] may go on and find more.
func Load(table step.Table, src Sources) (*Config, Diagnostics) {
	files := newFileSet(src.Read)
	l := &loader{
		c: &Config{
			sources:   src,
			files:     files,
			kinds:     kindsOf(table),
			functions: newFunctions(files),
			facts:     outputsOf(host.Facts{}),
			lists:     map[string]*list{},
			broken:    map[string]bool{},
			factNames: map[string]bool{},
			farSteps:  map[string]stepName{},
		},
		seen: map[string]bool{},
	}
	if src.Playbook != "" {
		l.file(src.Playbook, startOf(src.Playbook), inPlaybook)
	}
	for _, inv := range src.Inventories {
		if strings.Contains(inv, ",") {
			l.hostList(inv)
		} else {
			l.file(inv, startOf(inv), inInventory)
		}
	}
	l.duplicates()
	l.compile()
	l.names()
	l.c.checked = l.checks
	return l.c, l.finish(files, nil)
}

func kindsOf(table step.Table) map[string]*kind {
	out := make(map[string]*kind, len(table))
	for name, k := range table {
		t := reflect.TypeOf(k.Spec)
		_, validator := reflect.New(t).Interface().(step.Validator)
		_, early := reflect.New(t).Interface().(step.EarlyValidator)
		out[name] = &kind{Kind: k, spec: shapeOf(t), outputs: outputsOf(k.Outputs), validator: validator, early: early}
		for _, f := range out[name].spec.fields {
			if slices.Contains(stepAttributes, f.Name) {
				panic(fmt.Sprintf("language: kind %q has an attribute %q, as every step has", name, f.Name))
			}
		}
	}
	return out
}

type loader struct {
	mistakes
	c      *Config
	seen   map[string]bool // files by clean path
	checks []check         // of names, once all files are read
}

// place says what a file is read as.
type place string

const (
	inPlaybook  place = "a playbook"
	inInventory place = "an inventory"
	inIncluded  place = "an included file"
)

func (l *loader) file(path string, from hcl.Range, as place) {
	clean := filepath.Clean(path)
	if l.seen[clean] {
		return
	}
	l.seen[clean] = true
	src, err := l.c.files.get(path)
	if from.Filename == path {
		from = hcl.Range{} // it is not named in any file
	}
	if err != nil {
		l.error(from, fmt.Sprintf("cannot read %s: %v", as, err))
		return
	}
	if Encrypted(path, src) {
		l.error(from, fmt.Sprintf("%s is encrypted, and only a file of variables can be", path),
			hint("keep the secrets in a file of name = value, and give that with --var-file"))
		return
	}
	rule := blockRule{
		what:   string(as),
		attrs:  []string{"site", "include"},
		blocks: []string{"variable", "locals", "host", "group", "lab", "play", "steps"},
	}
	for _, part := range parseFile(path, src, &l.mistakes) {
		if part.broken {
			l.c.broken[part.word] = true
		}
		rule.check(part.body, &l.mistakes)
		if a, ok := part.body.Attributes["site"]; ok {
			l.c.sites = append(l.c.sites, a)
			l.check(a.Expr, scopeHost)
		}
		for _, b := range part.body.Blocks {
			l.block(b, as, part.broken)
		}
		l.include(path, attribute(part.body, "include"))
	}
}

func (l *loader) include(path string, expr hclsyntax.Expression) {
	if expr == nil {
		return
	}
	list, diags := hcl.ExprList(expr)
	if diags.HasErrors() {
		l.error(expr.Range(), "include is a list of paths", hint(`write include = ["lists/ovs.hcl"]`))
		return
	}
	for _, e := range list {
		v, diags := e.Value(nil)
		if diags.HasErrors() || v.Type() != cty.String || v.IsNull() {
			l.error(e.Range(), "an included path must be written out, as a string")
			continue
		}
		l.file(beside(path, v.AsString()), e.Range(), inIncluded)
	}
}

// block notes a block for later. Of a broken one, what is missing is not told:
// it may stand after the mistake.
func (l *loader) block(b *hclsyntax.Block, as place, broken bool) {
	switch b.Type {
	case "variable":
		l.variable(b)
	case "locals":
		l.localsBlock(b)
	case "host":
		if name, ok := labels(b, &l.mistakes, "NAME"); ok {
			l.c.hosts = append(l.c.hosts, &hostBlock{name: name[0], at: b.LabelRanges[0], body: b.Body})
			l.inventoryNames(b.Body)
		}
	case "group":
		if name, ok := labels(b, &l.mistakes, "NAME"); ok {
			l.c.groups = append(l.c.groups, &groupBlock{name: name[0], at: b.LabelRanges[0], body: b.Body})
			l.inventoryNames(b.Body)
		}
	case "lab":
		if _, ok := labels(b, &l.mistakes, "NAME"); ok {
			l.c.labs = append(l.c.labs, b)
			l.inventoryNames(b.Body)
		}
	case "steps":
		l.listBlock(b, broken)
	case "play":
		name, ok := labels(b, &l.mistakes, "NAME")
		switch {
		case as != inPlaybook:
			l.error(b.DefRange(), "a play stands in a playbook, not in "+string(as),
				hint("share steps with steps \"LIST\" { … }, and use them in the plays of each playbook"))
		case ok:
			l.c.plays = append(l.c.plays, &playBlock{name: name[0], at: b.LabelRanges[0], body: b.Body, broken: broken})
		}
	}
}

// inventoryNames checks the names in a block of the inventory.
func (l *loader) inventoryNames(body *hclsyntax.Body) {
	for _, a := range sortedAttributes(body) {
		l.check(a.Expr, scopeHost)
	}
	for _, b := range body.Blocks {
		l.inventoryNames(b.Body)
	}
}

// hostList adds the hosts of -i a,b.
func (l *loader) hostList(text string) {
	l.c.files.put("-i", []byte(text))
	at := 0
	for _, name := range strings.Split(text, ",") {
		start, end := hcl.Pos{Line: 1, Column: at + 1, Byte: at}, hcl.Pos{Line: 1, Column: at + len(name) + 1, Byte: at + len(name)}
		at += len(name) + 1
		if trimmed := strings.TrimSpace(name); trimmed != "" {
			l.c.hosts = append(l.c.hosts, &hostBlock{name: trimmed, at: hcl.Range{Filename: "-i", Start: start, End: end}})
		}
	}
}

func (l *loader) variable(b *hclsyntax.Block) {
	name, ok := labels(b, &l.mistakes, "NAME")
	if !ok {
		return
	}
	blockRule{
		what:   "a variable",
		attrs:  []string{"type", "default", "description", "sensitive"},
		blocks: []string{"validation"},
	}.check(b.Body, &l.mistakes)
	v := &variable{name: name[0], at: b.LabelRanges[0], typ: cty.DynamicPseudoType, fallback: attribute(b.Body, "default")}
	v.broken = l.c.broken["variable"]
	if t := attribute(b.Body, "type"); t != nil {
		v.typ, v.optional, v.typed = l.typeOf(t)
		v.broken = v.broken || !v.typed
	}
	if s := attribute(b.Body, "sensitive"); s != nil {
		value, diags := s.Value(nil)
		if diags.HasErrors() || value.Type() != cty.Bool || value.IsNull() {
			l.error(s.Range(), "sensitive is true or false, written out")
			v.sensitive = true
		} else {
			v.sensitive = value.True()
		}
	}
	if d := attribute(b.Body, "description"); d != nil {
		l.check(d, scopeConstant)
	}
	if v.fallback != nil {
		l.check(v.fallback, scopeConstant)
	}
	for _, inner := range b.Body.Blocks {
		if inner.Type == "validation" {
			l.validation(v, inner)
		}
	}
	l.c.variables = append(l.c.variables, v)
}

func (l *loader) validation(v *variable, b *hclsyntax.Block) {
	blockRule{what: "a validation", attrs: []string{"condition", "error_message"}}.check(b.Body, &l.mistakes)
	condition, message := attribute(b.Body, "condition"), attribute(b.Body, "error_message")
	if condition == nil || message == nil {
		l.error(b.DefRange(), "a validation needs a condition and an error_message")
		return
	}
	l.check(condition, scopeValidation(v.name))
	l.check(message, scopeValidation(v.name))
	v.validations = append(v.validations, validation{condition, message})
}

func (l *loader) typeOf(expr hclsyntax.Expression) (cty.Type, *typeexpr.Defaults, bool) {
	t, optional, diags := typeexpr.TypeConstraintWithDefaults(expr)
	if diags.HasErrors() {
		d := diags[0]
		at := expr.Range()
		if d.Subject != nil {
			at = *d.Subject
		}
		l.error(at, "this is no type", detail("%s", d.Detail),
			hint("types are string, number, bool, any, list(T), set(T), map(T), object({ name = T }), optional(T, default) inside object"))
		return cty.DynamicPseudoType, nil, false
	}
	return t, optional, true
}

func (l *loader) localsBlock(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		l.error(b.DefRange(), "locals has no name", hint("write locals { … }"))
	}
	for _, inner := range b.Body.Blocks {
		l.error(inner.TypeRange, "locals holds attributes, not blocks", hint("write %s = { … }", inner.Type))
	}
	for _, a := range sortedAttributes(b.Body) {
		l.c.locals = append(l.c.locals, &local{name: a.Name, at: a.NameRange, expr: a.Expr, used: l.check(a.Expr, scopeLocal)})
	}
}

// duplicates tells of names that are there twice.
func (l *loader) duplicates() {
	twice := func(what string, all []named) {
		first := map[string]hcl.Range{}
		for _, n := range all {
			if at, ok := first[n.name]; ok {
				l.error(n.at, fmt.Sprintf("%s %q is there twice", what, n.name),
					detail("The first is at %s:%d.", at.Filename, at.Start.Line))
				continue
			}
			first[n.name] = n.at
		}
	}
	twice("variable", namedOf(l.c.variables, func(v *variable) named { return named{v.name, v.at} }))
	twice("local", namedOf(l.c.locals, func(v *local) named { return named{v.name, v.at} }))
	twice("host", namedOf(l.c.hosts, func(v *hostBlock) named { return named{v.name, v.at} }))
	twice("group", namedOf(l.c.groups, func(v *groupBlock) named { return named{v.name, v.at} }))
	twice("play", namedOf(l.c.plays, func(v *playBlock) named { return named{v.name, v.at} }))
	for _, extra := range l.c.labs[min(1, len(l.c.labs)):] {
		l.error(extra.DefRange(), "there is a second lab", hint("the inventories of one command describe one lab"))
	}
	for _, extra := range l.c.sites[min(1, len(l.c.sites)):] {
		l.error(extra.NameRange, "site is said twice", hint("one inventory names the site"))
	}
}

func namedOf[T any](list []T, f func(T) named) []named {
	out := make([]named, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func namesIn[T any](list []T, f func(T) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	slices.Sort(out)
	return out
}
