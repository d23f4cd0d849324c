package fake

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"weft/engine/host"
)

// Snapshot renders the whole state of the machine as text, the same text for
// the same state: files, kernel values, units that are not at rest, links,
// routes, databases, libvirt's domains and networks. What changes by itself is
// not in it: indexes of links, process ids, times, the id of the boot.
func (m *Machine) Snapshot() string {
	var b strings.Builder
	m.mu.Lock()
	m.files.render(&b)
	for _, name := range slices.Sorted(maps.Keys(m.kernel)) {
		if name == bootID {
			continue
		}
		fmt.Fprintf(&b, "kernel %s = %q\n", name, m.kernel[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.kernelLinks)) {
		fmt.Fprintf(&b, "kernel %s -> %s\n", name, m.kernelLinks[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.units)) {
		m.renderUnit(&b, name)
	}
	m.net.render(&b)
	m.mu.Unlock()
	m.databases.render(&b)
	m.libvirt.render(&b)
	return b.String()
}

func (t tree) render(b *strings.Builder) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		n := t[name]
		if strings.HasPrefix(name+"/", kept+"/") {
			continue
		}
		fmt.Fprintf(b, "%s %s %v %s:%s", n.Type, name, n.Mode, n.Owner, n.Group)
		switch n.Type {
		case host.Symlink:
			fmt.Fprintf(b, " -> %s\n", n.Target)
		case host.Regular:
			if strings.HasPrefix(name, "/var/log/") { // what a daemon says is no state
				b.WriteByte('\n')
				continue
			}
			renderContent(b, n.Content)
		default:
			b.WriteByte('\n')
		}
	}
}

// renderContent shows a short text whole, and else its digest.
func renderContent(b *strings.Builder, content string) {
	if len(content) > 4096 || !utf8.ValidString(content) {
		fmt.Fprintf(b, " %d bytes, sha256 %x\n", len(content), sha256.Sum256([]byte(content)))
		return
	}
	b.WriteByte('\n')
	for line := range strings.Lines(content) {
		fmt.Fprintf(b, "\t%q\n", line)
	}
}

func (m *Machine) renderUnit(b *strings.Builder, name string) {
	u := m.units[name]
	if u.active == "inactive" {
		return
	}
	fmt.Fprintf(b, "unit %s %s %s", name, u.active, u.sub)
	if now := m.files.define(name); u.active == "active" && !u.loaded.equal(now) {
		b.WriteString(" from a file that has changed since")
	}
	b.WriteByte('\n')
}

func (d definition) equal(o definition) bool {
	return d.fragment == o.fragment && maps.EqualFunc(d.values, o.values, slices.Equal[[]string])
}

func (n network) render(b *strings.Builder) {
	for _, name := range slices.Sorted(maps.Keys(n.spaces)) {
		s := n.spaces[name]
		fmt.Fprintf(b, "namespace %q\n", name)
		var lines []string
		for _, d := range s.links {
			lines = append(lines, d.line())
		}
		for _, r := range s.routes {
			lines = append(lines, fmt.Sprintf("\troute %s via %s link %s metric %d source %s protocol %d onlink %t\n",
				r.Destination, r.Via, r.Link, r.Metric, r.Source, r.Protocol, r.OnLink))
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
}

func (d *device) line() string {
	var addresses []string
	for _, a := range d.Addresses {
		text := a.String()
		if o, special := d.Special[a]; special {
			text += fmt.Sprintf(" %+v", o)
		}
		addresses = append(addresses, text)
	}
	slices.SortStableFunc(addresses, func(a, b string) int { return strings.Compare(subnet(a), subnet(b)) })
	v := d.view()
	peer := ""
	if d.peer != nil {
		peer = " peer " + d.peer.Name
	}
	if d.Checksum {
		peer += " checksum offload"
	}
	if v.Options != nil {
		// What a bond keeps for another mode means nothing in this one.
		maps.DeleteFunc(v.Options, func(name, _ string) bool {
			modes, some := bondModes()[name]
			return d.Kind == "bond" && some && !slices.Contains(modes, v.Options["mode"])
		})
		peer += fmt.Sprint(" options ", v.Options)
	}
	return fmt.Sprintf("\tlink %s kind %q mac %s mtu %d checksum %t up %t carrier %t master %q lower %q%s %v\n",
		d.Name, d.Kind, d.MAC, d.MTU, d.Checksum, d.Up, v.Carrier, d.Master, d.Lower, peer, addresses)
}

// subnet is what addresses are sorted by: in one IPv4 subnet their order says
// which is the primary.
func subnet(address string) string {
	text, _, _ := strings.Cut(address, " ")
	if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Is4() {
		return p.Masked().String()
	}
	return text
}
