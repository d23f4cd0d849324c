package language

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"weft/engine/step"
)

// hostValues makes `hosts` and `role`, without facts and outputs.
func (b *binder) hostValues() {
	b.lookUpHosts()
	if b.values.noHosts {
		b.values.roots[rootHosts], b.values.roots[rootRole] = cty.DynamicVal, cty.DynamicVal
		return
	}
	hosts := make(map[string]cty.Value, len(b.Hosts))
	for _, h := range b.Hosts {
		hosts[h.Name] = cty.ObjectVal(b.values.hostAttrs[h.Name])
	}
	roles := b.roleValues(hosts)
	for _, ch := range b.c.checked {
		for _, o := range ch.used.others {
			if _, ok := hosts[o.host]; !ok {
				hosts[o.host] = cty.DynamicVal
			}
		}
	}
	b.values.roots[rootHosts] = cty.ObjectVal(hosts)
	b.values.roots[rootRole] = roles
}

// roleValues makes `role` of host objects.
func (p *Program) roleValues(hosts map[string]cty.Value) cty.Value {
	roles := map[string]cty.Value{}
	for _, ch := range p.config.checked {
		for _, r := range ch.used.roles {
			roles[r.name] = cty.EmptyTupleVal
		}
	}
	for role, members := range p.values.roles {
		list := make([]cty.Value, len(members))
		for i, h := range members {
			list[i] = hosts[h.Name]
		}
		roles[role] = cty.TupleVal(list)
	}
	return cty.ObjectVal(roles)
}

// lookUpHosts looks up the hosts and roles that expressions name.
func (b *binder) lookUpHosts() {
	if b.values.noHosts || b.c.broken["host"] || b.c.broken["group"] {
		return
	}
	names := namesIn(b.Hosts, func(h *Host) string { return h.Name })
	roles := sortedKeys(b.values.roles)
	warned := map[string]bool{}
	for _, ch := range b.c.checked {
		if ch.used.told {
			continue
		}
		for _, o := range ch.used.others {
			if b.values.byName[o.host] == nil {
				b.error(o.at, fmt.Sprintf("there is no host %q", o.host), meant(o.host, names))
			}
		}
		for _, r := range ch.used.roles {
			if b.values.roles[r.name] == nil && !warned[r.name] {
				warned[r.name] = true
				b.warn(r.at, fmt.Sprintf("no host has the role %q", r.name), detail("The list is empty."), meant(r.name, roles))
			}
		}
	}
}

func (b *binder) plays(in Inputs) {
	for i, block := range b.c.plays {
		p := &Play{Name: block.name, OnFailure: Rollback, index: i, steps: block.steps, named: block.named}
		b.playHead(p, block)
		p.members = make(map[string]bool, len(p.Hosts))
		for _, h := range p.Hosts {
			p.members[h] = true
		}
		for _, s := range block.steps {
			p.Steps = append(p.Steps, b.step(s))
		}
		p.selected = selectTags(p.Steps, in)
		b.Plays = append(b.Plays, p)
	}
	b.uniqueOnHosts()
}

func (b *binder) playHead(p *Play, block *playBlock) {
	ctx := b.context(block.at.Filename)
	if e := attribute(block.body, "description"); e != nil {
		p.Description = text(e, ctx, "description", &b.mistakes)
	}
	if e := attribute(block.body, "serial"); e != nil {
		p.Serial = number(e, ctx, "serial", &b.mistakes)
	}
	if e := attribute(block.body, "max_failures"); e != nil {
		p.MaxFailures = number(e, ctx, "max_failures", &b.mistakes)
	}
	if e := attribute(block.body, "continue"); e != nil {
		p.Continue, _ = truth(e, ctx, "continue", &b.mistakes)
	}
	if e := attribute(block.body, "on_failure"); e != nil {
		known := []string{Rollback, Stop, RollbackRun, RollbackAll}
		switch said := text(e, ctx, "on_failure", &b.mistakes); {
		case slices.Contains(known, said):
			p.OnFailure = said
		case said != "":
			b.error(e.Range(), fmt.Sprintf("on_failure cannot be %q", said), meant(said, known))
		}
	}
	if e := attribute(block.body, "reboot"); e != nil {
		known := []string{string(step.RebootAuto), string(step.RebootNever), string(step.RebootStaged)}
		switch said := text(e, ctx, "reboot", &b.mistakes); {
		case slices.Contains(known, said):
			p.Reboot = step.RebootPolicy(said)
		case said != "":
			b.error(e.Range(), fmt.Sprintf("reboot cannot be %q", said), meant(said, known))
		}
	}
	p.guard, p.limit = b.span(block, guardSpan), b.span(block, limitSpan)
	e := attribute(block.body, "hosts")
	if e == nil {
		p.unknown = true
		return
	}
	v, ok := evaluate(e, ctx, &b.mistakes)
	if !ok || b.values.noHosts {
		p.unknown = true
		return
	}
	b.playHosts(p, v, e)
	if len(p.Hosts) == 0 && !p.unknown && !b.namesEmptyRole(e) && !b.c.filters(e) {
		b.warn(e.Range(), fmt.Sprintf("play %q has no hosts", p.Name))
	}
}

// filters says whether an expression, or a local that it names, picks some of many: that
// none is picked here is no surprise.
func (c *Config) filters(e hclsyntax.Expression) bool {
	found := false
	_ = hclsyntax.VisitAll(e, func(node hclsyntax.Node) hcl.Diagnostics {
		loop, is := node.(*hclsyntax.ForExpr)
		found = found || is && loop.CondExpr != nil
		return nil
	})
	return found || slices.ContainsFunc(namesOf(e, &mistakes{}).locals, func(n named) bool {
		i := slices.IndexFunc(c.locals, func(l *local) bool { return l.name == n.name })
		return i >= 0 && c.filters(c.locals[i].expr)
	})
}

// namesEmptyRole says whether a warning about a role was given already.
func (b *binder) namesEmptyRole(e hclsyntax.Expression) bool {
	for _, r := range namesOf(e, &mistakes{}).roles {
		if b.values.roles[r.name] == nil {
			return true
		}
	}
	return false
}

// playHosts adds the hosts in a value: host objects, names and patterns, and
// lists of them.
func (b *binder) playHosts(p *Play, v cty.Value, e hclsyntax.Expression) {
	v, _ = v.UnmarkDeep()
	add := func(name string) {
		if !slices.Contains(p.Hosts, name) {
			p.Hosts = append(p.Hosts, name)
		}
	}
	t := v.Type()
	switch {
	case !v.IsKnown():
		p.unknown = true
	case v.IsNull():
		b.error(e.Range(), "the hosts of a play cannot be null")
	case t == cty.String:
		names, err := b.Select(v.AsString())
		if err != nil {
			b.error(e.Range(), "hosts: "+err.Error())
			p.unknown = true
		}
		for _, n := range names {
			add(n)
		}
	case t.IsObjectType() && t.HasAttribute("name") && t.HasAttribute("vars"):
		add(v.GetAttr("name").AsString())
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		seen := make(map[string]bool, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			if name, ok := hostName(element); ok && !seen[name] {
				seen[name] = true
				p.Hosts = append(p.Hosts, name)
				continue
			} else if !ok {
				b.playHosts(p, element, e)
			}
		}
		p.Hosts = unique(p.Hosts)
	default:
		b.error(e.Range(), "the hosts of a play are a host or a list of hosts", detail("This is %s.", typeName(t)),
			hint(`write role.NAME, hosts["NAME"], "NAME", "all", or a list of these`))
		p.unknown = true
	}
}

func unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(names, func(n string) bool {
		again := seen[n]
		seen[n] = true
		return again
	})
}

// hostName is the name in a host object.
func hostName(v cty.Value) (string, bool) {
	t := v.Type()
	if !v.IsKnown() || v.IsNull() || !t.IsObjectType() || !t.HasAttribute("name") || !t.HasAttribute("vars") {
		return "", false
	}
	return v.GetAttr("name").AsString(), true
}

func (b *binder) step(s *stepDef) Step {
	out := Step{Address: s.address, Kind: s.kind.Name, Name: s.name, ForEach: s.keyed(), File: s.at.Filename, Line: s.at.Start.Line}
	for _, e := range s.tags {
		out.Tags = append(out.Tags, texts(e, b.context(e.Range().Filename), "tags", &b.mistakes)...)
	}
	return out
}

// selectTags says which steps --tags and --skip-tags leave.
func selectTags(steps []Step, in Inputs) []bool {
	has := func(s Step, tags []string) bool {
		return slices.ContainsFunc(s.Tags, func(t string) bool { return slices.Contains(tags, t) })
	}
	out := make([]bool, len(steps))
	for i, s := range steps {
		out[i] = (len(in.Tags) == 0 || has(s, in.Tags)) && !has(s, in.SkipTags)
	}
	return out
}
