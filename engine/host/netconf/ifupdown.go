package netconf

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
)

// interfaces is the family of ifupdown: a file of our own for each part, read
// in the order of their names.
type interfaces struct{}

// purpose says which of our files keeps a part.
func purpose(p Part) (ifupdown.Purpose, error) {
	switch p.(type) {
	case Link:
		return ifupdown.Link, nil
	case Addresses:
		return ifupdown.Address, nil
	case Bond:
		return ifupdown.Bond, nil
	case VLAN:
		return ifupdown.VLAN, nil
	case Bridge:
		return ifupdown.LinuxBridge, nil
	}
	return "", cannot(p, Ifupdown)
}

func cannot(p Part, f Family) error {
	return fmt.Errorf("weft cannot keep %s by %s: leave persist out, or name another way in persist_by", p.Of(), f)
}

func (interfaces) read(ctx context.Context, v host.View) (Files, error) {
	files := Files{}
	known, err := ifupdown.Read(ctx, v.Files)
	if err != nil {
		return nil, err
	}
	for _, f := range known {
		files[f.Name] = f.Text.String()
	}
	// What the main file does not source, ours are among.
	unread, err := readAll(ctx, v, ifupdown.Directory, func(name string) bool {
		return ifupdown.PurposeOf(ifupdown.Directory+"/"+name) != ""
	})
	maps.Copy(files, unread)
	return files, err
}

func (interfaces) readable(ctx context.Context, v host.View, p Part) error {
	if isOVS(p) {
		return ifupdown.CanPersist(ctx, v.Files, ovsFiles(p)[0])
	}
	kind, err := purpose(p)
	if err != nil {
		return err
	}
	if a, ok := p.(Addresses); ok && a.empty() {
		return nil // there is no file of ours then
	}
	return ifupdown.CanPersist(ctx, v.Files, kind.Path(p.Of()))
}

func (interfaces) drop(files Files, p Part) error {
	if isOVS(p) {
		for _, name := range ovsFiles(p) {
			delete(files, name)
		}
		return nil
	}
	kind, err := purpose(p)
	if err != nil {
		return err
	}
	delete(files, kind.Path(p.Of()))
	made := making(p)
	if made == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ifupdown.PurposeOf(name) == "" && makesDevice(name, ifupdown.Parse([]byte(files[name])), p.Of()) != nil {
			return makesItself(name, made, p.Of())
		}
	}
	return nil
}

func (f interfaces) keep(files Files, p Part) (notes []string, err error) {
	if isOVS(p) {
		return f.keepOVS(files, p), nil
	}
	kind, err := purpose(p)
	if err != nil {
		return nil, err
	}
	if err := (interfaces{}).unclear(files, p); err != nil {
		return nil, err
	}
	own := kind.Path(p.Of())
	switch p := p.(type) {
	case Link:
		files[own] = linkStanza(p)
	case Bond:
		files[own] = bondStanza(p)
	case VLAN:
		files[own] = vlanStanza(p)
	case Bridge:
		files[own] = bridgeStanza(p)
	case Addresses:
		routes := ""
		if p.Routes == nil {
			routes = keptRoutes(files, own, p.Device)
		}
		delete(files, own)
		for _, name := range sortedNames(files) {
			more, err := releaseStanzas(files, name, p)
			if err != nil {
				return nil, err
			}
			notes = append(notes, more...)
		}
		if !p.empty() {
			files[own] = addressStanza(p) + routes
		}
	}
	return notes, nil
}

// releaseStanzas puts out of force what a file of an operator gives the devices
// of p.
func releaseStanzas(files Files, name string, p Addresses) (notes []string, err error) {
	text := ifupdown.Parse([]byte(files[name]))
	other := ifupdown.PurposeOf(name)
	ours := other != "" && other != ifupdown.Address
	for _, device := range p.both() {
		notes = append(notes, mappings(name, text, device)...)
		switch {
		case !text.Gives(device):
		case ours:
			notes = append(notes, fmt.Sprintf("%s, which another step writes, gives %s addresses too: leave them to one of the two", name, device))
		default:
			text = text.Release(device)
		}
	}
	if !ours && !p.empty() {
		if err := makesDevice(name, text, p.Device); err != nil {
			return nil, err
		}
	}
	files[name] = text.String()
	return notes, nil
}

// makesDevice refuses a file whose stanza makes the device, as the hooks of
// bridge-utils, ifenslave and vlan have it: ours would come before it.
func makesDevice(file string, t ifupdown.Text, name string) error {
	for _, i := range t.Interfaces(name) {
		for _, o := range i.Options {
			for _, prefix := range []string{"bridge_", "bridge-", "bond_", "bond-", "vlan_", "vlan-", "ovs_"} {
				if strings.HasPrefix(o[0], prefix) {
					return fmt.Errorf("%s makes %s itself (%s), which comes too late for another file that gives it addresses: keep them there, and leave persist out", file, name, o[0])
				}
			}
		}
	}
	return nil
}

// mappings warns where a script chooses the stanza.
func mappings(file string, t ifupdown.Text, name string) []string {
	for _, patterns := range t.Words("mapping") {
		for _, p := range patterns {
			if ok, err := path.Match(p, name); ok && err == nil {
				return []string{fmt.Sprintf("%s maps %s by a script: which stanza it gets at boot is not known", file, name)}
			}
		}
	}
	return nil
}

// linkStanza is read after those of bridges and ports, which make the device.
// ifup brings a device of the method manual up.
func linkStanza(p Link) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The link %s, written by weft, which overwrites changes.\nauto %s\niface %s inet manual\n", p.Device, p.Device, p.Device)
	b.WriteString(Station{p.MTU, p.MAC, p.Down}.options())
	return b.String()
}

// addressStanza is all numbers and addresses: nothing in it means anything to
// the shell that runs the commands.
func addressStanza(p Addresses) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The addresses of %s, written by weft, which overwrites changes.\nauto %s\n", p.Device, p.Device)
	mtu := ""
	if p.MTU != 0 {
		mtu = fmt.Sprintf("    mtu %d\n", p.MTU)
	}
	if p.DHCP {
		fmt.Fprintf(&b, "iface %s inet dhcp\n", p.Device)
		if p.From != "" { // mostly a port of this bridge, and the way to the server
			fmt.Fprintf(&b, "    pre-up ifup %s || true\n", p.From)
		}
	}
	for _, a := range p.Addresses {
		family, wait := "inet", ""
		if a.Addr().Is6() {
			family, wait = "inet6", "    dad-attempts 0\n" // a bridge's port may come later
		}
		fmt.Fprintf(&b, "iface %s %s static\n    address %s\n%s%s", p.Device, family, a, wait, mtu)
		mtu = ""
	}
	if len(p.Addresses) == 0 && (!p.DHCP || mtu != "" || len(p.Routes) > 0) {
		fmt.Fprintf(&b, "iface %s inet manual\n%s", p.Device, mtu)
	}
	for _, r := range p.Routes {
		version := "-4"
		if r.Destination.Addr().Is6() {
			version = "-6"
		}
		fmt.Fprintf(&b, "    up ip %s route replace %s dev $IFACE%s\n", version, strings.TrimSuffix(routeWords(r, ""), " "), onLink(r))
	}
	return b.String()
}

func onLink(r host.Route) string {
	if r.OnLink {
		return " onlink"
	}
	return ""
}

// routeWords are the arguments of ip-route(8) up to the device.
func routeWords(r host.Route, device string) string {
	words := []string{destination(r)}
	if r.Via.IsValid() {
		words = append(words, "via", r.Via.String())
	}
	if device != "" {
		words = append(words, "dev", device)
	}
	if r.Source.IsValid() {
		words = append(words, "src", r.Source.String())
	}
	if n := metric(r); n != 0 {
		words = append(words, "metric", strconv.Itoa(n))
	}
	return strings.Join(words, " ")
}

// metric is that which must be said: 1024 is the kernel's own of IPv6.
func metric(r host.Route) int {
	if r.Destination.Addr().Is6() && r.Metric == 1024 {
		return 0
	}
	return r.Metric
}

func destination(r host.Route) string {
	if r.Destination.Bits() == 0 && (r.Destination.Addr().Is4() || r.Via.IsValid() || r.Source.IsValid()) {
		return "default"
	}
	return r.Destination.String()
}
