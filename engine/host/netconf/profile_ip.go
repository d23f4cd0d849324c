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
			dns := k.match(group, dnsKey)
			if err := k.ip(group, bare); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if k.mute(group) {
				moved[group] = dns
			}
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
		if err := k.ip(group, a); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := k.takeDNS(group, moved[group], a); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if a.MTU != 0 {
		k.set(ethernetGroup(k), "mtu", strconv.Itoa(a.MTU))
	}
	files[file] = k.String()
	return nil
}

// takeDNS sets what the device that addresses come from said of DNS.
func (k *keys) takeDNS(group string, moved []pair, a Addresses) error {
	for _, p := range moved {
		now, there := k.get(group, p.key)
		switch {
		case k.mute(group):
			return fmt.Errorf("[%s] of %s has %s=, and %s, which takes its addresses, gets none of that version to keep it with: take it out, or put it elsewhere first", group, a.From, p.key, a.Device)
		case there && now != p.value:
			return fmt.Errorf("[%s] has another %s= than %s, whose addresses come here: make them the same first", group, p.key, a.From)
		}
	}
	k.setAll(group, moved...)
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
func (k *keys) ip(group string, a Addresses) error {
	now, ok, err := k.means(group, a.Routes != nil)
	if err != nil {
		return err
	}
	defer func() {
		if k.mute(group) {
			k.replace(group, dnsKey)
		}
	}()
	four := group == "ipv4"
	addresses, routes := filter(a.Addresses, four), a.routes(four)
	alike := ok && now.method == k.method(group, a) && slices.Equal(now.addresses, addresses)
	if alike && (a.Routes == nil || now.plain && sameRoutes(now.routes, routes)) {
		return nil
	}
	var pairs []pair
	if method := k.method(group, a); method != "" {
		pairs = append(pairs, pair{"method", method})
	}
	for i, p := range addresses {
		pairs = append(pairs, pair{"address" + strconv.Itoa(i+1), p.String()})
	}
	if a.Routes == nil {
		if now.gateway.IsValid() && len(addresses) > 0 {
			pairs = append(pairs, pair{"gateway", now.gateway.String()})
		}
		k.replace(group, func(key string) bool { return ipKey(key) && !routeKey(key) || key == "gateway" }, pairs...)
		return nil
	}
	if len(addresses)+len(routes) > 0 {
		pairs = append(pairs, pair{"route-metric", "0"}) // else it adds its own to each
	}
	for i, r := range routes {
		pairs = append(pairs, keyfileRoute(i+1, r)...)
	}
	k.replace(group, ipKey, pairs...)
	return nil
}

// method is the one that a group gets; empty where nothing is to be said. IPv6
// without addresses stays as it is where that says nothing of addresses.
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
	case now == "manual":
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

// means reads a group; ok says that it has no meaning beyond addresses and routes.
// What does not parse is an error, and so is a route of another table or with
// options of its own where all routes are asked for.
func (k keys) means(group string, routes bool) (m ipMeaning, ok bool, err error) {
	ok = true
	for _, p := range k.match(group, ipKey) {
		var err error
		switch {
		case p.key == "method":
			m.method = p.value
		case p.key == "route-metric":
		case p.key == "gateway":
			m.gateway, err = netip.ParseAddr(p.value)
		case numbered(p.key, "address", "addresses"):
			err = m.address(p.value)
		case numbered(p.key, "route", "routes"):
			options, _ := k.get(group, p.key+"_options")
			var r host.Route
			if r, err = parseKeyfileRoute(p.value, options); !routes {
				err = nil // it stays as it is
			}
			m.routes = append(m.routes, r)
		case !strings.HasSuffix(p.key, "_options"):
			ok = false // never-default
		}
		if err != nil {
			return m, false, fmt.Errorf("[%s] %s=%s is not understood (%w), and weft does not overwrite that: write it as nm-settings-keyfile(5) has it, move a route of another table to a profile or dispatcher script of its own, or leave persist out", group, p.key, p.value, err)
		}
	}
	if m.gateway.IsValid() {
		m.routes = append(m.routes, host.Route{Destination: everywhere(group == "ipv4"), Via: m.gateway})
	}
	base, _ := k.get(group, "route-metric")
	m.plain = base == "0" || len(m.addresses)+len(m.routes) == 0
	return m, ok, nil
}

// address reads "ADDRESS/BITS" and "ADDRESS/BITS,GATEWAY".
func (m *ipMeaning) address(value string) error {
	text, gateway, there := strings.Cut(value, ",")
	a, err := netip.ParsePrefix(text)
	if err != nil {
		return err
	}
	m.addresses = append(m.addresses, a)
	if !there {
		return nil
	}
	via, err := netip.ParseAddr(gateway)
	if err == nil && !via.IsUnspecified() {
		m.gateway = via
	}
	return err
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
		case "table":
			if value != "254" {
				return r, fmt.Errorf("%s is of table %s", r.Destination, value)
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
