package netconf

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host/ifupdown"
)

// unclear refuses what operators' stanzas say of the devices of a part, and what
// would be lost or be stronger than ours.
func (interfaces) unclear(files Files, part Part) error {
	devices := []string{part.Of()}
	if a, ok := part.(Addresses); ok {
		devices = a.both()
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ifupdown.PurposeOf(name) != "" {
			continue
		}
		text := ifupdown.Parse([]byte(files[name]))
		for _, device := range devices {
			for _, s := range text.Statements(device) {
				if why := unclearStatement(s.Words, device, part); why != "" {
					return fmt.Errorf("%s, line %d: %q %s", name, s.Line, strings.Join(s.Words[:min(2, len(s.Words))], " "), why)
				}
			}
		}
	}
	return nil
}

// unclearStatement says why a line is refused; empty of one that is not.
func unclearStatement(words []string, device string, part Part) string {
	a, addresses := part.(Addresses)
	_, link := part.(Link)
	switch {
	case (addresses || link) && (words[0] == "auto" || strings.HasPrefix(words[0], "allow-")):
		return "gives " + device + " the stanza of another name: write auto " + device + " and iface " + device + ", or leave persist out"
	case addresses && words[0] == "iface" && (len(words) < 4 || slices.Contains(words, "inherits")):
		return "is a stanza that weft cannot put out of force (no family and method, or inherits): spell it out as iface " + device + " inet static, or leave persist out"
	case addresses && ifupdown.CommandGives(words) && otherTable(words):
		return "sets a route of another table, which weft does not keep: move it to a script of its own in /etc/network/if-up.d, or leave persist out"
	case addresses && a.Routes == nil && losesRoute(words, device == a.Device):
		return "sets a route, which would go with the addresses: say routes in the step, too"
	}
	mtu, mac := station(part)
	if device != part.Of() {
		return ""
	}
	if stronger(words, mtu, mac) {
		return "says otherwise, and may be read after weft's file: take the line out"
	}
	return ""
}

// stronger says whether a line sets another MTU or Ethernet address.
func stronger(words []string, mtu int, mac string) bool {
	switch words[0] {
	case "mtu":
		return mtu != 0 && words[len(words)-1] != strconv.Itoa(mtu)
	case "hwaddress":
		return mac != "" && !strings.EqualFold(words[len(words)-1], mac)
	case "up", "pre-up", "post-up":
		at := slices.Index(words, "mtu")
		return mtu != 0 && at > 0 && at+1 < len(words) && words[at+1] != strconv.Itoa(mtu)
	}
	return false
}

// station is the MTU and the Ethernet address that a part keeps.
func station(part Part) (mtu int, mac string) {
	switch p := part.(type) {
	case Link:
		return p.MTU, p.MAC
	case Addresses:
		return p.MTU, ""
	case Bond:
		return p.MTU, p.MAC
	case VLAN:
		return p.MTU, p.MAC
	case Bridge:
		return p.MTU, p.MAC
	}
	return 0, ""
}

func otherTable(words []string) bool {
	at := slices.Index(words, "table")
	return at >= 0 && at+1 < len(words) && words[at+1] != "main" && words[at+1] != "254"
}

// addressCommand knows ip address in its abbreviations.
func addressCommand(words []string) bool {
	for i, w := range words {
		if i > 0 && !strings.HasPrefix(w, "-") {
			return path.Base(words[0]) == "ip" && strings.HasPrefix("address", w)
		}
	}
	return false
}

// losesRoute says whether a line sets a route that cannot stay as it is.
func losesRoute(words []string, own bool) bool {
	switch words[0] {
	case "gateway":
		return !own || len(words) != 2 || !validAddress(words[1])
	case "metric":
		return true // of that gateway
	}
	return ifupdown.CommandGives(words) && !addressCommand(words[1:])
}

func validAddress(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Zone() == "" // which is free text, and a shell reads it
}

// keptRoutes are what a step that leaves routes as they are puts beside its
// addresses: the gateways that go with others' stanzas, and else the routes in the
// file that weft wrote.
func keptRoutes(files Files, own, device string) string {
	gateways := map[string]string{} // by the version of IP
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ifupdown.PurposeOf(name) != "" {
			continue
		}
		text := ifupdown.Parse([]byte(files[name]))
		for _, s := range text.Statements(device) {
			if text.Gives(device) && s.Words[0] == "gateway" {
				via, version := s.Words[1], "-4"
				if strings.Contains(via, ":") {
					version = "-6"
				}
				gateways[version] = "    up ip " + version + " route replace default via " + via + " dev $IFACE\n"
			}
		}
	}
	var b strings.Builder
	for l := range strings.Lines(files[own]) {
		w := strings.Fields(l)
		if len(w) < 6 || strings.Join(slices.Delete(slices.Clone(w[:4]), 2, 3), " ") != "up ip route" || w[5] == "default" && gateways[w[2]] != "" {
			continue
		}
		b.WriteString(l)
	}
	return b.String() + gateways["-4"] + gateways["-6"]
}
