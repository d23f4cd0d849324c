package netconf

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
)

// plans is the family of netplan: files of our own. netplan puts all files
// together in the order of their names: mappings are merged, scalars of the last
// file count, sequences are added up. So what another file lists of addresses
// and routes is put out of force, as comments that begin with "#weft".
type plans struct{}

// The directories of netplan. Of two files of one name that of the last counts.
const (
	netplanDirectory = "/etc/netplan"
	netplanOwn       = netplanDirectory + "/90-weft-"
)

func (plans) read(ctx context.Context, v host.View) (Files, error) {
	files := Files{}
	for _, dir := range []string{"/lib/netplan", netplanDirectory, "/run/netplan"} {
		found, err := readAll(ctx, v, dir, func(name string) bool { return strings.HasSuffix(name, ".yaml") })
		if err != nil {
			return nil, err
		}
		for name := range found {
			maps.DeleteFunc(files, func(other, _ string) bool { return path.Base(other) == path.Base(name) })
		}
		maps.Copy(files, found)
	}
	return files, nil
}

func (plans) readable(ctx context.Context, v host.View, _ Part) error {
	there, err := exists(ctx, v, "/usr/sbin/netplan")
	if err == nil && !there {
		return fmt.Errorf("persist needs netplan, and /usr/sbin/netplan is not there: put a step package \"netplan.io\" before it: %w", host.ErrNotReady)
	}
	return err
}

func planFile(what, device string) string {
	return netplanOwn + what + "-" + fileName(device) + ".yaml"
}

// planName is what a part's file is called after, and what a reader calls it.
func planName(p Part) (file, what string, err error) {
	switch p.(type) {
	case Link:
		return "link", "link", nil
	case Addresses:
		return "then-address", "addresses of", nil
	case Bond:
		return "bond", "bond", nil
	case VLAN:
		return "vlan", "VLAN", nil
	case Bridge:
		return "bridge", "bridge", nil
	case OVSBridge:
		return "ovs-bridge", "bridge", nil
	case OVSPort:
		return "ovs-port", "port", nil
	case OVSPatch:
		return "ovs-patch", "patch port", nil
	}
	return "", "", cannot(p, Netplan)
}

func (plans) drop(files Files, p Part) error {
	what, _, err := planName(p)
	if err != nil {
		return err
	}
	delete(files, planFile(what, p.Of()))
	kind := making(p)
	if kind == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if parsed, err := parseYAML(files[name]); err != nil || strings.HasPrefix(name, netplanOwn) {
			continue // one of our own goes with its own step
		} else if makes(parsed, what, p.Of()) {
			return makesItself(name, kind, p.Of())
		}
	}
	return nil
}

// makes says whether a file makes a device of a kind.
func makes(n *node, kind, device string) (found bool) {
	n.each(device, func(d definition, _ yamlPair) { found = found || d.section == kind+"s" })
	return found
}

func (f plans) keep(files Files, p Part) (notes []string, err error) {
	name, what, err := planName(p)
	if err != nil {
		return nil, err
	}
	own := planFile(name, p.Of())
	was := files[own]
	delete(files, own)
	parsed, err := parsePlans(files)
	if err != nil {
		return nil, err
	}
	kinds := touched(p)
	if vlan, ok := p.(VLAN); ok {
		kinds[vlan.Link] = "" // it is defined where nothing defines it
	}
	if err := parsed.unclear(kinds); err != nil {
		return nil, err
	}
	var text string
	switch p := p.(type) {
	case Link:
		text = linkPlan(p, parsed.of(p.Device, p.Kind))
		err = parsed.release(files, p.Device, after(own), "mtu", "macaddress", "activation-mode")
		if err == nil && !p.Down { // there is no word that undoes it
			err = parsed.release(files, p.Device, everyFile, "activation-mode")
		}
	case Addresses:
		if !p.empty() {
			text = addressPlan(p, parsed.of(p.Device, p.Kind))
			if at := strings.Index(was, routesPlan); at >= 0 && p.Routes == nil {
				text += was[at:] // they stay as they are
			}
		}
		err = f.releaseAddresses(files, parsed, own, p)
	case Bond:
		if text, err = bondPlan(p, parsed); err == nil {
			err = parsed.expel(files, p.Device, p.Members)
		}
	case VLAN:
		text, err = vlanPlan(p, parsed)
	case Bridge:
		if text, err = bridgePlan(p, parsed); err == nil && !p.Open {
			err = parsed.expel(files, p.Device, p.Members)
		}
	default:
		text, err = f.keepOVS(files, parsed, p)
	}
	if text != "" {
		files[own] = fmt.Sprintf("# The %s %s, written by weft, which overwrites changes.\nnetwork:\n  version: 2\n", what, p.Of()) + text
	}
	return nil, err
}

// after picks the files that netplan reads after one.
func after(own string) func(file string) bool {
	return func(file string) bool { return path.Base(file) > path.Base(own) }
}

func everyFile(string) bool { return true }

func (plans) releaseAddresses(files Files, parsed parsedPlans, own string, a Addresses) error {
	for _, device := range a.both() {
		if err := parsed.unclearRoutes(device); err != nil && (a.Routes != nil || device == a.From) {
			return err
		}
	}
	keys := []string{"addresses"}
	if a.Routes != nil {
		keys = append(keys, "routes", "gateway4", "gateway6")
	}
	if a.empty() {
		keys = append(keys, "dhcp4")
	}
	if err := parsed.release(files, a.Device, everyFile, keys...); err != nil {
		return err
	}
	if err := parsed.release(files, a.Device, after(own), "dhcp4", "mtu"); err != nil || a.From == "" {
		return err
	}
	return parsed.release(files, a.From, everyFile, "addresses", "routes", "gateway4", "gateway6", "dhcp4")
}

// parsedPlans are files by name.
type parsedPlans map[string]*node

func parsePlans(files Files) (parsedPlans, error) {
	out := parsedPlans{}
	for name, text := range files {
		n, err := parseYAML(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: write it in block style without anchors, or leave persist out", name, err)
		}
		out[name] = n
	}
	return out, nil
}

// definition is where netplan describes a device. The name that it has there may
// be another than the device's.
type definition struct{ section, id string }

// each calls do for the definitions of a device.
func (n *node) each(device string, do func(d definition, p yamlPair)) {
	network := n.get("network")
	if network == nil {
		return
	}
	for _, section := range network.pairs {
		for _, p := range section.value.pairs {
			if describes(p, device) {
				do(definition{section.key, p.key}, p)
			}
		}
	}
}

// describes says whether a definition is of a device: by the name that it gives,
// by the one that it looks for, or by its own.
func describes(p yamlPair, device string) bool {
	if name := p.value.get("set-name").text(); name != "" {
		return name == device
	}
	if name := p.value.get("match", "name").text(); name != "" {
		ok, err := path.Match(name, device)
		return ok && err == nil
	}
	return p.key == device
}

// of is the definition of a device: the first that there is, else one of its
// own.
func (p parsedPlans) of(device, kind string) definition {
	section := map[string]string{"bond": "bonds", "bridge": "bridges", "vlan": "vlans"}[kind]
	if section == "" {
		section = "ethernets"
	}
	d, found := definition{section, device}, false
	for _, name := range slices.SortedFunc(maps.Keys(p), byBase) {
		p[name].each(device, func(other definition, _ yamlPair) {
			if !found {
				d, found = other, true
			}
		})
	}
	return d
}

// there says whether some file describes a device.
func (p parsedPlans) there(device string) bool {
	found := false
	for _, n := range p {
		n.each(device, func(definition, yamlPair) { found = true })
	}
	return found
}

func byBase(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) }

// release puts keys of a device out of force in the files that are picked.
func (p parsedPlans) release(files Files, device string, pick func(file string) bool, keys ...string) error {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !pick(name) {
			continue
		}
		now, err := parseYAML(files[name])
		if err != nil {
			return err
		}
		var gone []yamlPair
		var emptied []yamlPair
		now.each(device, func(_ definition, d yamlPair) {
			was := len(gone)
			for _, pair := range d.value.pairs {
				if slices.Contains(keys, pair.key) {
					gone = append(gone, pair)
				}
			}
			if n := len(gone) - was; n > 0 && n == len(d.value.pairs) {
				emptied = append(emptied, d)
			}
		})
		if len(gone) == 0 {
			continue
		}
		text, err := comment(files[name], gone, emptied)
		if err != nil || path.Dir(name) != netplanDirectory {
			return fmt.Errorf("%s gives %s %s, and weft cannot edit it: take that out of it, or move it to a file of its own below %s", name, device, gone[0].key, netplanDirectory)
		}
		files[name] = text
	}
	return nil
}

// expel puts lists of members out of force that have others than those named: netplan
// adds up what its files list.
func (p parsedPlans) expel(files Files, device string, members []string) error {
	if members == nil {
		return nil
	}
	var shall []string
	for _, m := range members {
		shall = append(shall, p.of(m, "").id)
	}
	more := map[string]bool{}
	for name, n := range p {
		n.each(device, func(_ definition, d yamlPair) {
			if list := d.value.get("interfaces"); list != nil {
				more[name] = slices.ContainsFunc(list.items, func(m *node) bool { return !slices.Contains(shall, m.text()) })
			}
		})
	}
	return p.release(files, device, func(file string) bool { return more[file] }, "interfaces")
}

// comment makes lines of entries comments. A definition that is emptied so stays
// as an empty mapping.
func comment(text string, gone, emptied []yamlPair) (string, error) {
	all := lines(text)
	for _, p := range gone {
		if !p.block {
			return "", errYAML
		}
		for i := p.at; i < p.end; i++ {
			all[i] = "#weft " + all[i]
		}
	}
	for _, d := range emptied {
		l := all[d.at]
		head := strings.TrimRight(uncommented(l), "\n ")
		if !d.block || !strings.HasSuffix(head, ":") {
			return "", errYAML
		}
		all[d.at] = "#weft " + l + strings.TrimRight(head, " ") + " {}\n"
	}
	edited := strings.Join(all, "")
	after, err := parseYAML(edited)
	if err != nil {
		return "", err
	}
	before, err := parseYAML(text)
	if err != nil {
		return "", err
	}
	if before.without(gone); !before.equal(after) {
		return "", errYAML
	}
	return edited, nil
}

// without takes entries out of mappings, known by where they stand.
func (n *node) without(gone []yamlPair) {
	n.pairs = slices.DeleteFunc(n.pairs, func(p yamlPair) bool {
		return slices.ContainsFunc(gone, func(g yamlPair) bool { return g.key == p.key && g.at == p.at && g.end == p.end })
	})
	for _, p := range n.pairs {
		p.value.without(gone)
	}
	for _, i := range n.items {
		i.without(gone)
	}
}
