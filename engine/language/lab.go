package language

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func (b *binder) lab() {
	if len(b.c.labs) == 0 {
		return
	}
	block := b.c.labs[0]
	labRule.check(block.Body, &b.mistakes)
	ctx := b.context(block.DefRange().Filename)
	b.Lab = &Lab{Name: block.Labels[0]}
	if e := attribute(block.Body, "image"); e != nil {
		b.Lab.Image = text(e, ctx, "image", &b.mistakes)
	}
	if e := attribute(block.Body, "repository"); e != nil {
		b.Lab.Repository = texts(e, ctx, "repository", &b.mistakes)
	}
	for _, inner := range block.Body.Blocks {
		if inner.Type == "network" {
			b.network(inner, ctx)
		}
	}
	b.nicNetworks()
}

func (b *binder) network(block *hclsyntax.Block, ctx *hcl.EvalContext) {
	name, ok := labels(block, &b.mistakes, "NAME")
	if !ok {
		return
	}
	netRule.check(block.Body, &b.mistakes)
	n := LabNetwork{Name: name[0]}
	if slices.ContainsFunc(b.Lab.Networks, func(o LabNetwork) bool { return o.Name == n.Name }) {
		b.error(block.LabelRanges[0], fmt.Sprintf("network %q is there twice", n.Name))
		return
	}
	if e := attribute(block.Body, "cidr"); e != nil {
		n.CIDR = text(e, ctx, "cidr", &b.mistakes)
		if _, err := netip.ParsePrefix(n.CIDR); err != nil && n.CIDR != "" {
			b.error(e.Range(), "cidr is a network such as 10.127.1.0/24")
		}
	}
	if e := attribute(block.Body, "access"); e != nil {
		n.Access, _ = truth(e, ctx, "access", &b.mistakes)
		if n.Access && n.CIDR == "" {
			b.error(e.Range(), fmt.Sprintf("network %q is joined by the machine itself and has no cidr", n.Name), hint(`write cidr = "10.127.1.0/24"`))
		}
	}
	if e := attribute(block.Body, "wire"); e != nil {
		n.Wire, _ = truth(e, ctx, "wire", &b.mistakes)
		if n.Wire && n.Access {
			b.error(e.Range(), fmt.Sprintf("network %q is joined by the machine itself, and a wire has two ends: leave access out", n.Name))
		}
	}
	b.Lab.Networks = append(b.Lab.Networks, n)
}

func (b *binder) nic(h *Host, block *hclsyntax.Block, ctx *hcl.EvalContext) {
	name, ok := labels(block, &b.mistakes, "NAME")
	if !ok {
		return
	}
	nicRule.check(block.Body, &b.mistakes)
	n := NIC{Name: name[0]}
	if slices.ContainsFunc(h.NICs, func(o NIC) bool { return o.Name == n.Name }) {
		b.error(block.LabelRanges[0], fmt.Sprintf("nic %q is there twice", n.Name))
		return
	}
	if e := attribute(block.Body, "network"); e != nil {
		n.Network = text(e, ctx, "network", &b.mistakes)
	}
	if e := attribute(block.Body, "address"); e != nil {
		n.Address = text(e, ctx, "address", &b.mistakes)
		if _, err := netip.ParsePrefix(n.Address); err != nil && n.Address != "" {
			b.error(e.Range(), "address of a nic is an address with its prefix length", hint("for example 10.127.1.2/24"))
		}
	}
	if e := attribute(block.Body, "mac"); e != nil {
		n.MAC = text(e, ctx, "mac", &b.mistakes)
		if hw, err := net.ParseMAC(n.MAC); n.MAC != "" && (err != nil || len(hw) != 6) {
			b.error(e.Range(), "mac is an Ethernet address", hint("for example 02:00:00:00:00:01"))
		}
	}
	b.nicModel(h, &n, block.Body, ctx)
	h.NICs = append(h.NICs, n)
}

// nicNetworks checks that the networks which NICs name are there, and that no wire
// has a third end.
func (b *binder) nicNetworks() {
	names := make([]string, len(b.Lab.Networks))
	ends := map[string]int{} // that are left, of wires
	for i, n := range b.Lab.Networks {
		names[i] = n.Name
		if n.Wire {
			ends[n.Name] = 2
		}
	}
	for _, block := range b.c.hosts {
		if block.body == nil {
			continue
		}
		for _, inner := range block.body.Blocks {
			h := b.values.byName[block.name]
			i := slices.IndexFunc(h.NICs, func(n NIC) bool { return len(inner.Labels) == 1 && n.Name == inner.Labels[0] })
			if inner.Type != "nic" || i < 0 {
				continue
			}
			at := inner.DefRange()
			if e := attribute(inner.Body, "network"); e != nil {
				at = e.Range()
			}
			if !slices.Contains(names, h.NICs[i].Network) {
				b.error(at, fmt.Sprintf("lab %q has no network %q", b.Lab.Name, h.NICs[i].Network), meant(h.NICs[i].Network, names))
			}
			if left, wire := ends[h.NICs[i].Network]; wire {
				if left == 0 {
					b.error(at, fmt.Sprintf("network %q is a wire, and two nics are at its ends already", h.NICs[i].Network))
				}
				ends[h.NICs[i].Network] = max(left-1, 0)
			}
		}
	}
}
