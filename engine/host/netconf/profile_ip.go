package netconf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// addresses sets the groups ipv4 and ipv6 of the device's profile, and takes
// those of the device that it takes from out of force. What that says of DNS
// moves along.
func (p profiles) addresses(files Files, a Addresses) error {
	moved := map[string][]pair{}
	if a.From != "" {
		file, k := p.open(files, a.From, a.FromKind)
		bare := Addresses{Device: a.From, Routes: []host.Route{}}
		for _, group := range []string{"ipv4", "ipv6"} {
			moved[group] = k.match(group, dnsKey)
			k.ip(group, bare)
		}
		// Without a profile of its own it would get one that NetworkManager makes.
		if _, there := files[file]; there || profileType(a.FromKind) == "ethernet" {
			files[file] = k.String()
		}
	}
	file, k := p.open(files, a.Device, a.Kind)
	if _, there := files[file]; !there {
		switch {
		case a.empty():
			return nil
		case profileType(a.Kind) != "ethernet":
			return makesNone(a.Device)
		}
	}
	for _, group := range []string{"ipv4", "ipv6"} {
		k.ip(group, a)
		if len(k.match(group, dnsKey)) == 0 && !k.mute(group) {
			k.setAll(group, moved[group]...)
		}
	}
	if a.MTU != 0 {
		k.set(ethernetGroup(k), "mtu", strconv.Itoa(a.MTU))
	}
	files[file] = k.String()
	return nil
}

// mute says whether a group may say nothing of DNS.
func (k keys) mute(group string) bool {
	method, _ := k.get(group, "method")
	return method == "disabled" || method == "ignore"
}

func dnsKey(key string) bool { return strings.HasPrefix(key, "dns") }

// ip sets the group of one IP version, unless it means that already. Routes
// that are nobody's business here stay as they are.
func (k *keys) ip(group string, a Addresses) {
	defer func() {
		if k.mute(group) {
			k.replace(group, dnsKey)
		}
	}()
	four := group == "ipv4"
	addresses, routes := filter(a.Addresses, four), a.routes(four)
	now, ok := k.means(group)
	alike := ok && now.method == k.method(group, a) && slices.Equal(now.addresses, addresses)
	if alike && (a.Routes == nil || now.plain && sameRoutes(now.routes, routes)) {
		return
	}
	pairs := []pair{{"method", k.method(group, a)}}
	for i, p := range addresses {
		pairs = append(pairs, pair{"address" + strconv.Itoa(i+1), p.String()})
	}
	if a.Routes == nil {
		if now.gateway.IsValid() && len(addresses) > 0 {
			pairs = append(pairs, pair{"gateway", now.gateway.String()})
		}
		k.replace(group, func(key string) bool { return ipKey(key) && !routeKey(key) || key == "gateway" }, pairs...)
		return
	}
	if len(addresses)+len(routes) > 0 {
		pairs = append(pairs, pair{"route-metric", "0"}) // else it adds its own to each
	}
	for i, r := range routes {
		pairs = append(pairs, keyfileRoute(i+1, r)...)
	}
	k.replace(group, ipKey, pairs...)
}

// method is the one that a group gets. IPv6 without addresses stays as it is
// where that says nothing of addresses.
func (k keys) method(group string, a Addresses) string {
	now, _ := k.get(group, "method")
	addresses := filter(a.Addresses, group == "ipv4")
	switch {
	case group == "ipv4" && a.DHCP:
		return "auto"
	case len(addresses) > 0 && group == "ipv6" && now == "auto":
		return "auto" // addresses of routers beside those named
	case len(addresses) > 0:
		return "manual"
	case group == "ipv4":
		return "disabled"
	case now == "" || now == "manual":
		return "ignore"
	}
	return now
}

// ipKey are the keys that say addresses and routes.
func ipKey(key string) bool {
	return key == "method" || numbered(key, "address", "addresses") || routeKey(key)
}

func routeKey(key string) bool {
	return slices.Contains([]string{"gateway", "route-metric", "never-default"}, key) ||
		numbered(strings.TrimSuffix(key, "_options"), "route", "routes")
}

// numbered says whether a key is one of the names, or one with a number.
func numbered(key string, names ...string) bool {
	return slices.Contains(names, strings.TrimRight(key, "0123456789"))
}

// ipMeaning is what a group says of addresses and routes.
type ipMeaning struct {
	method    string
	addresses []netip.Prefix
	routes    []host.Route
	gateway   netip.Addr
	plain     bool // NetworkManager adds no metric of its own
}

// means reads a group. It fails where something in it does not parse, or has a
// meaning beyond addresses and routes of the main table.
func (k keys) means(group string) (m ipMeaning, ok bool) {
	ok = true
	check := func(err error) { ok = ok && err == nil }
	for _, p := range k.match(group, ipKey) {
		var err error
		switch {
		case p.key == "method":
			m.method = p.value
		case p.key == "route-metric":
		case p.key == "gateway":
			m.gateway, err = netip.ParseAddr(p.value)
		case numbered(p.key, "address", "addresses"):
			var a netip.Prefix
			text, gateway, _ := strings.Cut(p.value, ",")
			a, err = netip.ParsePrefix(text)
			m.addresses = append(m.addresses, a)
			if via, none := netip.ParseAddr(gateway); none == nil && !via.IsUnspecified() {
				m.gateway = via
			}
		case numbered(p.key, "route", "routes"):
			options, _ := k.get(group, p.key+"_options")
			var r host.Route
			r, err = parseKeyfileRoute(p.value, options)
			m.routes = append(m.routes, r)
		case !strings.HasSuffix(p.key, "_options"):
			ok = false // never-default
		}
		check(err)
	}
	if m.gateway.IsValid() {
		m.routes = append(m.routes, host.Route{Destination: everywhere(group == "ipv4"), Via: m.gateway})
	}
	base, _ := k.get(group, "route-metric")
	m.plain = base == "0" || len(m.addresses)+len(m.routes) == 0
	return m, ok
}

func everywhere(four bool) netip.Prefix {
	if four {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// keyfileRoute spells a route: "route1=DEST,GATEWAY,METRIC", and what else there
// is to say in "route1_options".
func keyfileRoute(n int, r host.Route) []pair {
	key := "route" + strconv.Itoa(n)
	via := "0.0.0.0"
	if r.Destination.Addr().Is6() {
		via = "::"
	}
	if r.Via.IsValid() {
		via = r.Via.String()
	}
	value := r.Destination.String() + "," + via
	if m := metric(r); m != 0 {
		value += "," + strconv.Itoa(m)
	} else {
		value = strings.TrimSuffix(strings.TrimSuffix(value, ",0.0.0.0"), ",::")
	}
	pairs := []pair{{key, value}}
	var options []string
	if r.OnLink {
		options = append(options, "onlink=true")
	}
	if r.Source.IsValid() {
		options = append(options, "src="+r.Source.String())
	}
	if len(options) > 0 {
		pairs = append(pairs, pair{key + "_options", strings.Join(options, ",")})
	}
	return pairs
}

func parseKeyfileRoute(value, options string) (r host.Route, err error) {
	parts := strings.Split(value, ",")
	if r.Destination, err = netip.ParsePrefix(parts[0]); err != nil {
		return r, err
	}
	if len(parts) > 1 {
		if r.Via, err = netip.ParseAddr(parts[1]); err != nil {
			return r, err
		}
		if r.Via.IsUnspecified() {
			r.Via = netip.Addr{}
		}
	}
	if len(parts) > 2 {
		if r.Metric, err = strconv.Atoi(parts[2]); err != nil {
			return r, err
		}
	}
	for option := range strings.SplitSeq(options, ",") {
		switch name, value, _ := strings.Cut(option, "="); name {
		case "":
		case "onlink":
			r.OnLink = value == "true" || value == "1"
		case "src":
			if r.Source, err = netip.ParseAddr(value); err != nil {
				return r, err
			}
		default:
			return r, fmt.Errorf("option %s of a route", name)
		}
	}
	return r, nil
}

// sameRoutes compares what two lists of routes mean: their order means nothing.
func sameRoutes(a, b []host.Route) bool {
	spelt := func(list []host.Route) []string {
		var out []string
		for _, r := range list {
			out = append(out, routeWords(r, "")+onLink(r))
		}
		slices.SortFunc(out, cmp.Compare)
		return out
	}
	return slices.Equal(spelt(a), spelt(b))
}
