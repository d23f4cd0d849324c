package netconf

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// routeFile is the file of a device's routes of one IP version, beside its own.
func routeFile(file string, four bool) string {
	kind := "route6-"
	if four {
		kind = "route-"
	}
	return path.Dir(file) + "/" + kind + strings.TrimPrefix(path.Base(file), "ifcfg-")
}

func scriptDNS(key string) bool { return numbered(key, "DNS", "DOMAIN", "SEARCH", "PEERDNS") }

// addresses sets the keys of addresses and the files of routes. What the device
// that it takes from says of DNS moves along.
func (s scripts) addresses(files Files, a Addresses) (notes []string, err error) {
	var moved []pair
	if a.From != "" {
		if file := scriptOf(files, a.From); file != "" {
			k := parseKeys(shell{}, files[file])
			moved = k.match("", scriptDNS)
			k.replace("", scriptDNS)
			bare := Addresses{Device: a.From, Routes: []host.Route{}}
			k.scriptIP(bare)
			files[file] = k.String()
			for _, four := range []bool{true, false} {
				if err := setRoutes(files, routeFile(file, four), bare, four); err != nil {
					return nil, err
				}
			}
		}
	}
	if scriptOf(files, a.Device) == "" && a.empty() {
		return nil, nil
	}
	file, k := s.open(files, a.Device, a.Kind)
	k.scriptIP(a)
	for _, p := range moved {
		if now, there := k.get("", p.key); there && now != p.value {
			return nil, fmt.Errorf("%s has another %s= than the file of %s, whose addresses come here: make them the same first", file, p.key, a.From)
		}
	}
	k.setAll("", moved...)
	if a.MTU != 0 {
		k.set("", "MTU", strconv.Itoa(a.MTU))
	}
	if !a.empty() {
		k.setFlag("ONBOOT", true)
	}
	files[file] = k.String()
	for _, four := range []bool{true, false} {
		if err := setRoutes(files, routeFile(file, four), a, four); err != nil {
			return nil, err
		}
	}
	for name := range files {
		if strings.HasPrefix(name, file+":") {
			notes = append(notes, fmt.Sprintf("%s gives %s addresses, too: leave them to one of the two", name, a.Device))
		}
	}
	slices.Sort(notes)
	return notes, nil
}

// scriptIPKey are the keys that say addresses and default routes.
func scriptIPKey(key string) bool {
	return scriptGateway(key) || key == "BOOTPROTO" || key == "IPV6ADDR" || key == "IPV6ADDR_SECONDARIES" || key == "BROADCAST" || key == "NETWORK" ||
		numbered(key, "IPADDR", "PREFIX", "NETMASK")
}

func scriptGateway(key string) bool {
	return key == "IPV6_DEFAULTGW" || key == "DEFROUTE" || key == "IPV4_ROUTE_METRIC" || numbered(key, "GATEWAY")
}

// scriptIP sets the keys of both IP versions, unless they mean that already.
func (k *keys) scriptIP(a Addresses) {
	now, ok := k.scriptMeans()
	four, six := a.four(), a.six()
	gateways := plainGateways(a.Routes)
	alike := ok && now.dhcp == a.DHCP && slices.Equal(now.addresses, slices.Concat(four, six))
	if alike && (a.Routes == nil || now.plain && slices.Equal(now.gateways, gateways)) {
		return
	}
	owned := scriptIPKey
	if a.Routes == nil {
		owned = func(key string) bool { return scriptIPKey(key) && !scriptGateway(key) }
	}
	pairs := []pair{{"BOOTPROTO", map[bool]string{true: "dhcp", false: "none"}[a.DHCP]}}
	for i, p := range four {
		n := ""
		if i > 0 {
			n = strconv.Itoa(i)
		}
		pairs = append(pairs, pair{"IPADDR" + n, p.Addr().String()}, pair{"PREFIX" + n, strconv.Itoa(p.Bits())})
	}
	for _, via := range gateways {
		if via.Is4() {
			pairs = append(pairs, pair{"GATEWAY", via.String()}, pair{"IPV4_ROUTE_METRIC", "0"})
		} else {
			pairs = append(pairs, pair{"IPV6_DEFAULTGW", via.String()})
		}
	}
	if len(six) > 0 {
		pairs = append(pairs, pair{"IPV6ADDR", six[0].String()})
	}
	if len(six) > 1 {
		var more []string
		for _, p := range six[1:] {
			more = append(more, p.String())
		}
		pairs = append(pairs, pair{"IPV6ADDR_SECONDARIES", strings.Join(more, " ")})
	}
	k.replace("", owned, pairs...)
	if len(six) > 0 {
		k.setFlag("IPV6INIT", true)
	}
}

// plain says whether GATEWAY or IPV6_DEFAULTGW can say a route.
func plain(r host.Route) bool {
	return r.Destination.Bits() == 0 && r.Via.IsValid() && metric(r) == 0 && !r.Source.IsValid() && !r.OnLink
}

// plainGateways are those of the default routes that are plain, IPv4 first.
func plainGateways(routes []host.Route) []netip.Addr {
	var out []netip.Addr
	for _, four := range []bool{true, false} {
		for _, r := range routes {
			if plain(r) && r.Via.Is4() == four {
				out = append(out, r.Via)
			}
		}
	}
	return out
}

type scriptMeaning struct {
	dhcp      bool
	addresses []netip.Prefix // IPv4 first
	gateways  []netip.Addr
	plain     bool // NetworkManager adds no metric of its own
}

// scriptMeans reads the keys of addresses. It fails where they do not parse.
func (k keys) scriptMeans() (m scriptMeaning, ok bool) {
	ok = true
	value := func(key string) string { v, _ := k.get("", key); return v }
	check := func(err error) { ok = ok && err == nil }
	m.dhcp = strings.EqualFold(value("BOOTPROTO"), "dhcp")
	for _, n := range k.addressNumbers() {
		p, err := scriptAddress(value("IPADDR"+n), value("PREFIX"+n), value("NETMASK"+n))
		check(err)
		m.addresses = append(m.addresses, p)
	}
	for _, text := range strings.Fields(value("IPV6ADDR") + " " + value("IPV6ADDR_SECONDARIES")) {
		p, err := netip.ParsePrefix(text)
		check(err)
		m.addresses = append(m.addresses, p)
	}
	for _, key := range []string{"GATEWAY", "GATEWAY0", "IPV6_DEFAULTGW"} {
		if text := value(key); text != "" {
			via, err := netip.ParseAddr(text)
			check(err)
			m.gateways = append(m.gateways, via)
		}
	}
	four := len(m.gateways) > 0 && m.gateways[0].Is4()
	m.plain = (!four || value("IPV4_ROUTE_METRIC") == "0") && (value("DEFROUTE") == "" || yes(k, "DEFROUTE"))
	return m, ok
}

// addressNumbers are what follows IPADDR in the keys, in their order.
func (k keys) addressNumbers() []string {
	var out []string
	for _, p := range k.match("", func(key string) bool { return numbered(key, "IPADDR") }) {
		out = append(out, strings.TrimPrefix(p.key, "IPADDR"))
	}
	slices.SortFunc(out, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return out
}

func scriptAddress(address, prefix, mask string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix != "" {
		n, err := strconv.Atoi(prefix)
		if err != nil {
			return netip.Prefix{}, err
		}
		return a.Prefix(n)
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() {
		return netip.Prefix{}, fmt.Errorf("netmask %q", mask)
	}
	bits := 0
	for _, b := range m.As4() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	return netip.PrefixFrom(a, bits), nil
}

// madeRoutes is what begins a file of routes that we made.
const madeRoutes = "# The routes of "

// setRoutes writes the file of routes of one IP version: arguments of
// ip-route(8), a line each. A file that says the same stays.
func setRoutes(files Files, file string, a Addresses, four bool) error {
	if a.Routes == nil {
		return nil
	}
	var want []host.Route
	for _, r := range a.routes(four) {
		if !plain(r) {
			want = append(want, r)
		}
	}
	now, err := parseRoutes(files[file])
	if err != nil {
		return fmt.Errorf("%s, %w, which weft does not overwrite: move it to a script of its own (routes of other tables), write it as arguments of ip route, or leave persist out", file, err)
	}
	if sameRoutes(now, want) {
		return nil
	}
	if len(want) == 0 {
		delete(files, file)
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, madeRoutes+"%s, written by weft, which overwrites changes.\n", a.Device)
	for _, r := range want {
		b.WriteString(routeWords(r, a.Device) + onLink(r) + "\n")
	}
	files[file] = b.String()
	return nil
}

// parseRoutes reads a file of routes. It fails where that says more than
// networks, gateways, metrics and sources, or in the format of ADDRESS0.
func parseRoutes(text string) (routes []host.Route, err error) {
	for i, l := range lines(text) {
		words := strings.Fields(l)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		r, err := parseRoute(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func parseRoute(words []string) (r host.Route, err error) {
	to := words[0]
	for words = words[1:]; len(words) > 0; words = words[1:] {
		if words[0] == "onlink" {
			r.OnLink = true
			continue
		}
		if len(words) < 2 {
			return r, fmt.Errorf("%s says nothing", words[0])
		}
		switch words[0] {
		case "via":
			r.Via, err = netip.ParseAddr(words[1])
		case "src":
			r.Source, err = netip.ParseAddr(words[1])
		case "metric":
			r.Metric, err = strconv.Atoi(words[1])
		case "dev":
		case "table":
			if words[1] != "main" && words[1] != "254" {
				err = fmt.Errorf("%s is of table %s", to, words[1])
			}
		default:
			err = fmt.Errorf("%s is none of via, src, metric, dev", words[0])
		}
		if err != nil {
			return r, err
		}
		words = words[1:]
	}
	if to == "default" {
		r.Destination = everywhere(!r.Via.Is6())
		return r, nil
	}
	if !strings.Contains(to, "/") {
		a, err := netip.ParseAddr(to)
		r.Destination = netip.PrefixFrom(a, a.BitLen())
		return r, err
	}
	r.Destination, err = netip.ParsePrefix(to)
	r.Destination = r.Destination.Masked()
	return r, err
}
