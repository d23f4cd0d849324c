package network

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/ifupdown"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	nic   = steptest.Prefix
	other = nic + "-o"
)

// nics is a host with ifupdown and two NICs that are up: nic and other.
func nics() *fake.Machine {
	m := fake.New()
	m.WriteFile("/sbin/ifup", "\x7fELF")
	m.WriteFile("/etc/network/interfaces", "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n")
	for i, name := range []string{nic, other} {
		m.AddVeth(name, name[:9]+string("pq"[i]))
		m.SetLink("", name, host.LinkChange{Up: new(true), MAC: "02:00:00:00:00:0" + string("12"[i])})
		m.SetLink("", name[:9]+string("pq"[i]), host.LinkChange{Up: new(true), MAC: "02:00:00:00:00:0" + string("34"[i])})
	}
	return m
}

// cleanNICs makes a real host so.
func cleanNICs() []host.Command {
	var out []host.Command
	for i, name := range []string{nic, other} {
		far := name[:9] + string("pq"[i])
		out = slices.Concat(out,
			ip("link", "del", name), ip("link", "add", name, "type", "veth", "peer", "name", far),
			ip("link", "set", name, "up", "address", "02:00:00:00:00:0"+string("12"[i])),
			ip("link", "set", far, "up", "address", "02:00:00:00:00:0"+string("34"[i])))
	}
	return slices.Concat(out, steptest.Run("rm", "-f", linkFile(nic), addressFile(nic), handFile, moreFile))
}

func linkFile(name string) string    { return ifupdown.Link.Path(name) }
func addressFile(name string) string { return ifupdown.Address.Path(name) }

// handFile is what an operator wrote of the NICs, and moreFile what another did.
const (
	handFile = "/etc/network/interfaces.d/" + nic + "-hand"
	moreFile = "/etc/network/interfaces.d/" + nic + "-more"
)

func seenNICs() steptest.Touches {
	mtus := []string{"/sys/class/net/" + nic + "/mtu", "/sys/class/net/" + other + "/mtu"}
	return steptest.Touches{Files: []string{"/etc/network"}, Kernel: mtus, Queries: slices.Concat(
		ip("-br", "link", "show", nic), ip("-br", "link", "show", other), // without their indexes
		ip("-4", "-br", "address", "show", nic), ip("-4", "-br", "address", "show", other),
		ip("-6", "-br", "address", "show", "scope", "global"),
		ip("-4", "route"), ip("-6", "route", "show", "dev", nic), ip("-6", "route", "show", "dev", other))}
}

// prepareNICs leaves a real host without them again.
func prepareNICs(t *testing.T, h host.Host) {
	t.Cleanup(func() {
		for _, name := range []string{nic, other} {
			_ = h.Links.RemoveLink(t.Context(), "", name) // gone with the namespace, else
		}
	})
}

// edited is another hand with an editor.
func edited(name, file, content string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { m.WriteFile(file, content) },
		Host: []host.Command{{Argv: []string{"tee", file}, Stdin: []byte(content)}},
	}
}

// byIP is another hand with ip(8).
func byIP(name, device string, c host.LinkChange, argv ...string) steptest.Hand {
	return steptest.Hand{Name: name, Fake: set("", device, c), Host: ip(argv...)}
}

func routeOf(to, via string, metric int) host.Route {
	return host.Route{Destination: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via), Metric: metric}
}

// configured has addresses and routes that a link loses where it goes down.
var configured = steptest.Hand{
	Name: "configured",
	Fake: func(m *fake.Machine) {
		m.SetLink("", nic, host.LinkChange{MTU: 1400, AddAddresses: prefixes("198.18.0.1/24", "2001:db8:0:1::1/64"),
			AddRoutes: []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 0), routeOf("2001:db8:9::/48", "2001:db8:0:1::fe", 1024)}})
	},
	Host: slices.Concat(ip("link", "set", nic, "mtu", "1400"),
		ip("address", "add", "198.18.0.1/24", "dev", nic), ip("address", "add", "2001:db8:0:1::1/64", "dev", nic, "nodad"),
		ip("route", "add", "203.0.113.0/24", "via", "198.18.0.254"), ip("route", "add", "2001:db8:9::/48", "via", "2001:db8:0:1::fe")),
}

func TestLinkLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind: netLinkKind(), Machine: nics, Prepare: prepareNICs, Touches: seenNICs(), Clean: cleanNICs(), Policy: []string{"persist_by"},
		Found: []steptest.Hand{
			configured,
			{Name: "untouched", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			byIP("down", nic, host.LinkChange{Up: new(false)}, "link", "set", nic, "down"),
			edited("an old file", linkFile(nic), "auto "+nic+"\niface "+nic+" inet manual\n"),
		},
		Cases: []steptest.Case{
			{
				Name: "up", Spec: NetLinkSpec{Up: step.Is(true), MTU: step.Is(1450), MAC: step.Is("02:AC:10:ff:00:11"), Persist: step.Is(true)},
				Drift: []steptest.Hand{
					byIP("up", nic, host.LinkChange{Up: new(false)}, "link", "set", nic, "down"),
					byIP("mtu", nic, host.LinkChange{MTU: 1300}, "link", "set", nic, "mtu", "1300"),
					byIP("mac", nic, host.LinkChange{MAC: "02:00:00:00:00:66"}, "link", "set", nic, "address", "02:00:00:00:00:66"),
					edited("persist", linkFile(nic), "iface "+nic+" inet manual\n"),
				},
				Spellings: []steptest.Hand{byIP("upper case", nic, host.LinkChange{MAC: "02:AC:10:FF:00:11"}, "link", "set", nic, "address", "02:AC:10:FF:00:11")},
			},
			{Name: "down", Spec: NetLinkSpec{Up: step.Is(false)}, Drift: []steptest.Hand{byIP("up", nic, host.LinkChange{Up: new(true)}, "link", "set", nic, "up")}},
			{Name: "not kept", Spec: NetLinkSpec{Persist: step.Is(false)}, Drift: []steptest.Hand{edited("persist", linkFile(nic), "auto "+nic+"\n")}},
		},
	})
}

func stepOf(t *testing.T, k step.Kind, spec any) step.Step {
	t.Helper()
	s, err := k.Make(step.Unit{Address: k.Name + ".x", Kind: k.Name, Name: "x", Spec: specJSON(t, spec)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLinkSevers(t *testing.T) {
	for name, c := range map[string]struct {
		spec NetLinkSpec
		want []string
	}{
		"down":        {NetLinkSpec{Name: nic, Up: step.Is(false)}, []string{nic}},
		"another MAC": {NetLinkSpec{Name: nic, MAC: step.Is("02:00:00:00:00:77")}, []string{nic}},
		"MTU":         {NetLinkSpec{Name: nic, MTU: step.Is(1400)}, nil},
	} {
		f, err := stepOf(t, netLinkKind(), c.spec).Check(t.Context(), nics().Host().View())
		if err != nil || !slices.Equal(f.Cost.Severs, c.want) {
			t.Errorf("%s: severs %v (%v)", name, f.Cost.Severs, err)
		}
	}
}

func TestOwnedLink(t *testing.T) {
	m := nics()
	l, _ := m.Link("", nic)
	s := stepOf(t, netLinkKind(), NetLinkSpec{Name: nic, MTU: step.Is(1400)})
	check := func() string {
		if _, err := s.Check(t.Context(), m.Host().View()); err != nil {
			return err.Error()
		}
		return ""
	}
	file := "/run/systemd/netif/links/" + string(rune('0'+l.Index))
	m.WriteFile(file, "# private\nADMIN_STATE=configured\n")
	if got := check(); got != "" {
		t.Errorf("what a stopped daemon left: %s", got)
	}
	m.WriteFile("/lib/systemd/system/systemd-networkd.service", "[Service]\nExecStart=/bin/true\n")
	m.Systemctl(host.Start, "systemd-networkd.service")
	if got := check(); !strings.Contains(got, "systemd-networkd configures "+nic) {
		t.Errorf("of systemd-networkd: %q", got)
	}
	m.WriteFile(file, "ADMIN_STATE=unmanaged\n")
	if got := check(); got != "" {
		t.Errorf("unmanaged: %s", got)
	}
}

// A link that is gone does not keep its file.
func TestUndoOfALinkThatIsGone(t *testing.T) {
	m := nics()
	s := stepOf(t, netLinkKind(), NetLinkSpec{Name: nic, MTU: step.Is(1400), Persist: step.Is(true)})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	m.RemoveLink("", nic)
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if _, there := m.File(linkFile(nic)); there {
		t.Error("the file is still there")
	}
}

func specJSON(t *testing.T, spec any) []byte {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
