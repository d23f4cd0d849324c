package libvirt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host/xmltree"
	"weft/engine/step"
)

// parts are what a definition names, by path: "memory" is the text of an
// element, "os.type@machine" an attribute,
// "devices.interface[52:54:00:00:00:01].source@network" one of a network card.
// What may be there several times is told apart by what libvirt tells it apart
// by, else by its number.
type parts map[string]step.Attr[string]

// named are the parts of a definition.
func named(want *xmltree.Node) parts { return found(want, want) }

// found are the parts that want names, as another definition has them. A value
// that means the same is spelt as in want.
func found(want, have *xmltree.Node) parts {
	p := parts{}
	look(p, "", want, have)
	return p
}

func look(p parts, at string, want, have *xmltree.Node) {
	put := func(path, wanted string, got *string) {
		switch {
		case got == nil:
			p[path] = step.None[string]()
		case means(path, wanted, *got):
			p[path] = step.Is(wanted)
		default:
			p[path] = step.Is(*got)
		}
	}
	for _, l := range leaves(want) {
		put(at+l, *value(want, l), value(have, l))
	}
	counted := map[string]int{}
	for _, c := range want.Children {
		name := segment(c, counted)
		there := counterpart(have, c, counted)
		path := join(at, name)
		if opaque(want, c) {
			wanted := canonical(c)
			var got *string
			if there != nil {
				text := canonical(there)
				got = &text
			}
			put(path, wanted, got)
			continue
		}
		look(p, path, c, there)
	}
}

// leaves are the attributes of an element, as "@name", and its text as "". An
// element with neither, and without children, is a leaf by being there.
func leaves(n *xmltree.Node) []string {
	var out []string
	for _, a := range n.Attrs {
		if a.Name != "unit" {
			out = append(out, "@"+a.Name)
		}
	}
	if n.Text != "" || len(n.Attrs)+len(n.Children) == 0 {
		out = append(out, "")
	}
	return out
}

// value is a leaf of an element, nil where it has none. Sizes are in KiB.
func value(n *xmltree.Node, leaf string) *string {
	if n == nil {
		return nil
	}
	text := n.Text
	if leaf != "" {
		if !n.Has(leaf[1:]) {
			return nil
		}
		text = n.Get(leaf[1:])
	}
	if sized(n, leaf) {
		if kib, ok := kibibytes(text, n.Get("unit")); ok {
			text = strconv.FormatUint(kib, 10) + " KiB"
		}
	}
	return &text
}

// sized says whether a leaf is a size in the unit of its element.
func sized(n *xmltree.Node, leaf string) bool {
	switch n.Name {
	case "memory", "currentMemory", "maxMemory":
		return leaf == ""
	}
	return n.Has("unit") && (leaf == "@size" || leaf == "@memory" || leaf == "" && n.Text != "")
}

// kibibytes is a size in libvirt's units, rounded up.
func kibibytes(text, unit string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 50)
	factor := map[string]uint64{
		"b": 1, "bytes": 1, "KB": 1000, "": 1 << 10, "k": 1 << 10, "KiB": 1 << 10, "MB": 1e6, "M": 1 << 20, "MiB": 1 << 20,
		"GB": 1e9, "G": 1 << 30, "GiB": 1 << 30, "TB": 1e12, "T": 1 << 40, "TiB": 1 << 40,
	}[unit]
	if err != nil || factor == 0 || n > 1<<63/factor {
		return 0, false
	}
	return (n*factor + 1023) >> 10, true
}

// means says whether two spellings of a part mean the same.
func means(path, a, b string) bool {
	if a == b {
		return true
	}
	switch {
	case path == "os.type@machine": // libvirt writes what a short name stands for
		return a == "pc" && strings.HasPrefix(b, "pc-i440fx-") || a != "" && strings.HasPrefix(b, "pc-"+a+"-")
	case path == "uuid", strings.HasSuffix(path, "@uuid"), strings.HasSuffix(path, "@interfaceid"), strings.HasSuffix(path, ".mac@address"):
		return strings.EqualFold(a, b)
	}
	if strings.HasPrefix(a, "0x") || strings.HasPrefix(b, "0x") {
		m, err := strconv.ParseUint(a, 0, 64)
		n, err2 := strconv.ParseUint(b, 0, 64)
		return err == nil && err2 == nil && m == n
	}
	return false
}

// opaque says whether an element is compared as a whole: what is in other
// namespaces than libvirt's own, whose meaning only others know.
func opaque(parent, n *xmltree.Node) bool {
	return parent.Name == "metadata" || strings.Contains(n.Name, ":")
}

// canonical is an element as text, whatever the order of its attributes.
func canonical(n *xmltree.Node) string {
	c := n.Clone()
	var sort func(n *xmltree.Node)
	sort = func(n *xmltree.Node) {
		slices.SortFunc(n.Attrs, func(a, b xmltree.Attr) int { return strings.Compare(a.Name, b.Name) })
		for _, child := range n.Children {
			sort(child)
		}
	}
	sort(c)
	return strings.TrimSpace(c.String())
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// segment names a child in a path. Counted are the children before it that only
// their number tells apart.
func segment(c *xmltree.Node, counted map[string]int) string {
	if k := key(c); k != "" {
		return c.Name + "[" + k + "]"
	}
	counted[c.Name]++
	if n := counted[c.Name]; n > 1 {
		return fmt.Sprintf("%s[%d]", c.Name, n)
	}
	return c.Name
}

// counterpart is the child of have that stands for the same as c, nil where
// there is none.
func counterpart(have, c *xmltree.Node, counted map[string]int) *xmltree.Node {
	k, n := key(c), 0
	for _, other := range have.All(c.Name) {
		switch o := key(other); {
		case k != "" && o == k:
			return other
		case k == "" && o == "":
			if n++; n == counted[c.Name] {
				return other
			}
		}
	}
	return nil
}

// key is what libvirt tells elements of one name apart by; empty where there is
// one of them, or only their order says which is which.
func key(n *xmltree.Node) string {
	switch n.Name {
	case "interface":
		return strings.ToLower(n.At("mac").Get("address"))
	case "disk":
		return n.At("target").Get("dev")
	case "filesystem":
		return n.At("target").Get("dir")
	case "channel":
		return n.At("target").Get("name")
	case "controller":
		index := n.Get("index")
		if index == "" {
			index = "0"
		}
		return n.Get("type") + " " + index
	case "graphics":
		return n.Get("type")
	case "input":
		return n.Get("type")
	case "timer":
		return n.Get("name")
	case "feature":
		return n.Get("name")
	case "vcpupin":
		return n.Get("vcpu")
	case "cell":
		return n.Get("id")
	case "hostdev":
		return hostdevKey(n.At("source").At("address"))
	}
	return ""
}

func hostdevKey(address *xmltree.Node) string {
	if address == nil {
		return ""
	}
	var words []string
	for _, name := range []string{"domain", "bus", "slot", "function", "device", "uuid"} {
		text := address.Get(name)
		if n, err := strconv.ParseUint(text, 0, 32); err == nil {
			text = strconv.FormatUint(n, 16)
		}
		if text != "" {
			words = append(words, text)
		}
	}
	return strings.Join(words, ":")
}
