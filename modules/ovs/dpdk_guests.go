package ovs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"time"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/host/xmltree"
)

// guestMemory is what a domain that does not run will want of huge pages. One that
// runs has it already.
type guestMemory struct {
	name   string
	starts bool // with the host
	claims []claim
}

// claim is memory in kB of a node, or of anyNode, in pages of a size; 0 is the
// normal one.
type claim struct{ node, kb, size int }

func (g guestMemory) whole() int {
	sum := 0
	for _, c := range g.claims {
		sum += c.kb
	}
	return sum
}

// definitions is where libvirtd keeps what is defined.
const definitions = "/etc/libvirt/qemu"

// hungryGuests are the domains whose memory is in huge pages and that do not run.
// Where libvirtd does not answer and has some to tell of, that is a warning.
func hungryGuests(ctx context.Context, v host.View) (all []guestMemory, warnings []string, err error) {
	names, err := v.Libvirt.Domains(ctx)
	if err != nil && ctx.Err() == nil {
		files, listed := v.Files.List(ctx, definitions)
		if listed != nil && !errors.Is(listed, fs.ErrNotExist) {
			return nil, nil, listed
		}
		if slices.ContainsFunc(files, func(f string) bool { return path.Ext(f) == ".xml" }) {
			warnings = append(warnings, fmt.Sprintf("libvirtd does not answer: the huge pages that the virtual machines defined in %s want are not counted", definitions))
		}
		return nil, warnings, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		d, err := definedSoon(ctx, v, n.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // gone meanwhile
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil: // of a guest that hangs in its start, DPDK being down
			warnings = append(warnings, fmt.Sprintf("libvirtd does not tell of %s, whose huge pages are not counted: %v", n.Name, err))
			continue
		}
		if d.Active || d.Defined == "" {
			continue
		}
		parsed, err := xmltree.Parse(d.Defined)
		if err != nil {
			return nil, nil, fmt.Errorf("read domain %s: %w", d.Name, err)
		}
		if g := memoryOf(parsed); g.whole() > 0 {
			g.name, g.starts = d.Name, d.Autostart
			all = append(all, g)
		}
	}
	return all, warnings, nil
}

// definedSoon asks for a domain, and waits no longer than for one that answers.
func definedSoon(ctx context.Context, v host.View, name string) (host.Virtual, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return v.Libvirt.Virtual(ctx, host.VirtualDomain, name)
}

// memoryOf is what a definition wants of huge pages, by node where it is bound to
// one (https://libvirt.org/formatdomain.html#numa-node-tuning).
func memoryOf(domain *xmltree.Node) guestMemory {
	var g guestMemory
	pages := domain.At("memoryBacking").At("hugepages")
	if pages == nil {
		return g
	}
	tune := domain.At("numatune")
	add := func(cell string, kb int, nodeset string) {
		size, huge := pageOf(pages, cell)
		if !huge || kb == 0 {
			return
		}
		c := claim{anyNode, kb, size}
		if set, err := cpus.Parse(nodeset); err == nil && len(set) == 1 {
			c.node = set[0]
		}
		g.claims = append(g.claims, c)
	}
	of := boundTo(tune.At("memory"))
	cells := domain.At("cpu").At("numa").All("cell")
	for i, c := range cells {
		id := c.Get("id")
		if id == "" {
			id = strconv.Itoa(i)
		}
		nodeset := of
		for _, m := range tune.All("memnode") {
			if m.Get("cellid") == id {
				nodeset = boundTo(m)
			}
		}
		add(id, kibibytes(c.Get("memory"), c.Get("unit")), nodeset)
	}
	if memory := domain.At("memory"); len(cells) == 0 && memory != nil {
		add("0", kibibytes(memory.Text, memory.Get("unit")), of)
	}
	return g
}

// boundTo are the nodes that memory has to come from: all but strict may take others.
func boundTo(tune *xmltree.Node) string {
	if mode := tune.Get("mode"); mode != "" && mode != "strict" {
		return ""
	}
	return tune.Get("nodeset")
}

// pageOf is the size of the pages of a guest's own node, 0 for the normal one; a
// node that no page is for has small ones.
func pageOf(hugepages *xmltree.Node, cell string) (kb int, huge bool) {
	all := hugepages.All("page")
	for _, p := range all {
		size := kibibytes(p.Get("size"), p.Get("unit"))
		if p.Get("nodeset") == "" {
			kb, huge = size, true
			continue
		}
		n, err := cpus.Number(cell)
		if set, bad := cpus.Parse(p.Get("nodeset")); err == nil && bad == nil && slices.Contains(set, n) {
			return size, true
		}
	}
	return kb, huge || len(all) == 0
}

// kibibytes reads a size of libvirt's, whose unit is KiB where none is said.
func kibibytes(text, unit string) int {
	n, err := strconv.ParseUint(text, 10, 40)
	if err != nil {
		return 0
	}
	switch unit {
	case "b", "bytes":
		return int(n >> 10)
	case "M", "MiB":
		return int(n << 10)
	case "G", "GiB":
		return int(n << 20)
	case "T", "TiB":
		return int(n << 30)
	}
	return int(n)
}
