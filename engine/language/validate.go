package language

import (
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"weft/engine/step"
)

// Validate evaluates every step of every host with all facts and outputs
// unknown, and finds what can be seen so: wrong types and values, and rows of a
// shared database that several hosts would write. It needs no host. Mistakes
// that several hosts have are told once.
//
// It is meant to run before every plan and apply: what it finds about several
// hosts together, [Program.Units] does not.
func (p *Program) Validate() Diagnostics {
	all := mistakes{}
	for _, play := range p.Plays {
		if !p.config.plays[play.index].broken {
			p.validatePlay(play, &all)
		}
	}
	return all.finish(p.config.files, p.Secrets)
}

func (p *Program) validatePlay(play *Play, all *mistakes) {
	hosts := make([]*Host, 0, len(play.Hosts))
	for _, name := range play.Hosts {
		hosts = append(hosts, p.values.byName[name])
	}
	if len(hosts) == 0 {
		hosts = append(hosts, &Host{}) // a host of which nothing is known
	}
	known := Known{Memo: &Memo{}}
	seen := make([][]Diagnostic, len(hosts))
	rows := make([][]row, len(hosts))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(hosts)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(hosts); i = int(next.Add(1)) - 1 {
				x := p.evaluation(play, hosts[i], known)
				x.run()
				seen[i], rows[i] = x.list, p.sharedRows(play, x.out.Units)
			}
		})
	}
	workers.Wait()
	for _, list := range seen {
		all.list = append(all.list, list...)
	}
	p.oneWriter(play, rows, all)
}

// row is what a step writes into a shared database.
type row struct {
	kind, name string
	def        *stepDef
}

func (p *Program) sharedRows(play *Play, units []step.Unit) []row {
	var out []row
	for _, u := range units {
		k := p.config.kinds[u.Kind]
		if k.Target == step.ThisHost {
			continue
		}
		if name := identity(k, u); name != "" {
			out = append(out, row{u.Kind, name, play.step(u)})
		}
	}
	return out
}

// step is where a unit was written.
func (p *Play) step(u step.Unit) *stepDef {
	for _, s := range p.steps {
		if s.name == u.Name && s.kind.Name == u.Kind {
			return s
		}
	}
	panic("language: a unit without a step: " + u.Address)
}

// identity is what names the row of a unit: its labels, or all of it where the
// kind has none. Empty where it is not known yet.
func identity(k *kind, u step.Unit) string {
	var spec map[string]json.RawMessage
	if err := json.Unmarshal(u.Spec, &spec); err != nil {
		panic("language: a spec that is no object: " + err.Error())
	}
	labels, out := 0, ""
	for _, f := range k.spec.fields {
		if f.label {
			labels++
			if spec[f.Name] == nil {
				return ""
			}
			out += string(spec[f.Name]) + " "
		}
	}
	if labels == 0 && len(u.Unknown) == 0 {
		return string(u.Spec)
	}
	return out
}

// oneWriter tells of rows that several hosts of a play would write.
func (p *Program) oneWriter(play *Play, rows [][]row, all *mistakes) {
	if len(play.Hosts) < 2 {
		return
	}
	type writers struct {
		first string
		more  int
		def   *stepDef
	}
	found := map[[2]string]*writers{}
	var order []*writers
	for i, list := range rows {
		mine := map[[2]string]bool{}
		for _, r := range list {
			key := [2]string{r.kind, r.name}
			w := found[key]
			switch {
			case w == nil:
				w = &writers{first: play.Hosts[i], def: r.def}
				found[key] = w
				order = append(order, w)
			case !mine[key]:
				w.more++
			}
			mine[key] = true
		}
	}
	for _, w := range order {
		if w.more > 0 {
			all.error(w.def.at, fmt.Sprintf("step %s would be written by several hosts", w.def.address),
				detail("It is in the %s, which all hosts share, and %s have it.", w.def.kind.Target, andMore(w.first, w.more)),
				hint("give the play one host, as hosts = role.NAME[0], or a name of its own to each host"))
		}
	}
}
