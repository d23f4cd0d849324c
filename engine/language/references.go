package language

import (
	"cmp"
	"fmt"
	"slices"
)

// playNames is what all steps of a play name together.
type playNames struct {
	// own are the steps of the same host that are named, by the prefix of
	// the use in which the name stands, and then by address.
	own      map[string]map[string]ownStep
	facts    bool
	others   []otherName
	farFacts bool
	farSteps []stepName
	allHosts bool
}

// ownStep is a step that others of the same host name.
type ownStep struct {
	said    stepName
	address string   // with the prefix of the use
	kind    *kind    // of the step
	keyed   bool     // it has a for_each
	inPlay  bool     // it stands in the same play
	def     *stepDef // one of that address; plays on other hosts may have others
}

// place of a reference: a step of a play.
type refPlace struct {
	play  int // index; -1 in a list that no play uses
	steps []*stepDef
	step  *stepDef
}

// references looks up what steps name of other steps.
func (l *loader) references() {
	for i, p := range l.c.plays {
		p.named = &playNames{own: map[string]map[string]ownStep{}}
		for _, s := range p.steps {
			l.stepReferences(refPlace{i, p.steps, s}, p.named)
		}
	}
}

// resolve looks up the references inside a list that no play uses.
func (l *loader) resolve(steps []*stepDef) {
	named := &playNames{own: map[string]map[string]ownStep{}}
	for i, s := range steps {
		s.index = i
	}
	l.uniqueSteps(steps, "this list")
	for _, s := range steps {
		l.stepReferences(refPlace{-1, steps, s}, named)
	}
}

func (l *loader) stepReferences(at refPlace, all *playNames) {
	s := at.step
	for _, used := range s.used {
		l.expressionReferences(at, s.use, used, all)
	}
	for _, n := range s.nodes {
		l.nodeReferences(at, n, all)
	}
	for u := s.use; u != nil; u = u.outer {
		if u.when != nil {
			l.expressionReferences(at, u.outer, u.when.used, all)
		}
		for _, name := range sortedKeys(u.args) {
			l.expressionReferences(at, u.outer, u.args[name].used, all)
		}
	}
}

func (l *loader) expressionReferences(at refPlace, in *use, used *names, all *playNames) {
	told := len(l.list)
	defer func() { used.told = used.told || len(l.list) > told }()
	for _, ref := range used.steps {
		l.own(at, in, ref, all, true)
	}
	for _, o := range used.others {
		if o.step != nil {
			o.step = l.other(at, *o.step)
		}
		all.others = append(all.others, o)
	}
	for _, ref := range used.farSteps {
		if l.c.kinds[ref.kind] == nil {
			continue // a loop over something else that has a step
		}
		if found := l.other(at, ref); found != nil {
			all.farSteps = append(all.farSteps, *found)
		}
	}
	all.facts = all.facts || len(used.facts) > 0
	all.farFacts = all.farFacts || len(used.farFacts) > 0
	all.allHosts = all.allHosts || used.allHosts
	l.paramNames(in, used)
}

func (l *loader) nodeReferences(at refPlace, n *node, all *playNames) {
	for _, ref := range n.steps {
		l.own(at, at.step.use, ref, all, false)
	}
	for _, it := range n.items {
		l.nodeReferences(at, it.node, all)
	}
	for _, e := range n.elems {
		l.nodeReferences(at, e, all)
	}
	if n.choice != nil {
		l.nodeReferences(at, n.choice.yes, all)
		l.nodeReferences(at, n.choice.no, all)
	}
}

// own looks up step.KIND.NAME: a step above, on the same host.
func (l *loader) own(at refPlace, in *use, ref stepName, all *playNames, value bool) {
	prefix := ""
	if in != nil {
		prefix = in.prefix
	}
	if !l.knownKind(ref) {
		return
	}
	address := ref.kind + "." + prefix + ref.name
	found, inPlay := l.above(at, in, ref, address)
	if found == nil {
		return
	}
	found.named = true
	if value && !l.output(ref, found) {
		return
	}
	if all.own[prefix] == nil {
		all.own[prefix] = map[string]ownStep{}
	}
	all.own[prefix][address] = ownStep{ref, address, found.kind, found.keyed(), inPlay, found}
}

func (l *loader) knownKind(ref stepName) bool {
	if l.c.kinds[ref.kind] != nil {
		return true
	}
	declared := l.anywhere(func(s *stepDef) bool { return s.kind.Name == ref.kind })
	if declared == nil { // a kind that is declared and unknown was told there
		l.error(ref.at, fmt.Sprintf("there is no kind of step %q", ref.kind), meantOr(ref.kind, sortedKeys(l.c.kinds), "weft modules lists them"))
	}
	return false
}

// above finds a step of an address above a place, or tells what is wrong.
func (l *loader) above(at refPlace, in *use, ref stepName, address string) (found *stepDef, inPlay bool) {
	is := func(s *stepDef) bool { return s.address == address }
	if i := slices.IndexFunc(at.steps, is); i >= 0 {
		switch {
		case i == at.step.index:
			l.error(ref.at, fmt.Sprintf("step %s names itself", address))
			return nil, false
		case i > at.step.index:
			l.error(ref.at, fmt.Sprintf("step %s comes later", address),
				detail("It stands at %s:%d. Steps run in reading order.", at.steps[i].at.Filename, at.steps[i].at.Start.Line),
				hint("move it above step %s", at.step.address))
			return nil, false
		}
		return at.steps[i], true
	}
	if in != nil {
		l.notInList(in, ref)
		return nil, false
	}
	for i, p := range l.c.plays {
		j := slices.IndexFunc(p.steps, is)
		switch {
		case j < 0 || at.play < 0:
		case i < at.play:
			return p.steps[j], false
		case i > at.play:
			l.error(ref.at, fmt.Sprintf("step %s comes later, in play %q", address, p.name), hint("move that play above this one"))
			return nil, false
		}
	}
	l.unknownStep(ref)
	return nil, false
}

func (l *loader) notInList(in *use, ref stepName) {
	if l.c.broken["steps"] {
		return
	}
	notes := []note{hint("a list names its own steps alone: give it what it needs of others as a param")}
	if outside := l.anywhere(func(s *stepDef) bool { return s.address == ref.address() }); outside == nil {
		notes = []note{meantOnly(ref.name, l.stepNamesOf(ref.kind))}
	}
	l.error(ref.at, fmt.Sprintf("list of steps %q has no step %s", in.list.name, ref.address()), notes...)
}

func (l *loader) unknownStep(ref stepName) {
	if l.c.broken["play"] || l.c.broken["steps"] {
		return
	}
	names := l.stepNamesOf(ref.kind)
	if suggest(ref.name, names) == "" {
		// Perhaps it is of another kind.
		if other := l.anywhere(func(s *stepDef) bool { return s.label == ref.name }); other != nil {
			l.error(ref.at, fmt.Sprintf("there is no step %s", ref.address()), hint("did you mean step.%s?", other.address))
			return
		}
	}
	l.error(ref.at, fmt.Sprintf("there is no step %s", ref.address()), meant(ref.name, names))
}

func (l *loader) stepNamesOf(kind string) []string {
	var names []string
	for _, p := range l.c.plays {
		for _, s := range p.steps {
			if s.kind.Name == kind && !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
		}
	}
	return names
}

func (l *loader) anywhere(is func(*stepDef) bool) *stepDef {
	for _, p := range l.c.plays {
		if i := slices.IndexFunc(p.steps, is); i >= 0 {
			return p.steps[i]
		}
	}
	return nil
}

// output checks what follows KIND.NAME.
func (l *loader) output(ref stepName, found *stepDef) bool {
	switch {
	case found.kind.spec == nil:
		return false
	case found.keyed() && !ref.hasKey && ref.output != "":
		l.error(ref.at, fmt.Sprintf("step %s is many steps, for it has a for_each", found.address),
			hint(`write which one: step.%s["KEY"].%s`, found.address, ref.output))
		return false
	case !found.keyed() && ref.hasKey:
		l.error(ref.at, fmt.Sprintf("step %s has no for_each, so it has no keys", found.address), hint("leave out the brackets"))
		return false
	case len(found.kind.outputs.names) == 0:
		l.error(ref.at, fmt.Sprintf("kind %q has no outputs", found.kind.Name))
		return false
	case ref.output != "" && ref.output != outputsKnown && !slices.Contains(found.kind.outputs.names, ref.output):
		l.error(ref.at, fmt.Sprintf("kind %q has no output %q", found.kind.Name, ref.output), meant(ref.output, found.kind.outputs.names))
		return false
	}
	return true
}

// other looks up a step of another host: it stands in an earlier play.
func (l *loader) other(at refPlace, ref stepName) *stepName {
	if !l.knownKind(ref) || at.play < 0 {
		return nil
	}
	is := func(s *stepDef) bool { return s.address == ref.address() }
	var found *stepDef
	for _, p := range l.c.plays[:at.play] { // several may have it, on other hosts each
		if j := slices.IndexFunc(p.steps, is); j >= 0 {
			p.steps[j].named = true
			found = cmp.Or(found, p.steps[j])
		}
	}
	if found != nil {
		return l.otherOutput(ref, found)
	}
	for i, p := range l.c.plays[at.play:] {
		switch {
		case !slices.ContainsFunc(p.steps, is):
		case i == 0:
			l.error(ref.at, fmt.Sprintf("step %s of another host is in this same play", ref.address()),
				detail("Hosts of a play run side by side and never wait for one another."), hint("move what needs it to a later play"))
			return nil
		default:
			l.error(ref.at, fmt.Sprintf("step %s comes later, in play %q", ref.address(), p.name), hint("move that play above this one"))
			return nil
		}
	}
	l.unknownStep(ref)
	return nil
}

// otherOutput checks what follows KIND.NAME of a step of another host.
func (l *loader) otherOutput(ref stepName, found *stepDef) *stepName {
	if found.keyed() && !ref.hasKey && ref.output != "" {
		l.error(ref.at, fmt.Sprintf("step %s is many steps, for it has a for_each", ref.address()),
			hint(`of another host, write which one: .step.%s["KEY"].%s`, ref.address(), ref.output))
		return nil
	}
	if !l.output(ref, found) {
		return nil
	}
	return &ref
}

// paramNames checks the params that an expression names.
func (l *loader) paramNames(in *use, used *names) {
	if in == nil {
		return
	}
	for _, p := range used.params {
		switch {
		case p.name == "":
			l.error(p.at, "a reference to a param needs its name", hint("write param.NAME"))
		case in.list.param(p.name) == nil:
			known := make([]string, len(in.list.params))
			for i, q := range in.list.params {
				known[i] = q.name
			}
			l.error(p.at, fmt.Sprintf("list of steps %q has no param %q", in.list.name, p.name), meant(p.name, known))
		}
	}
}
