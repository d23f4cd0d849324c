package ovs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
)

// guestMemory is what a domain that does not run will want of huge pages, in kB.
// One that runs has it already.
type guestMemory struct {
	name     string
	starts   bool // with the host
	byNode   map[int]int
	anywhere int
}

func (g guestMemory) whole() int {
	sum := g.anywhere
	for _, n := range g.byNode {
		sum += n
	}
	return sum
}

// virtuals are all domains; none where no libvirtd listens.
func virtuals(ctx context.Context, v host.View) ([]host.Virtual, error) {
	names, err := v.Libvirt.Domains(ctx)
	if errors.Is(err, host.ErrNotReady) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []host.Virtual
	for _, n := range names {
		d, err := v.Libvirt.Virtual(ctx, host.VirtualDomain, n.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// hungryGuests are the domains whose memory is in huge pages and that do not run.
func hungryGuests(ctx context.Context, v host.View) ([]guestMemory, error) {
	all, err := virtuals(ctx, v)
	if err != nil {
		return nil, err
	}
	var out []guestMemory
	for _, d := range all {
		if d.Active || d.Defined == "" {
			continue
		}
		n, err := xmltree.Parse(d.Defined)
		if err != nil {
			return nil, fmt.Errorf("read domain %s: %w", d.Name, err)
		}
		if g := memoryOf(n); g.whole() > 0 {
			g.name, g.starts = d.Name, d.Autostart
			out = append(out, g)
		}
	}
	return out, nil
}

// memoryOf is what a definition wants of huge pages, by node where it is bound to
// one (https://libvirt.org/formatdomain.html#numa-node-tuning).
func memoryOf(domain *xmltree.Node) guestMemory {
	g := guestMemory{byNode: map[int]int{}}
	if domain.At("memoryBacking").At("hugepages") == nil {
		return g
	}
	tune := domain.At("numatune")
	add := func(kb int, nodeset string) {
		if set, err := cpus.Parse(nodeset); err == nil && len(set) == 1 {
			g.byNode[set[0]] += kb
			return
		}
		g.anywhere += kb
	}
	of := tune.At("memory").Get("nodeset")
	cells := domain.At("cpu").At("numa").All("cell")
	for i, c := range cells {
		id := c.Get("id")
		if id == "" {
			id = strconv.Itoa(i)
		}
		nodeset := of
		for _, m := range tune.All("memnode") {
			if m.Get("cellid") == id {
				nodeset = m.Get("nodeset")
			}
		}
		add(kibibytes(c.Get("memory"), c.Get("unit")), nodeset)
	}
	if memory := domain.At("memory"); len(cells) == 0 && memory != nil {
		add(kibibytes(memory.Text, memory.Get("unit")), of)
	}
	return g
}

// kibibytes reads a size of libvirt's, whose unit is KiB where none is said.
func kibibytes(text, unit string) int {
	n, err := strconv.ParseUint(text, 10, 50)
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

// riders are the domains that run and have a card on this switch: a tap among
// its interfaces, or the socket of a vhost-user port.
func (t tables) riders(ctx context.Context, v host.View) ([]string, error) {
	if len(t.interfaces) == 0 {
		return nil, nil
	}
	all, err := virtuals(ctx, v)
	if err != nil {
		return nil, err
	}
	devices, sockets := map[string]bool{}, map[string]bool{}
	for _, i := range t.interfaces {
		switch name := row.String(i, "name"); row.String(i, "type") {
		case "dpdkvhostuserclient":
			sockets[path.Clean(row.Map(i, "options")["vhost-server-path"])] = true
		case "dpdkvhostuser":
			sockets[name] = true // its file's name, in vhost-sock-dir
		default:
			devices[name] = true
		}
	}
	var out []string
	for _, d := range all {
		if !d.Active {
			continue
		}
		n, err := xmltree.Parse(d.Live)
		if err != nil {
			return nil, fmt.Errorf("read domain %s: %w", d.Name, err)
		}
		if slices.ContainsFunc(n.At("devices").All("interface"), func(card *xmltree.Node) bool {
			socket := card.At("source").Get("path")
			if card.Get("type") == "vhostuser" {
				return sockets[path.Clean(socket)] || sockets[path.Base(socket)]
			}
			return devices[card.At("target").Get("dev")]
		}) {
			out = append(out, d.Name)
		}
	}
	slices.Sort(out)
	return out, nil
}
