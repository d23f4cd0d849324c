package language

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// scope is what the expressions of a place may name.
type scope struct {
	what     string   // "a local"
	roots    []string // root variables
	variable string   // the one variable that a validation may name
	why      map[string]string
}

var noHost = "it has a value in the steps of a play, where there is a host"

var (
	scopeConstant = scope{what: "a default"}
	scopeHost     = scope{what: "an inventory", roots: []string{rootVar, rootLocal},
		why: map[string]string{rootHost: noHost, rootHosts: "hosts are known only once the inventory is read", rootRole: "roles are known only once the inventory is read"}}
	scopeLocal = scope{what: "a local", roots: []string{rootVar, rootLocal, rootHosts, rootRole, rootAbsent},
		why: map[string]string{rootHost: "a local is the same for all hosts", rootStep: "outputs are known only in steps", rootEach: "it has a value in a step with for_each"}}
	scopePlay = scope{what: "the head of a play", roots: []string{rootVar, rootLocal, rootHosts, rootRole},
		why: map[string]string{rootHost: noHost, rootStep: "outputs are known only in steps"}}
)

func scopeValidation(name string) scope {
	return scope{what: "a validation", roots: []string{rootVar}, variable: name}
}

// scopeStep is what the attributes of a step may name.
func scopeStep(inList, keyed bool) scope {
	s := scope{
		what:  "a step",
		roots: []string{rootVar, rootLocal, rootHost, rootHosts, rootRole, rootStep, rootAbsent},
		why: map[string]string{
			rootEach:  "it has a value in a step with for_each",
			rootParam: "it has a value in a list of steps: steps \"LIST\" { … }",
		},
	}
	if inList {
		s.roots = append(s.roots, rootParam)
	}
	if keyed {
		s.roots = append(s.roots, rootEach)
	}
	return s
}

// check is a look at names that waits until all files are read.
type check struct {
	used  *names
	scope scope
}

// check finds what an expression names, and has it looked up later.
func (l *loader) check(expr hclsyntax.Expression, s scope) *names {
	told := len(l.list)
	used := namesOf(expr, &l.mistakes)
	defer func() { used.told = used.told || len(l.list) > told }()
	l.checks = append(l.checks, check{used, s})
	for _, f := range slices.Concat(used.facts, used.farFacts) {
		l.fact(f)
	}
	for _, o := range used.others {
		for _, f := range o.facts {
			l.fact(f)
		}
	}
	for _, s := range used.farSteps {
		l.c.farSteps[s.address()] = s
	}
	return used
}

func (l *loader) fact(f named) {
	switch {
	case f.name == "":
		for _, n := range l.c.facts.names {
			l.c.factNames[n] = true
		}
	case slices.Contains(l.c.facts.names, f.name):
		l.c.factNames[f.name] = true
	default:
		l.c.factNames[f.name] = true // told here, and unknown from now on
		l.error(f.at, fmt.Sprintf("there is no fact %q", f.name), meant(f.name, l.c.facts.names))
	}
}

// names looks up what the expressions name, once all files are read.
func (l *loader) names() {
	variables := namesIn(l.c.variables, func(v *variable) string { return v.name })
	locals := namesIn(l.c.locals, func(v *local) string { return v.name })
	for _, c := range l.checks {
		told := len(l.list)
		for _, root := range c.used.roots {
			l.root(root, c.scope)
		}
		for _, f := range c.used.calls {
			if !slices.Contains(l.c.functions.names, f.name) {
				l.error(f.at, fmt.Sprintf("there is no function %q", f.name), meantOnly(f.name, l.c.functions.names))
			}
		}
		for _, v := range c.used.vars {
			l.variableName(v, c.scope, variables)
		}
		for _, v := range c.used.locals {
			l.localName(v, c.scope, locals)
		}
		c.used.told = c.used.told || len(l.list) > told
	}
}

func (l *loader) variableName(v named, s scope, known []string) {
	switch {
	case s.variable != "" && v.name != s.variable:
		l.error(v.at, "a validation may name its own variable alone", hint("write var.%s", s.variable))
	case v.name == "":
		l.error(v.at, "a reference to a variable needs its name", hint("write var.NAME"))
	case !slices.Contains(known, v.name) && !l.c.broken["variable"]:
		l.error(v.at, fmt.Sprintf("there is no variable %q", v.name), meantOr(v.name, known, fmt.Sprintf("declare it: variable %q {}", v.name)))
	}
}

func (l *loader) localName(v named, s scope, known []string) {
	switch {
	case v.name == "":
		l.error(v.at, "a reference to a local needs its name", hint("write local.NAME"))
	case !slices.Contains(known, v.name) && !l.c.broken["locals"]:
		l.error(v.at, fmt.Sprintf("there is no local %q", v.name), meant(v.name, known))
	case s.what == scopeHost.what && l.c.needsHosts(v.name, nil):
		l.error(v.at, fmt.Sprintf("local %q is known only once the inventory is read", v.name),
			detail("It names hosts or roles, itself or through another local."))
	}
}

func (l *loader) root(root named, s scope) {
	if slices.Contains(s.roots, root.name) {
		return
	}
	if why := s.why[root.name]; why != "" {
		l.error(root.at, fmt.Sprintf("%s cannot use %q", s.what, root.name), detail("The reason: %s.", why))
		return
	}
	all := []string{rootVar, rootLocal, rootHost, rootHosts, rootRole, rootStep, rootEach, rootParam, rootAbsent}
	if slices.Contains(all, root.name) {
		l.error(root.at, fmt.Sprintf("%s cannot use %q", s.what, root.name))
		return
	}
	other := fmt.Sprintf("a plain word is a name: write var.%s or local.%s, or %q for a text", root.name, root.name, root.name)
	l.error(root.at, fmt.Sprintf("%q means nothing here", root.name), meantOr(root.name, s.roots, other))
}

// meantOr is meant with another hint where nothing is near.
func meantOr(name string, known []string, other string) note {
	if s := suggest(name, known); s != "" {
		return hint("did you mean %q?", s)
	}
	return hint("%s", other)
}

// meantOnly is meant without the list of all.
func meantOnly(name string, known []string) note {
	return func(d *Diagnostic) {
		if s := suggest(name, known); s != "" {
			d.Hint = fmt.Sprintf("did you mean %q?", s)
		}
	}
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }
