package language

import (
	"fmt"
	"slices"
	"strings"
)

// uniqueOnHosts tells of a kind and name that a host meets in two plays.
func (b *binder) uniqueOnHosts() {
	type place struct {
		play *Play
		step *stepDef
	}
	first := map[string][]place{}
	for _, p := range b.Plays {
		for _, s := range p.steps {
			for _, before := range first[s.address] {
				if before.play == p {
					continue
				}
				if h, more := b.inBoth(before.play, p); h != "" {
					b.error(s.nameAt, fmt.Sprintf("step %s is already in play %q", s.address, before.play.Name),
						detail("Both plays run on %s, and a kind and a name are one step of a host; the first is at %s:%d.", andMore(h, more), before.step.at.Filename, before.step.at.Start.Line),
						hint("give it another name"))
				}
			}
			first[s.address] = append(first[s.address], place{p, s})
		}
	}
}

func (b *binder) inBoth(one, two *Play) (first string, more int) {
	in := map[string]bool{}
	for _, h := range one.Hosts {
		in[h] = true
	}
	for _, h := range two.Hosts {
		switch {
		case !in[h]:
		case first == "":
			first = h
		default:
			more++
		}
	}
	return first, more
}

func andMore(name string, more int) string {
	switch more {
	case 0:
		return name
	case 1:
		return name + " and 1 more host"
	}
	return fmt.Sprintf("%s and %d more hosts", name, more)
}

// hostReferences checks that the hosts of earlier plays have the steps that
// later ones name.
func (b *binder) hostReferences() {
	if b.values.noHosts {
		return
	}
	for _, p := range b.Plays {
		b.loops(p)
		for _, prefix := range sortedKeys(p.named.own) {
			for _, address := range sortedKeys(p.named.own[prefix]) {
				if ref := p.named.own[prefix][address]; !ref.inPlay {
					b.ownReference(p, ref)
				}
			}
		}
		for _, o := range p.named.others {
			if o.step != nil && b.values.byName[o.host] != nil {
				b.otherReference(p, o)
			}
		}
	}
}

// had are the hosts that a step of an earlier play runs on.
func (b *binder) had(before *Play, address string) (hosts map[string]bool, plays []string, unknown bool) {
	hosts = map[string]bool{}
	for _, p := range b.Plays[:before.index] {
		if !slices.ContainsFunc(p.steps, func(s *stepDef) bool { return s.address == address }) {
			continue
		}
		plays = append(plays, p.Name)
		unknown = unknown || p.unknown
		for _, h := range p.Hosts {
			hosts[h] = true
		}
	}
	return hosts, plays, unknown
}

// largeLoops is from how many visits on a step that goes through a role, anew
// on each host, is worth a warning: about a second.
const largeLoops = 1_000_000

// loops warns of expressions whose time grows with the square of the hosts.
func (b *binder) loops(p *Play) {
	for _, s := range p.steps {
		for _, used := range s.used {
			for _, r := range used.whole {
				members := len(b.values.roles[r.name])
				if used.varyIn(s.use) == byHost && members*len(p.Hosts) > largeLoops {
					b.warn(r.at, fmt.Sprintf("each of %d hosts goes through the %d of role %q", len(p.Hosts), members, r.name),
						detail("The time grows with the square of the hosts."),
						hint("put what is the same for all hosts into a local, which is evaluated once"))
				}
			}
		}
	}
}

func (b *binder) ownReference(p *Play, ref ownStep) {
	had, plays, unknown := b.had(p, ref.address)
	first, more := "", 0
	for _, h := range p.Hosts {
		switch {
		case had[h]:
		case first == "":
			first = h
		default:
			more++
		}
	}
	if first != "" && !unknown {
		b.error(ref.said.at, fmt.Sprintf("%s does not have the step %s", andMore(first, more), ref.address),
			detail("Play %q has it, on other hosts.", strings.Join(plays, `" and "`)),
			hint(`of another host, write hosts["NAME"].step.%s`, ref.said.address()))
	}
}

func (b *binder) otherReference(p *Play, o otherName) {
	had, plays, unknown := b.had(p, o.step.address())
	if had[o.host] || unknown {
		return
	}
	names := make([]string, 0, len(had))
	for h := range had {
		names = append(names, h)
	}
	b.error(o.at, fmt.Sprintf("host %q does not have the step %s", o.host, o.step.address()),
		detail("Play %q has it, on other hosts.", strings.Join(plays, `" and "`)), meant(o.host, names))
}
