package language

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// groupAll is the group that every host is in.
const groupAll = "all"

var (
	hostRule  = blockRule{what: "a host", attrs: []string{"address", "roles", "groups", "vars"}, blocks: []string{"ssh", "vm", "nic"}}
	groupRule = blockRule{what: "a group", attrs: []string{"hosts", "roles", "vars"}, blocks: []string{"ssh"}}
	sshRule   = blockRule{what: "ssh", attrs: []string{"user", "port", "become", "identity_files", "proxy_jump"}}
	nicRule   = blockRule{what: "a nic", attrs: []string{"network", "address", "mac", "model"}}
	vmRule    = blockRule{what: "a vm", attrs: []string{"memory", "cpus", "numa_nodes", "iommu", "firmware"}}
	labRule   = blockRule{what: "a lab", attrs: []string{"image", "repository"}, blocks: []string{"network"}}
	netRule   = blockRule{what: "a network", attrs: []string{"cidr", "access", "wire"}}
)

// group is a group of the inventory with its values.
type group struct {
	name  string
	hosts map[string]bool
	all   bool
	roles []string
	vars  map[string]cty.Value
	ssh   SSH
}

func (b *binder) inventory() {
	known := map[string]bool{}
	for _, h := range b.c.hosts {
		known[h.name] = true
	}
	for _, g := range b.c.groups {
		b.groupOrder = append(b.groupOrder, b.group(g, known))
	}
	own := map[string]map[string]cty.Value{}
	for _, block := range b.c.hosts {
		if b.values.byName[block.name] != nil {
			continue // told as a duplicate
		}
		h, vars := b.host(block)
		own[h.Name] = vars
		b.values.byName[h.Name] = h
		b.Hosts = append(b.Hosts, h)
	}
	for _, h := range b.Hosts {
		b.join(h, own[h.Name])
	}
}

func (b *binder) group(block *groupBlock, known map[string]bool) *group {
	groupRule.check(block.body, &b.mistakes)
	ctx := b.context(block.at.Filename)
	g := &group{name: block.name, all: block.name == groupAll}
	if e := attribute(block.body, "hosts"); e != nil {
		if g.all {
			b.error(e.Range(), `group "all" has every host`, hint("leave out hosts"))
		}
		g.hosts = map[string]bool{}
		for _, name := range texts(e, ctx, "hosts", &b.mistakes) {
			g.hosts[name] = true
			if !known[name] && !b.c.broken["host"] {
				b.error(elementRange(e, name), fmt.Sprintf("group %q names the host %q, which is not there", g.name, name), meant(name, slices.Collect(maps.Keys(known))))
			}
		}
	}
	if e := attribute(block.body, "roles"); e != nil {
		g.roles = texts(e, ctx, "roles", &b.mistakes)
	}
	g.vars = b.vars(block.body, ctx)
	g.ssh = b.ssh(block.body, ctx)
	return g
}

// elementRange is where a text is written in a list, or the whole list.
func elementRange(e hclsyntax.Expression, text string) hcl.Range {
	if list, ok := e.(*hclsyntax.TupleConsExpr); ok {
		for _, x := range list.Exprs {
			if v, diags := x.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() == text {
				return x.Range()
			}
		}
	}
	return e.Range()
}

func (b *binder) host(block *hostBlock) (*Host, map[string]cty.Value) {
	h := &Host{Name: block.name, Address: block.name}
	if block.body == nil {
		return h, nil
	}
	hostRule.check(block.body, &b.mistakes)
	ctx := b.context(block.at.Filename)
	if e := attribute(block.body, "address"); e != nil {
		if a := text(e, ctx, "address", &b.mistakes); a != "" {
			h.Address = a
		}
	}
	if e := attribute(block.body, "roles"); e != nil {
		h.Roles = texts(e, ctx, "roles", &b.mistakes)
	}
	if e := attribute(block.body, "groups"); e != nil {
		h.Groups = texts(e, ctx, "groups", &b.mistakes)
	}
	h.SSH = b.ssh(block.body, ctx)
	b.vm(h, block.body, ctx)
	for _, inner := range block.body.Blocks {
		if inner.Type == "nic" {
			b.nic(h, inner, ctx)
		}
	}
	return h, b.vars(block.body, ctx)
}

// join gives a host what its groups have.
func (b *binder) join(h *Host, own map[string]cty.Value) {
	vars := map[string]cty.Value{}
	var member []string
	for _, g := range b.groupOrder {
		if !g.all && !g.hosts[h.Name] && !slices.Contains(h.Groups, g.name) {
			continue
		}
		member = append(member, g.name)
		for _, r := range g.roles {
			if !slices.Contains(h.Roles, r) {
				h.Roles = append(h.Roles, r)
			}
		}
		maps.Copy(vars, g.vars)
	}
	// The last group wins, and the host over all.
	for i := len(b.groupOrder) - 1; i >= 0; i-- {
		if g := b.groupOrder[i]; slices.Contains(member, g.name) {
			h.SSH = h.SSH.over(g.ssh)
		}
	}
	for _, g := range h.Groups {
		if !slices.Contains(member, g) {
			member = append(member, g)
		}
	}
	h.Groups = member
	maps.Copy(vars, own)
	for _, r := range h.Roles {
		b.values.roles[r] = append(b.values.roles[r], h)
	}
	for _, g := range h.Groups {
		b.values.groups[g] = append(b.values.groups[g], h)
	}
	b.values.hostAttrs[h.Name] = map[string]cty.Value{
		"name":    cty.StringVal(h.Name),
		"address": cty.StringVal(h.Address),
		"roles":   stringList(h.Roles),
		"groups":  stringList(h.Groups),
		"vars":    cty.ObjectVal(vars),
	}
}

// over returns s, with what it leaves out from base.
func (s SSH) over(base SSH) SSH {
	if s.User == "" {
		s.User = base.User
	}
	if s.Port == 0 {
		s.Port = base.Port
	}
	if s.Become == nil {
		s.Become = base.Become
	}
	if s.IdentityFiles == nil {
		s.IdentityFiles = base.IdentityFiles
	}
	if s.ProxyJump == "" {
		s.ProxyJump = base.ProxyJump
	}
	return s
}

func stringList(texts []string) cty.Value {
	if len(texts) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	out := make([]cty.Value, len(texts))
	for i, s := range texts {
		out[i] = cty.StringVal(s)
	}
	return cty.ListVal(out)
}

func (b *binder) vars(body *hclsyntax.Body, ctx *hcl.EvalContext) map[string]cty.Value {
	e := attribute(body, "vars")
	if e == nil {
		return nil
	}
	v, ok := evaluate(e, ctx, &b.mistakes)
	bare, marks := v.Unmark()
	if ok && (bare.IsNull() || !bare.Type().IsObjectType() && !bare.Type().IsMapType() && bare.Type() != cty.DynamicPseudoType) {
		b.error(e.Range(), "vars is a map", hint("write vars = { name = value }"))
	}
	if !ok || bare.IsNull() || !bare.IsKnown() || !bare.CanIterateElements() {
		return nil
	}
	out := map[string]cty.Value{}
	for it := bare.ElementIterator(); it.Next(); {
		k, value := it.Element()
		if k.Type() == cty.String {
			out[k.AsString()] = compact(value).WithMarks(marks)
		}
	}
	return out
}

func (b *binder) ssh(body *hclsyntax.Body, ctx *hcl.EvalContext) SSH {
	out := SSH{}
	for _, block := range body.Blocks {
		if block.Type != "ssh" {
			continue
		}
		sshRule.check(block.Body, &b.mistakes)
		if e := attribute(block.Body, "user"); e != nil {
			out.User = text(e, ctx, "user", &b.mistakes)
		}
		if e := attribute(block.Body, "port"); e != nil {
			out.Port = number(e, ctx, "port", &b.mistakes)
			if out.Port > 65535 {
				b.error(e.Range(), "port is at most 65535")
			}
		}
		if e := attribute(block.Body, "become"); e != nil {
			if become, known := truth(e, ctx, "become", &b.mistakes); known {
				out.Become = &become
			}
		}
		if e := attribute(block.Body, "identity_files"); e != nil {
			out.IdentityFiles = texts(e, ctx, "identity_files", &b.mistakes)
		}
		if e := attribute(block.Body, "proxy_jump"); e != nil {
			out.ProxyJump = text(e, ctx, "proxy_jump", &b.mistakes)
		}
	}
	return out
}
