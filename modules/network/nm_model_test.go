package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step/steptest"
)

// managedFile is what NetworkManager says of a link, by its index.
const managedFile = "/run/NetworkManager/devices/%d"

const profiles = "/etc/NetworkManager/system-connections/"

// managed is a host whose NICs NetworkManager manages. Its nmcli does to the
// kernel what a profile says when that is brought up.
func managed() *fake.Machine {
	m := nics()
	m.Remove("/sbin/ifup")
	m.WriteFile("/usr/sbin/NetworkManager", "\x7fELF")
	m.Mkdir(strings.TrimSuffix(profiles, "/"))
	m.WriteFile("/usr/lib/systemd/system/NetworkManager.service", "[Service]\nExecStart=/usr/sbin/NetworkManager\n")
	m.Systemctl(host.Start, "NetworkManager.service")
	for _, name := range []string{nic, other} {
		l, _ := m.Link("", name)
		m.WriteFile(fmt.Sprintf("/run/NetworkManager/devices/%d", l.Index), "[device]\nmanaged=true\n")
	}
	m.Program("nmcli", nmcli)
	m.Program("nm-online", func(m *fake.Machine, _ host.Command) host.Result {
		for _, name := range []string{nic, other} { // by now it has come to them
			l, _ := m.Link("", name)
			if _, there := m.File(fmt.Sprintf(managedFile, l.Index)); !there {
				m.WriteFile(fmt.Sprintf(managedFile, l.Index), "[device]\nmanaged=true\n")
			}
		}
		return host.Result{}
	})
	return m
}

func nmcli(m *fake.Machine, c host.Command) host.Result {
	words := c.Argv[1:]
	if words[0] == "--wait" {
		words = words[2:]
	}
	switch strings.Join(words[:2], " ") {
	case "connection load":
		for _, file := range words[2:] {
			if _, there := m.File(file); !there {
				return host.Result{Exit: 1, Stderr: []byte("Could not load file '" + file + "'")}
			}
		}
		return host.Result{}
	case "connection reload":
		for _, name := range []string{bridge, vlan, bond} {
			if _, there := m.Link("", name); there && profileIn(m, "interface-name="+name) == "" {
				m.RemoveLink("", name)
			}
		}
		return host.Result{}
	case "connection up":
		if text := profileIn(m, "uuid="+words[3]); text != "" {
			bringUp(m, text)
			return host.Result{}
		}
	}
	return host.Result{Exit: 10, Stderr: []byte("Error: unknown connection")}
}

// profileIn is the profile that has a line.
func profileIn(m *fake.Machine, line string) string {
	for _, name := range []string{nic, other, bond, bridge, vlan} {
		for _, file := range []string{"hand-" + name, name} {
			if text, _ := m.File(profiles + file + ".nmconnection"); strings.Contains(text, line+"\n") {
				return text
			}
		}
	}
	return ""
}

// makeLink makes the device of a profile that the kernel does not have by itself.
func makeLink(m *fake.Machine, values map[string]string) {
	name, kind := values["connection.interface-name"], values["connection.type"]
	if _, there := m.Link("", name); there || kind == "ethernet" {
		return
	}
	l := host.NewLink{Name: name, Kind: kind, Lower: values["vlan.parent"], Options: map[string]string{}}
	for key, value := range values {
		if group, option, _ := strings.Cut(key, "."); group == "bond" {
			l.Options[option] = value
		}
	}
	switch kind {
	case "vlan":
		l.Options["id"] = values["vlan.id"]
	case "bridge":
		l.Options["stp_state"] = map[string]string{"false": "0"}[values["bridge.stp"]]
	}
	m.MakeLink(l)
}

// bringUp configures a device as its profile says.
func bringUp(m *fake.Machine, text string) {
	values := map[string]string{}
	group := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "[") {
			group = strings.Trim(l, "[]")
		} else if key, value, ok := strings.Cut(l, "="); ok && !strings.HasPrefix(l, "#") {
			values[group+"."+key] = value
		}
	}
	makeLink(m, values)
	name := values["connection.interface-name"]
	now, _ := m.Link("", name)
	if master := values["connection.master"]; master != now.Master {
		if _, there := m.Link("", master); !there && master != "" {
			bringUp(m, profileIn(m, "interface-name="+master))
		}
		m.SetLink("", name, host.LinkChange{Up: new(false)})
		m.SetLink("", name, host.LinkChange{Master: &master})
		now, _ = m.Link("", name)
	}
	c := host.LinkChange{Up: new(true), MAC: strings.ToLower(values["ethernet.cloned-mac-address"])}
	c.MTU, _ = strconv.Atoi(values["ethernet.mtu"])
	routes, err := m.Host().Links.Routes(context.Background(), "")
	if err != nil {
		panic(err)
	}
	for _, r := range routes {
		if r.Link == name && configuredRoute(r) && !connected(now, r) {
			c.RemoveRoutes = append(c.RemoveRoutes, r)
		}
	}
	var shall []netip.Prefix
	versions := []string{"ipv4", "ipv6"}
	if values["connection.master"] != "" {
		versions, values["ipv4.method"] = nil, "" // a member has no addresses, whatever stands there
	}
	for _, version := range versions {
		for i := 1; values[fmt.Sprintf("%s.address%d", version, i)] != ""; i++ {
			shall = append(shall, netip.MustParsePrefix(values[fmt.Sprintf("%s.address%d", version, i)]))
		}
		for i := 1; values[fmt.Sprintf("%s.route%d", version, i)] != ""; i++ {
			c.AddRoutes = append(c.AddRoutes, nmRoute(name, values[fmt.Sprintf("%s.route%d", version, i)]))
		}
	}
	slices.SortStableFunc(c.AddRoutes, func(a, b host.Route) int { return rank(a) - rank(b) })
	c.AddRoutes = slices.DeleteFunc(c.AddRoutes, func(r host.Route) bool { return !reachable(r, shall) })
	c.RemoveAddresses, c.AddAddresses = addressChange(now.Addresses, shall)
	m.SetLink("", name, c)
	if values["ipv4.method"] == "auto" {
		p := netip.MustParsePrefix("192.0.2.70/24")
		m.SetLink("", name, host.LinkChange{AddAddresses: []netip.Prefix{p}, Special: map[netip.Prefix]host.AddressOptions{p: {Leased: true}}})
	}
}

func nmRoute(link, text string) host.Route {
	parts := strings.Split(text, ",")
	r := host.Route{Link: link, Destination: netip.MustParsePrefix(parts[0])}
	if len(parts) > 1 && !netip.MustParseAddr(parts[1]).IsUnspecified() {
		r.Via = netip.MustParseAddr(parts[1])
	}
	if len(parts) > 2 {
		r.Metric, _ = strconv.Atoi(parts[2])
	}
	if r.Metric == 0 && r.Destination.Addr().Is6() {
		r.Metric = 1024
	}
	return r
}

const handProfile = profiles + "hand-" + nic + ".nmconnection"

// profile is another hand with an editor and nmcli.
func profile(name, text string) steptest.Hand {
	return steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		m.WriteFile(handProfile, text)
		m.Chmod(handProfile, 0o600)
		bringUp(m, text)
	}}
}
