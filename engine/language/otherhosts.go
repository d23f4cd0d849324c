package language

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/zclconf/go-cty/cty"
)

// Memo keeps the objects of all hosts that the evaluations of a play have in
// common where steps look at other hosts. The zero value is ready.
type Memo struct {
	mu    sync.Mutex
	made  map[*Play]*otherValues
	slots map[int]*memoSlot
}

func (m *Memo) slot(i int) *memoSlot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		m.slots = map[int]*memoSlot{}
	}
	if m.slots[i] == nil {
		m.slots[i] = &memoSlot{}
	}
	return m.slots[i]
}

// of returns the place for the objects of a play.
func (m *Memo) of(play *Play) *otherValues {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made == nil {
		m.made = map[*Play]*otherValues{}
	}
	if m.made[play] == nil {
		m.made[play] = &otherValues{}
	}
	return m.made[play]
}

type otherValues struct {
	once        sync.Once
	hosts, role cty.Value // NilVal where they are as without facts and outputs
}

// otherHosts puts `hosts` and `role` into a scope where steps ask for facts or
// outputs of other hosts.
func (x *evaluation) otherHosts(vars map[string]cty.Value) {
	if x.p.values.noHosts || !x.play.asksOthers() {
		return
	}
	made := &otherValues{}
	if x.k.Memo != nil {
		made = x.k.Memo.of(x.play)
	}
	made.once.Do(func() { made.make(x) })
	vars[rootHosts] = made.hosts
	if made.role != cty.NilVal {
		vars[rootRole] = made.role
	}
}

// asksOthers says whether steps of the play ask for facts or outputs of other
// hosts.
func (p *Play) asksOthers() bool {
	return p.asksFar() || slices.ContainsFunc(p.named.others, func(o otherName) bool { return o.step != nil || len(o.facts) > 0 })
}

// asksFar says whether they ask it of hosts that are not written out.
func (p *Play) asksFar() bool { return p.named.farFacts || len(p.named.farSteps) > 0 }

// make builds the objects: of the hosts that are written out alone where that
// will do.
func (o *otherValues) make(x *evaluation) {
	named := x.play.named
	far := x.play.asksFar()
	hosts := map[string]cty.Value{}
	if far || named.allHosts {
		for _, h := range x.p.Hosts {
			hosts[h.Name] = x.otherHost(h.Name, far)
		}
	}
	for _, other := range named.others {
		if _, ok := hosts[other.host]; ok {
			continue
		}
		hosts[other.host] = cty.DynamicVal
		if x.p.values.byName[other.host] != nil {
			hosts[other.host] = x.otherHost(other.host, far)
		}
	}
	o.hosts = cty.ObjectVal(hosts)
	if far {
		o.role = x.p.roleValues(hosts)
	}
}

// otherHost is a host as others see it.
func (x *evaluation) otherHost(name string, far bool) cty.Value {
	named := x.play.named
	attrs := maps.Clone(x.p.values.hostAttrs[name])
	facts := far && named.farFacts
	kinds := map[string]map[string]cty.Value{}
	asked := map[stepName]bool{}
	ask := func(ref stepName) {
		of := stepName{kind: ref.kind, name: ref.name, key: ref.key, hasKey: ref.hasKey} // wherever it is said
		if !asked[of] {
			asked[of] = true
			x.otherStep(kinds, name, ref)
		}
	}
	for _, o := range named.others {
		if o.host == name {
			facts = facts || len(o.facts) > 0
			if o.step != nil {
				ask(*o.step)
			}
		}
	}
	if far {
		for _, ref := range named.farSteps {
			if x.p.runs(x.play, name, ref.address()) {
				ask(ref)
			}
		}
	}
	if facts {
		attrs["facts"] = x.p.facts(name, x.k)
	}
	if len(kinds) > 0 {
		attrs[rootStep] = objects(kinds)
	}
	return cty.ObjectVal(attrs)
}

// otherStep adds what is known of a step of another host. Where that host does
// not have it, which was told by Bind, it is unknown.
func (x *evaluation) otherStep(kinds map[string]map[string]cty.Value, host string, ref stepName) {
	steps := kinds[ref.kind]
	if steps == nil {
		steps = map[string]cty.Value{}
		kinds[ref.kind] = steps
	}
	k := x.p.config.kinds[ref.kind]
	play, at := x.p.lastRun(x.play, host, ref.address())
	switch {
	case play == nil:
		steps[ref.name] = cty.DynamicVal
	case play.steps[at].keyed():
		steps[ref.name] = x.otherKeys(steps[ref.name], play, at, host, ref)
	default:
		steps[ref.name] = x.outputs(k, host, ref.address(), ref.at)
	}
}

// otherKeys is what is known of the steps of a for_each of another host: of all of
// them, unless it is not known yet which they are. Then it is of those that are written
// out.
func (x *evaluation) otherKeys(before cty.Value, play *Play, at int, host string, ref stepName) cty.Value {
	if all := x.p.keysOn(play, at, host, x.k); all.IsKnown() {
		return all
	}
	if !ref.hasKey {
		return cty.DynamicVal
	}
	keys := map[string]cty.Value{}
	switch {
	case before == cty.NilVal:
	case !before.IsKnown(): // another one names them by what is computed
		return before
	default:
		keys = before.AsValueMap()
	}
	keys[ref.key] = x.outputs(x.p.config.kinds[ref.kind], host, ref.address()+"["+strconv.Quote(ref.key)+"]", ref.at)
	return cty.ObjectVal(keys)
}

// keysOn are the steps of a for_each on a host of an earlier play, with their outputs
// as far as they are known; unknown where it is not known which they are. What is
// wrong with them is told where that play is evaluated.
func (p *Program) keysOn(play *Play, at int, host string, k Known) cty.Value {
	h := p.values.byName[host]
	if h == nil {
		return cty.DynamicVal
	}
	x := p.evaluation(play, h, k)
	x.earlier()
	for _, s := range play.steps[:at+1] {
		if s.named && s.kind.spec != nil {
			x.step(s)
		}
	}
	if keys, ok := x.own[play.steps[at].address]; ok {
		return keys
	}
	return cty.DynamicVal
}

// lastRun is the last play before another that has a step on a host, and where the
// step is in it; nil where there is none. A play whose hosts are not known may run
// anywhere.
func (p *Program) lastRun(before *Play, host, address string) (*Play, int) {
	for _, q := range slices.Backward(p.Plays[:before.index]) {
		at := slices.IndexFunc(q.steps, func(s *stepDef) bool { return s.address == address })
		if at >= 0 && (q.unknown || q.has(host)) {
			return q, at
		}
	}
	return nil, -1
}

// runs says whether a step of an earlier play runs on a host.
func (p *Program) runs(before *Play, host, address string) bool {
	play, _ := p.lastRun(before, host, address)
	return play != nil
}

func (p *Play) has(host string) bool { return p.members[host] }

// Reads says what a play on a host wants to know before it can be evaluated:
// found without evaluating, so hosts that a loop may reach are all named.
func (p *Program) Reads(play *Play, host string) Reads {
	out := Reads{Facts: play.named.facts}
	others := map[string]*Read{}
	of := func(name string) *Read {
		if others[name] == nil {
			others[name] = &Read{Host: name}
		}
		return others[name]
	}
	ask := func(name string, facts bool, ref *stepName) {
		if p.values.byName[name] == nil {
			return
		}
		if facts {
			of(name).Facts = true
		}
		if ref != nil && p.runs(play, name, ref.address()) && !slices.Contains(of(name).Steps, ref.address()) {
			of(name).Steps = append(of(name).Steps, ref.address())
		}
	}
	for _, o := range play.named.others {
		ask(o.host, len(o.facts) > 0, o.step)
	}
	if play.asksFar() {
		for _, h := range p.Hosts {
			ask(h.Name, play.named.farFacts, nil)
			for i := range play.named.farSteps {
				ask(h.Name, false, &play.named.farSteps[i])
			}
		}
	}
	if own := others[host]; own != nil {
		out.Facts = out.Facts || own.Facts
	}
	for _, name := range sortedKeys(others) {
		out.Others = append(out.Others, *others[name])
	}
	return out
}
