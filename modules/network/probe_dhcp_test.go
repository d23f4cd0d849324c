package network

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/frame"
	"weft/engine/step"
)

func asks(family string, e LeaseSpec) ProbeDHCPSpec {
	return ProbeDHCPSpec{Namespace: "vm1", Link: "eth0", Family: family, Expect: step.Is(e), Listen: time.Second, Timeout: time.Minute}
}

// whole4 and whole6 expect all that the good servers say.
func whole4() LeaseSpec {
	return LeaseSpec{
		Address: step.Is("172.16.1.11"), Router: step.Is("172.16.1.254"), DNS: step.Is([]string{"9.9.9.9"}), MTU: step.Is(1442),
		LeaseTime: step.Is(time.Hour), Server: step.Is("172.16.1.254"),
	}
}

func whole6() LeaseSpec {
	return LeaseSpec{
		Address: step.Is("2001:db8:1::/64"), Router: step.Is("FE80::FF:FE00:1FE"), DNS: step.Is([]string{"2001:db8:1::53"}), MTU: step.Is(1442),
		LeaseTime: step.Is(time.Hour), Server: step.Is("fe80::ff:fe00:6fe"), Prefix: step.Is("2001:db8:1::/64"), Managed: step.Is(true),
	}
}

func TestProbeDHCP(t *testing.T) {
	with := func(change func(*server4)) *server4 { s := goodServer4(); change(s); return s }
	rogue := with(func(s *server4) {
		s.id, s.mac, s.address, s.router = "192.168.1.1", "02:66:66:66:66:66", "192.168.1.77", "192.168.1.1"
	})
	pair := with(func(s *server4) { s.id, s.mac, s.address = "172.16.1.253", "02:00:00:00:01:fd", "172.16.1.99" })
	altered := func(change func(*frame.Packet)) *server4 { return with(func(s *server4) { s.change = change }) }
	wrong := func(change func(*LeaseSpec)) LeaseSpec { e := whole4(); change(&e); return e }
	anyNetwork := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	for name, c := range map[string]struct {
		servers []*server4
		expect  LeaseSpec
		seen    string
	}{
		"well":         {[]*server4{goodServer4()}, whole4(), "ok:172.16.1.11/24 from 172.16.1.254 (02:00:00:00:01:fe), router 172.16.1.254, dns 9.9.9.9, mtu 1442, for 1h0m0s"},
		"in a network": {[]*server4{goodServer4()}, LeaseSpec{Address: step.Is("172.16.1.0/24")}, "ok:172.16.1.11/24"},
		"anything":     {[]*server4{goodServer4()}, LeaseSpec{}, "ok:172.16.1.11/24"},
		"nobody":       {nil, LeaseSpec{}, "wanted an offer by DHCP on eth0 in namespace vm1, saw nobody answered, and no other frame came"},
		"network":      {[]*server4{goodServer4()}, LeaseSpec{Address: step.Is("172.16.2.0/24")}, "wanted address 172.16.2.0/24 on eth0 in namespace vm1, saw address 172.16.1.11 from 172.16.1.254 (02:00:00:00:01:fe)"},
		"address":      {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.Address = step.Is("172.16.1.12") }), "saw address 172.16.1.11"},
		"router":       {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.Router = step.Is("172.16.1.1") }), "wanted router 172.16.1.1 on"},
		"no router":    {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.Router = step.None[string]() }), "wanted router none"},
		"dns":          {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.DNS = step.Is([]string{"9.9.9.9", "1.1.1.1"}) }), "wanted dns 1.1.1.1 9.9.9.9 on"},
		"no dns":       {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.DNS = step.None[[]string]() }), "wanted dns none"},
		"mtu":          {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.MTU = step.Is(1500) }), "wanted mtu 1500 on eth0 in namespace vm1, saw mtu 1442"},
		"lease time":   {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.LeaseTime = step.Is(2 * time.Hour) }), "saw lease_time 1h0m0s"},
		"server":       {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.Server = step.Is("172.16.1.253") }), "saw server 172.16.1.254"},
		"two are wrong": {[]*server4{goodServer4()}, wrong(func(e *LeaseSpec) { e.MTU, e.Server = step.Is(1500), step.Is("172.16.1.253") }),
			"wanted mtu 1500, server 172.16.1.253 on eth0 in namespace vm1, saw mtu 1442, server 172.16.1.254"},
		"a rogue":       {[]*server4{goodServer4(), rogue}, LeaseSpec{}, "172.16.1.11/24 from 172.16.1.254 (02:00:00:00:01:fe), router 172.16.1.254, dns 9.9.9.9, mtu 1442, for 1h0m0s; and 192.168.1.77/24 from 192.168.1.1 (02:66:66:66:66:66)"},
		"a rogue first": {[]*server4{rogue, goodServer4()}, whole4(), "one of them is a rogue"},
		"a pair":        {[]*server4{goodServer4(), pair}, LeaseSpec{}, "ok:172.16.1.11"},
		"one of a pair": {[]*server4{goodServer4(), pair}, LeaseSpec{Server: step.Is("172.16.1.254")}, "saw server 172.16.1.253"},
		"classless": {[]*server4{with(func(s *server4) {
			s.options = []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(&dhcpv4.Route{Dest: anyNetwork, Router: net.IP{172, 16, 1, 9}}))}
		})}, LeaseSpec{}, "ok:router 172.16.1.9,"},
		"for ever":       {[]*server4{with(func(s *server4) { s.options = []dhcpv4.Modifier{dhcpv4.WithLeaseTime(1<<32 - 1)} })}, LeaseSpec{}, "ok:for ever"},
		"twice":          {[]*server4{goodServer4(), with(func(s *server4) { s.mtu = 1500 })}, LeaseSpec{}, "ok:mtu 1442"},
		"another's":      {[]*server4{altered(func(p *frame.Packet) { p.Payload[7]++ })}, LeaseSpec{}, "nobody answered, and no other"},
		"another chaddr": {[]*server4{altered(func(p *frame.Packet) { p.Payload[33]++ })}, LeaseSpec{}, "nobody answered, and no other"},
		"a request":      {[]*server4{altered(func(p *frame.Packet) { p.Payload[0] = 1 })}, LeaseSpec{}, "nobody answered, and no other"},
		"to another":     {[]*server4{altered(func(p *frame.Packet) { p.Destination = ethernetOf("02:00:00:00:00:99") })}, LeaseSpec{}, "nobody answered; 1 other frames came"},
		"other ports":    {[]*server4{altered(func(p *frame.Packet) { p.ToPort = 69 })}, LeaseSpec{}, "nobody answered; 1 other frames came"},
		"garbage":        {[]*server4{altered(func(p *frame.Packet) { p.Payload = p.Payload[:100] })}, LeaseSpec{}, "cannot be read: from 172.16.1.254 (02:00:00:00:01:fe)"},
		"no identifier":  {[]*server4{with(func(s *server4) { s.options = []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionServerIdentifier)} })}, LeaseSpec{}, "ok:from 172.16.1.254"},
	} {
		var answers []func(frame.Packet) []frame.Packet
		for _, s := range c.servers {
			s.heard = nil
			answers = append(answers, s.answer)
		}
		spec := asks("ipv4", c.expect)
		if p := spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		spec.Timeout = briefly
		r, err := spec.Probe(t.Context(), asker(answers...).Host().View())
		judge(t, name, r, err, c.seen)
		for _, s := range c.servers {
			if s.given != nil || slices.ContainsFunc(s.heard, func(m dhcpv4.MessageType) bool { return m != dhcpv4.MessageTypeDiscover }) {
				t.Errorf("%s: it heard %v", name, s.heard)
			}
		}
	}
}

func TestProbeDHCP6(t *testing.T) {
	with := func(change func(*server6)) *server6 { s := goodServer6(); change(s); return s }
	routed := func(change func(*advertiser)) advertiser { r := goodRouter(); change(&r); return r }
	wrong := func(change func(*LeaseSpec)) LeaseSpec { e := whole6(); change(&e); return e }
	slaac := routed(func(r *advertiser) { r.flags = 0 })
	other := func(r advertiser) advertiser { r.mac = "02:66:66:66:66:66"; return r }
	for name, c := range map[string]struct {
		servers []*server6
		routers []advertiser
		expect  LeaseSpec
		seen    string
	}{
		"well": {[]*server6{goodServer6()}, []advertiser{goodRouter()}, whole6(),
			"ok:2001:db8:1::11/64 from fe80::ff:fe00:6fe (02:00:00:00:06:fe), router fe80::ff:fe00:1fe, prefix 2001:db8:1::/64, dns 2001:db8:1::53, mtu 1442, for 1h0m0s"},
		"anything":          {[]*server6{goodServer6()}, []advertiser{goodRouter()}, LeaseSpec{}, "ok:2001:db8:1::11/64"},
		"by itself":         {nil, []advertiser{slaac}, LeaseSpec{Managed: step.Is(false), Prefix: step.Is("2001:db8:1::/64")}, "ok:no address by DHCPv6, router fe80::ff:fe00:1fe, prefix 2001:db8:1::/64, mtu 1442"},
		"two routers":       {nil, []advertiser{slaac, other(slaac)}, LeaseSpec{}, "ok:router fe80::66:66ff:fe66:6666 fe80::ff:fe00:1fe"},
		"none by DHCPv6":    {nil, []advertiser{slaac}, LeaseSpec{Address: step.None[string]()}, "ok:no address"},
		"one too many":      {[]*server6{goodServer6()}, []advertiser{slaac}, LeaseSpec{Address: step.None[string]()}, "wanted address none"},
		"no router, right":  {[]*server6{goodServer6()}, nil, LeaseSpec{Router: step.None[string]()}, "ok:2001:db8:1::11 from"},
		"a router, wrong":   {[]*server6{goodServer6()}, []advertiser{goodRouter()}, LeaseSpec{Router: step.None[string]()}, "wanted router none on eth0 in namespace vm1, saw router fe80::ff:fe00:1fe from fe80::ff:fe00:6fe"},
		"nobody":            {nil, nil, LeaseSpec{}, "wanted a router that advertises itself on eth0 in namespace vm1, saw nobody answered"},
		"no router":         {[]*server6{goodServer6()}, nil, LeaseSpec{}, "saw none, though DHCPv6 offers 2001:db8:1::11 from"},
		"no server":         {nil, []advertiser{goodRouter()}, LeaseSpec{}, "wanted an address by DHCPv6 on eth0 in namespace vm1, saw nobody answered, and no other frame came; router fe80::ff:fe00:1fe says managed = true"},
		"not managed":       {nil, []advertiser{slaac}, LeaseSpec{Address: step.Is("2001:db8:1::11")}, "says managed = false"},
		"no addresses left": {[]*server6{with(func(s *server6) { s.status = iana.StatusNoAddrsAvail })}, []advertiser{goodRouter()}, LeaseSpec{}, `fe80::ff:fe00:6fe (02:00:00:00:06:fe) gives none: NoAddrsAvail "full"`},
		"another client's": {[]*server6{with(func(s *server6) {
			s.whose = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: ethernetOf(macFar)}
		})}, []advertiser{goodRouter()}, LeaseSpec{}, "wanted an address by DHCPv6 on eth0 in namespace vm1, saw nobody answered"},
		"managed":        {nil, []advertiser{slaac}, LeaseSpec{Managed: step.Is(true)}, "wanted managed true on eth0 in namespace vm1, saw managed false (compare"},
		"prefix":         {[]*server6{goodServer6()}, []advertiser{goodRouter()}, wrong(func(e *LeaseSpec) { e.Prefix = step.Is("2001:db8:2::/64") }), "saw prefix 2001:db8:1::/64"},
		"no prefix":      {[]*server6{goodServer6()}, []advertiser{goodRouter()}, wrong(func(e *LeaseSpec) { e.Prefix = step.None[string]() }), "wanted prefix none"},
		"address":        {[]*server6{goodServer6()}, []advertiser{goodRouter()}, wrong(func(e *LeaseSpec) { e.Address = step.Is("2001:db8:2::/64") }), "saw address 2001:db8:1::11"},
		"routers differ": {nil, []advertiser{slaac, other(goodRouter())}, LeaseSpec{Address: step.None[string]()}, "fe80::66:66ff:fe66:6666 (02:66:66:66:66:66): managed = true"},
		"another router": {nil, []advertiser{slaac, other(slaac)}, LeaseSpec{Router: step.Is("fe80::ff:fe00:1fe")}, "saw router fe80::66:66ff:fe66:6666 fe80::ff:fe00:1fe"},
		"a rogue": {[]*server6{goodServer6(), with(func(s *server6) { s.mac, s.dns = "02:66:66:66:66:66", "2001:db8:6::53" })}, []advertiser{goodRouter()}, LeaseSpec{},
			"and 2001:db8:1::11/64 from fe80::66:66ff:fe66:6666 (02:66:66:66:66:66)"},
		"a pair": {[]*server6{goodServer6(), with(func(s *server6) { s.mac, s.address = "02:00:00:00:06:fd", "2001:db8:1::99" })}, []advertiser{goodRouter()}, LeaseSpec{}, "ok:2001:db8:1::11"},
	} {
		var answers []func(frame.Packet) []frame.Packet
		for _, s := range c.servers {
			answers = append(answers, s.answer)
		}
		for _, r := range c.routers {
			answers = append(answers, r.answer)
		}
		spec := asks("ipv6", c.expect)
		if p := spec.Validate(); len(p) > 0 {
			t.Errorf("%s: refused: %v", name, p)
		}
		spec.Timeout = briefly
		r, err := spec.Probe(t.Context(), asker(answers...).Host().View())
		judge(t, name, r, err, c.seen)
		for _, s := range c.servers {
			if s.given != nil || slices.ContainsFunc(s.heard, func(m dhcpv6.MessageType) bool { return m != dhcpv6.MessageTypeSolicit }) {
				t.Errorf("%s: it heard %v", name, s.heard)
			}
		}
	}
}

// TestProbeDHCPRequest: a lease that is taken is given back, unless the link lives
// by it.
func TestProbeDHCPRequest(t *testing.T) {
	for name, c := range map[string]struct {
		server *server4
		has    string // address of the link
		seen   string
		left   bool
	}{
		"released": {goodServer4(), "", "ok:, for 1h0m0s; taken and released", false},
		"in use":   {goodServer4(), "172.16.1.11/24", "ok:not released", true},
		"refused":  {&server4{id: "172.16.1.254", mac: "02:00:00:00:01:fe", address: "172.16.1.11", router: "172.16.1.254", dns: "9.9.9.9", refuse: true}, "", `saw DHCPNAK of 172.16.1.254 (02:00:00:00:01:fe): "not\x1b here"`, false},
		"no word":  {&server4{id: "172.16.1.254", mac: "02:00:00:00:01:fe", address: "172.16.1.11", router: "172.16.1.254", dns: "9.9.9.9", mute: dhcpv4.MessageTypeRequest}, "", "wanted 172.16.1.11 from 172.16.1.254", false},
	} {
		m := asker(c.server.answer)
		if c.has != "" {
			m.SetLink("vm1", "eth0", host.LinkChange{AddAddresses: []netip.Prefix{netip.MustParsePrefix(c.has)}})
		}
		spec := asks("ipv4", LeaseSpec{Router: step.Is("172.16.1.254")})
		spec.Request, spec.Timeout = true, briefly
		r, err := spec.Probe(t.Context(), m.Host().View())
		judge(t, name, r, err, c.seen)
		if left := len(c.server.given) > 0; left != c.left || !slices.Contains(c.server.heard, dhcpv4.MessageTypeRequest) {
			t.Errorf("%s: it heard %v, and has %v", name, c.server.heard, c.server.given)
		}
	}
	six := goodServer6()
	spec := asks("ipv6", whole6())
	spec.Request, spec.Timeout = true, briefly
	r, err := spec.Probe(t.Context(), asker(goodRouter().answer, six.answer).Host().View())
	judge(t, "released of IPv6", r, err, "ok:prefix 2001:db8:1::/64, dns 2001:db8:1::53, mtu 1442, for 1h0m0s; taken and released")
	if want := []dhcpv6.MessageType{dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRelease}; !slices.Equal(six.heard, want) || len(six.given) > 0 {
		t.Errorf("the server heard %v, and has %v", six.heard, six.given)
	}
	six = goodServer6()
	six.mute = dhcpv6.MessageTypeRequest
	r, err = spec.Probe(t.Context(), asker(goodRouter().answer, six.answer).Host().View())
	judge(t, "no word of IPv6", r, err, "wanted 2001:db8:1::11 from fe80::ff:fe00:6fe")
}

func TestProbeDHCPOutputs(t *testing.T) {
	outputs := func(family string, answers ...func(frame.Packet) []frame.Packet) ProbeDHCPOutputs {
		spec := asks(family, LeaseSpec{})
		spec.Timeout = briefly
		r, err := spec.Probe(t.Context(), asker(answers...).Host().View())
		var o ProbeDHCPOutputs
		if err == nil {
			err = json.Unmarshal(r.Outputs, &o)
		}
		if err != nil {
			t.Errorf("%s: %v", family, err)
		}
		return o
	}
	want := ProbeDHCPOutputs{Address: "172.16.1.11", Network: "172.16.1.0/24", Server: "172.16.1.254", Router: "172.16.1.254", DNS: []string{"9.9.9.9"}, MTU: 1442, LeaseTime: 3600}
	if diff := cmp.Diff(want, outputs("ipv4", goodServer4().answer)); diff != "" {
		t.Error(diff)
	}
	want = ProbeDHCPOutputs{Address: "2001:db8:1::11", Network: "2001:db8:1::/64", Server: "fe80::ff:fe00:6fe", Router: "fe80::ff:fe00:1fe", DNS: []string{"2001:db8:1::53"}, MTU: 1442, LeaseTime: 3600, Managed: true}
	if diff := cmp.Diff(want, outputs("ipv6", goodRouter().answer, goodServer6().answer)); diff != "" {
		t.Error(diff)
	}
	want = ProbeDHCPOutputs{Router: "fe80::ff:fe00:1fe", DNS: []string{}}
	if diff := cmp.Diff(want, outputs("ipv6", advertiser{mac: "02:00:00:00:01:fe", prefix: "2001:db8:1::"}.answer)); diff != "" {
		t.Error(diff)
	}
}

func TestProbeDHCPPlaces(t *testing.T) {
	good := goodServer4()
	for name, c := range map[string]struct {
		spec    ProbeDHCPSpec
		arrange func(*fake.Machine)
		seen    string
	}{
		"no namespace": {ProbeDHCPSpec{Namespace: "vm9", Link: "eth0"}, nil, "saw no such namespace"},
		"no link":      {ProbeDHCPSpec{Namespace: "vm1", Link: "eth1"}, nil, "saw only the links lo, eth0"},
		"loopback":     {ProbeDHCPSpec{Link: "lo"}, nil, "not one of Ethernet"},
		"down":         {ProbeDHCPSpec{Namespace: "vm1", Link: "eth0"}, func(m *fake.Machine) { m.SetLink("vm1", "eth0", host.LinkChange{Up: new(bool)}) }, "saw the link is down"},
		"another's":    {ProbeDHCPSpec{Namespace: "vm1", Link: "eth0", MAC: step.Is("02-AC-10-01-00-99")}, nil, "ok:172.16.1.11"},
	} {
		c.spec.Family, c.spec.Timeout = "ipv4", briefly
		m := asker(func(p frame.Packet) []frame.Packet {
			if mac, ok := c.spec.MAC.Get(); ok && p.Source.String() != strings.ToLower(strings.ReplaceAll(mac, "-", ":")) {
				t.Errorf("%s: sent from %s", name, p.Source)
			}
			return good.answer(p)
		})
		if c.arrange != nil {
			c.arrange(m)
		}
		before := m.Snapshot()
		r, err := c.spec.Probe(t.Context(), m.Host().View())
		judge(t, name, r, err, c.seen)
		if m.Snapshot() != before {
			t.Errorf("%s: the machine is not as it was", name)
		}
	}
}

// TestProbeDHCPAsksAgain: a server that comes up late is waited for.
func TestProbeDHCPAsksAgain(t *testing.T) {
	late := goodServer4()
	late.late = 2
	r, err := asks("ipv4", LeaseSpec{}).Probe(t.Context(), asker(late.answer).Host().View())
	judge(t, "late", r, err, "ok:172.16.1.11")
	if len(late.heard) != 3 {
		t.Errorf("it heard %v", late.heard)
	}
}

// TestProbeDHCPRogueIsMetOnce: what contradicted is not asked again until it is
// silent.
func TestProbeDHCPRogueIsMetOnce(t *testing.T) {
	good, rogue := goodServer4(), goodServer4()
	rogue.mac, rogue.id, rogue.router = "02:66:66:66:66:66", "172.16.1.66", "172.16.1.66"
	r, err := asks("ipv4", LeaseSpec{}).Probe(t.Context(), asker(good.answer, func(p frame.Packet) []frame.Packet {
		if len(rogue.heard) > 0 {
			return nil
		}
		return rogue.answer(p)
	}).Host().View())
	judge(t, "once", r, err, "router 172.16.1.66, dns 9.9.9.9")
	if len(good.heard) != 1 {
		t.Errorf("it was asked %d times", len(good.heard))
	}
}

func TestProbeDHCPProblems(t *testing.T) {
	for path, c := range map[string]struct {
		family string
		change func(*ProbeDHCPSpec, *LeaseSpec)
	}{
		"link":              {"ipv4", func(s *ProbeDHCPSpec, _ *LeaseSpec) { s.Link = "" }},
		"mac":               {"ipv4", func(s *ProbeDHCPSpec, _ *LeaseSpec) { s.MAC = step.Is("02:00") }},
		"timeout":           {"ipv4", func(s *ProbeDHCPSpec, _ *LeaseSpec) { s.Timeout, s.Listen = 0, 0 }},
		"listen":            {"ipv4", func(s *ProbeDHCPSpec, _ *LeaseSpec) { s.Listen = time.Hour }},
		"request":           {"ipv6", func(s *ProbeDHCPSpec, e *LeaseSpec) { s.Request, e.Address = true, step.None[string]() }},
		"expect.address":    {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Address = step.Is("2001:db8::1") }},
		"expect.address ":   {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Address = step.None[string]() }},
		"expect.address  ":  {"ipv6", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Address, e.Router = step.None[string](), step.None[string]() }},
		"expect.address   ": {"ipv6", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Address, e.LeaseTime = step.None[string](), step.Is(time.Hour) }},
		"expect.router":     {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Router = step.Is("172.16.1.0/24") }},
		"expect.server":     {"ipv6", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Server = step.Is("172.16.1.1") }},
		"expect.server ":    {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Server = step.None[string]() }},
		"expect.dns":        {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.DNS = step.Is([]string{"9.9.9.9", "dns"}) }},
		"expect.prefix":     {"ipv6", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Prefix = step.Is("x") }},
		"expect.prefix ":    {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Prefix = step.Is("172.16.1.0/24") }},
		"expect.managed":    {"ipv4", func(_ *ProbeDHCPSpec, e *LeaseSpec) { e.Managed = step.Is(true) }},
	} {
		s, e := ProbeDHCPSpec{Link: "eth0", Family: c.family, Listen: time.Second, Timeout: time.Minute}, LeaseSpec{}
		if p := s.Validate(); len(p) > 0 {
			t.Errorf("%s: refused before: %v", path, p)
		}
		c.change(&s, &e)
		s.Expect = step.Is(e)
		if p := s.Validate(); len(p) != 1 || p[0].Path != strings.TrimSpace(path) {
			t.Errorf("%s: %v", path, p)
		}
	}
}

// FuzzAnswers: whatever a server says, the probe tells of it, and goes on with it.
func FuzzAnswers(f *testing.F) {
	const id = 7
	asking := func(ctx context.Context) *client {
		c, err := asks("ipv4", LeaseSpec{}).client(ctx, asker().Host().View(), time.Now())
		if err != nil {
			panic(err)
		}
		return c
	}
	discover, err := dhcpv4.NewDiscovery(ethernetOf(askerMAC))
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range goodServer4().answer(dhcp4{client: asking(f.Context()), id: id}.packet(discover)) {
		f.Add(p.Payload)
	}
	six, server := dhcp6{client: asking(f.Context()), id: id}, goodServer6()
	solicit, err := dhcpv6.NewSolicit(ethernetOf(askerMAC), dhcpv6.WithClientID(six.identity()))
	if err != nil {
		f.Fatal(err)
	}
	server.answer(six.packet(solicit))
	f.Add(server.waiting.Payload)
	server.status = iana.StatusNoAddrsAvail
	server.answer(six.packet(solicit))
	f.Add(server.waiting.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		p := frame.Packet{Source: ethernetOf("02:00:00:00:01:fe"), From: netip.MustParseAddr("172.16.1.254"), Protocol: frame.UDP, FromPort: 67, ToPort: 68, Payload: payload}
		four := dhcp4{client: asking(t.Context()), id: id}
		if m, ok := four.answer(p); ok {
			follow(t, four, leased4(p, m))
		}
		p.From, p.FromPort, p.ToPort = frame.LinkLocal(p.Source), 547, 546
		six := dhcp6{client: asking(t.Context()), id: id}
		if m, ok := six.answer(p, dhcpv6.MessageTypeAdvertise); ok {
			if l, refused := leased6(p, m); refused == "" {
				follow(t, six, l)
			}
		}
	})
}

// follow does with an offer what a probe does with it.
func follow(t *testing.T, d dhcp, l lease) {
	c := &client{place: "eth0"}
	if err := c.agree([]lease{l, l}); err != nil || l.String() == "" {
		t.Errorf("%q does not agree with itself: %v", l, err)
	}
	_ = c.holds(whole4(), l)
	l.outputs()
	if _, err := d.take(t.Context(), l); err == nil {
		t.Errorf("%q was given by nobody", l)
	}
	if err := d.release(t.Context(), l); err != nil {
		t.Error(err)
	}
}
