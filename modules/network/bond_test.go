package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const bond = steptest.Prefix + "-b"

// option is another hand that sets an option of a made device, by
// ip-link(8)'s words.
func option(name, device, kind string, options map[string]string, words ...string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: set("", device, host.LinkChange{Options: options}),
		Host: ip(slices.Concat([]string{"link", "set", device, "type", kind}, words)...),
	}
}

// downOption does so while the device is down.
func downOption(name, device, kind string, options map[string]string, words ...string) steptest.Hand {
	h := option(name, device, kind, options, words...)
	return steptest.Hand{
		Name: name,
		Fake: all(set("", device, host.LinkChange{Up: new(false)}), h.Fake, set("", device, host.LinkChange{Up: new(true)})),
		Host: slices.Concat(ip("link", "set", device, "down"), h.Host, ip("link", "set", device, "up")),
	}
}

// cleanMade takes away what laws of made devices leave.
func cleanMade() []host.Command {
	return slices.Concat(ip("link", "del", bridge), ip("link", "del", vlan), ip("link", "del", bond), cleanNICs())
}

func seenMade(device string, files ...string) steptest.Touches {
	seen := seenNICs()
	for _, f := range files {
		seen.Kernel = append(seen.Kernel, "/sys/class/net/"+device+"/"+f)
	}
	seen.Kernel = append(seen.Kernel, "/sys/class/net/"+device+"/mtu")
	seen.Queries = append(seen.Queries, slices.Concat(ip("-br", "link", "show", device), ip("-4", "-br", "address", "show", device))...)
	return seen
}

// needKind skips on a real host whose kernel has no links of a kind.
func needKind(kind string, options map[string]string) func(t *testing.T, h host.Host) {
	return func(t *testing.T, h host.Host) {
		err := h.Links.AddLink(t.Context(), host.NewLink{Name: "weft-laws-k", Kind: kind, Lower: "lo", Options: options})
		_ = h.Links.RemoveLink(t.Context(), "", "weft-laws-k") // may not be there
		if errors.Is(err, syscall.EOPNOTSUPP) && kind != "vlan" || kind == "vlan" && missingKind(t, h, kind) {
			t.Skipf("this kernel has no links of kind %s", kind)
		}
		prepareNICs(t, h)
		t.Cleanup(func() {
			for _, name := range []string{bridge, vlan, bond} {
				_ = h.Links.RemoveLink(t.Context(), "", name) // gone, else
			}
		})
	}
}

// backup is a bond of another hand that has one of the NICs.
var backup = steptest.Hand{
	Name: "a bond",
	Fake: func(m *fake.Machine) {
		m.MakeLink(host.NewLink{Name: bond, Kind: "bond", MTU: 1400, Options: map[string]string{"mode": "active-backup", "miimon": "50", "updelay": "100"}})
		m.SetLink("", other, host.LinkChange{Up: new(false)})
		m.SetLink("", other, host.LinkChange{Master: new(bond)})
		m.SetLink("", bond, host.LinkChange{Up: new(true), Options: map[string]string{"primary": other}, AddAddresses: prefixes("198.18.0.7/24", "2001:db8:0:1::7/64"),
			AddRoutes: []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 0)}})
	},
	Host: slices.Concat(ip("link", "add", bond, "mtu", "1400", "type", "bond", "mode", "active-backup", "miimon", "50", "updelay", "100"),
		ip("link", "set", other, "down"), ip("link", "set", other, "master", bond), ip("link", "set", bond, "up"), ip("link", "set", bond, "type", "bond", "primary", other),
		ip("address", "add", "198.18.0.7/24", "dev", bond), ip("address", "add", "2001:db8:0:1::7/64", "dev", bond, "nodad"), ip("route", "add", "203.0.113.0/24", "via", "198.18.0.254")),
}

// carried waits until a bond that is up has its link, which it finds out by and by.
const carried = `d=/sys/class/net/` + bond + `
until [ -z "$(cat $d/bonding/slaves)" ] || [ -z "$(ip link show up dev ` + bond + `)" ] || [ "$(cat $d/carrier)" = 1 ]; do :; done 2>/dev/null`

func TestBondLaws(t *testing.T) {
	seen := seenMade(bond, "bonding/mode", "bonding/miimon", "bonding/updelay", "bonding/downdelay", "bonding/ad_select", "bonding/xmit_hash_policy",
		"bonding/primary", "bonding/primary_reselect", "bonding/fail_over_mac", "bonding/num_grat_arp", "bonding/min_links", "bonding/arp_interval", "bonding/arp_ip_target", "bonding/slaves")
	seen.Queries = slices.Concat(steptest.Run("sh", "-c", `timeout 20 sh -c "$0"; true`, carried), seen.Queries)
	laws(t, steptest.Subject{
		Kind: netBondKind(), Machine: nics, Prepare: needKind("bond", nil), Clean: cleanMade(), Touches: seen,
		Policy: []string{"from", "persist", "persist_by", "arp_interval", "arp_ip_target", "arp_validate"}, // TestKeptLaws, TestBondLawsByARP
		Found: []steptest.Hand{
			configured,
			backup,
			byIP("down", nic, host.LinkChange{Up: new(false)}, "link", "set", nic, "down"),
			{Name: "a bond without members",
				Fake: func(m *fake.Machine) { m.MakeLink(host.NewLink{Name: bond, Kind: "bond"}) },
				Host: ip("link", "add", bond, "address", "02:00:00:00:00:99", "type", "bond")},
		},
		Cases: []steptest.Case{
			{
				Name: "with LACP",
				Spec: NetBondSpec{
					Name: bond, Members: []string{nic, other}, Mode: step.Is("802.3ad"), Miimon: step.Is(100), UpDelay: step.Is(200), DownDelay: step.Is(300),
					LACPRate: step.Is("fast"), LACPActive: step.Is(true), XmitHashPolicy: step.Is("layer3+4"), ADSelect: step.Is("bandwidth"),
					ADActorSysPrio: step.Is(1000), ADActorSystem: step.Is("02:AA:00:00:00:01"), ADUserPortKey: step.Is(7), MinLinks: step.Is(1),
					ResendIGMP: step.Is(3), AllSlavesActive: step.Is(true), MTU: step.Is(1450), MAC: step.Is("02:00:00:00:00:0B"), Up: step.Is(true),
				},
				Drift: []steptest.Hand{
					byIP("members", other, host.LinkChange{Master: new("")}, "link", "set", other, "nomaster"),
					byIP("members.up", other, host.LinkChange{Up: new(false)}, "link", "set", other, "down"),
					option("miimon", bond, "bond", map[string]string{"miimon": "50"}, "miimon", "50"),
					option("updelay", bond, "bond", map[string]string{"updelay": "0"}, "updelay", "0"),
					option("downdelay", bond, "bond", map[string]string{"downdelay": "100"}, "downdelay", "100"),
					downOption("lacp_rate", bond, "bond", map[string]string{"lacp_rate": "slow"}, "lacp_rate", "slow"),
					downOption("lacp_active", bond, "bond", map[string]string{"lacp_active": "0"}, "lacp_active", "off"),
					option("xmit_hash_policy", bond, "bond", map[string]string{"xmit_hash_policy": "layer2"}, "xmit_hash_policy", "layer2"),
					downOption("ad_select", bond, "bond", map[string]string{"ad_select": "count"}, "ad_select", "count"),
					option("ad_actor_sys_prio", bond, "bond", map[string]string{"ad_actor_sys_prio": "1"}, "ad_actor_sys_prio", "1"),
					option("ad_actor_system", bond, "bond", map[string]string{"ad_actor_system": "02:aa:00:00:00:02"}, "ad_actor_system", "02:aa:00:00:00:02"),
					downOption("ad_user_port_key", bond, "bond", map[string]string{"ad_user_port_key": "8"}, "ad_user_port_key", "8"),
					option("min_links", bond, "bond", map[string]string{"min_links": "0"}, "min_links", "0"),
					option("resend_igmp", bond, "bond", map[string]string{"resend_igmp": "9"}, "resend_igmp", "9"),
					option("all_slaves_active", bond, "bond", map[string]string{"all_slaves_active": "0"}, "all_slaves_active", "0"),
					byIP("mtu", bond, host.LinkChange{MTU: 1300}, "link", "set", bond, "mtu", "1300"),
					byIP("mac", bond, host.LinkChange{MAC: "02:00:00:00:00:66"}, "link", "set", bond, "address", "02:00:00:00:00:66"),
					byIP("up", bond, host.LinkChange{Up: new(false)}, "link", "set", bond, "down"),
					{Name: "mode", Fake: all(set("", nic, host.LinkChange{Master: new("")}), set("", other, host.LinkChange{Master: new("")}), set("", bond, host.LinkChange{Up: new(false)}),
						set("", bond, host.LinkChange{Options: map[string]string{"mode": "balance-xor"}})),
						Host: slices.Concat(ip("link", "set", nic, "nomaster"), ip("link", "set", other, "nomaster"), ip("link", "set", bond, "down"), ip("link", "set", bond, "type", "bond", "mode", "balance-xor"))},
					byIPRemoved(bond),
				},
				Spellings: []steptest.Hand{option("upper case", bond, "bond", map[string]string{"ad_actor_system": "02:AA:00:00:00:01"}, "ad_actor_system", "02:AA:00:00:00:01")},
			},
			{
				Name: "active-backup",
				Spec: NetBondSpec{Name: bond, Members: []string{nic, other}, Mode: step.Is("active-backup"), Miimon: step.Is(100), Primary: step.Is(nic), PrimaryReselect: step.Is("better"), FailOverMAC: step.Is("none"), NumPeerNotif: step.Is(5)},
				Drift: []steptest.Hand{
					option("primary", bond, "bond", map[string]string{"primary": other}, "primary", other),
					option("primary_reselect", bond, "bond", map[string]string{"primary_reselect": "failure"}, "primary_reselect", "failure"),
					option("num_peer_notif", bond, "bond", map[string]string{"num_peer_notif": "1"}, "num_peer_notif", "1"),
					{Name: "fail_over_mac", Fake: all(set("", nic, host.LinkChange{Master: new("")}), set("", other, host.LinkChange{Master: new("")}), set("", bond, host.LinkChange{Options: map[string]string{"fail_over_mac": "active"}})),
						Host: slices.Concat(ip("link", "set", nic, "nomaster"), ip("link", "set", other, "nomaster"), ip("link", "set", bond, "type", "bond", "fail_over_mac", "active"))},
				},
			},
			{Name: "round robin", Spec: NetBondSpec{Name: bond, Members: []string{}, Mode: step.Is("balance-rr"), PacketsPerMember: step.Is(0), Up: step.Is(false)},
				Drift: []steptest.Hand{option("packets_per_slave", bond, "bond", map[string]string{"packets_per_slave": "4"}, "packets_per_slave", "4")}},
			{Name: "by load", Spec: NetBondSpec{Name: bond, Members: []string{other}, Mode: step.Is("balance-tlb"), TLBDynamicLB: step.Is(false)},
				Drift: []steptest.Hand{downOption("tlb_dynamic_lb", bond, "bond", map[string]string{"tlb_dynamic_lb": "1"}, "tlb_dynamic_lb", "1")}},
			{Name: "taken over", Spec: NetBondSpec{Name: bond, Members: []string{other, nic}, From: nic, Miimon: step.Is(100)}},
			{Name: "absent", Spec: NetBondSpec{Name: bond, State: step.Absent}, Drift: []steptest.Hand{{
				Name: "state", Fake: func(m *fake.Machine) { m.MakeLink(host.NewLink{Name: bond, Kind: "bond"}) }, Host: ip("link", "add", bond, "type", "bond")}}},
		},
	})
}

// A real bond that asks targets goes up and down as they answer.
func TestBondLawsByARP(t *testing.T) {
	fakeOnly := func(h steptest.Hand) steptest.Hand { return steptest.Hand{Name: h.Name, Fake: h.Fake} }
	laws(t, steptest.Subject{
		Kind: netBondKind(), Machine: nics, Found: []steptest.Hand{fakeOnly(configured), fakeOnly(backup)},
		Policy: []string{"from", "persist", "persist_by", "miimon", "updelay", "downdelay", "lacp_rate", "lacp_active", "xmit_hash_policy", "ad_select", "ad_actor_sys_prio", "ad_actor_system",
			"ad_user_port_key", "min_links", "primary_reselect", "fail_over_mac", "num_peer_notif", "resend_igmp", "all_slaves_active", "tlb_dynamic_lb", "packets_per_slave",
			"members", "mode", "primary", "up", "mtu", "mac", "state"},
		Cases: []steptest.Case{
			{
				Name: "watched by ARP",
				Spec: NetBondSpec{Name: bond, Members: []string{nic}, Mode: step.Is("active-backup"), ARPInterval: step.Is(200), ARPTargets: []string{"198.18.0.9", "198.18.0.10"}, ARPValidate: step.Is("all"), Primary: step.None[string]()},
				Drift: []steptest.Hand{
					option("arp_interval", bond, "bond", map[string]string{"arp_interval": "300"}, "arp_interval", "300"),
					option("arp_ip_target", bond, "bond", map[string]string{"arp_ip_target": "198.18.0.9"}, "arp_ip_target", "198.18.0.9"),
					option("arp_validate", bond, "bond", map[string]string{"arp_validate": "none"}, "arp_validate", "none"),
				},
			},
		},
	})
}

// byIPRemoved is another hand that takes a device away.
func byIPRemoved(device string) steptest.Hand {
	return steptest.Hand{Name: "state", Fake: func(m *fake.Machine) { m.RemoveLink("", device) }, Host: ip("link", "del", device)}
}

// missingKind says whether the kernel has no VLANs, by trying one on a NIC.
func missingKind(t *testing.T, h host.Host, kind string) bool {
	t.Helper()
	_ = h.Links.RemoveLink(t.Context(), "", "weft-laws-k") // may not be there
	if err := h.Links.AddVeth(t.Context(), "weft-laws-k", "weft-laws-l"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Links.RemoveLink(t.Context(), "", "weft-laws-k") }() // with what stands on it
	err := h.Links.AddLink(t.Context(), host.NewLink{Name: "weft-laws-m", Kind: kind, Lower: "weft-laws-k", Options: map[string]string{"id": "5"}})
	return errors.Is(err, syscall.EOPNOTSUPP)
}

func TestBondProblems(t *testing.T) {
	two := []string{"a", "b"}
	for path, s := range map[string]NetBondSpec{
		"name":             {Name: "far too long a name"},
		"members":          {Members: []string{"a", "a"}},
		"from":             {Members: two, From: "c"},
		"primary":          {Members: two, Primary: step.Is("c")},
		"updelay":          {Miimon: step.Is(100), UpDelay: step.Is(150)},
		"lacp_rate":        {Mode: step.Is("active-backup"), LACPRate: step.Is("fast")},
		"miimon":           {Mode: step.Is("802.3ad"), Miimon: step.Is(0)},
		"arp_interval":     {Miimon: step.Is(100), ARPInterval: step.Is(100), ARPTargets: []string{"192.0.2.1"}},
		"arp_ip_target":    {ARPTargets: []string{"::1"}},
		"ad_actor_system":  {ADActorSystem: step.Is("ff:ff:ff:ff:ff:ff")},
		"num_peer_notif":   {NumPeerNotif: step.Is(256)},
		"mac":              {MAC: step.Is("no")},
		"mtu":              {MTU: step.Is(9)},
		"xmit_hash_policy": {XmitHashPolicy: step.None[string]()},
	} {
		if s.Name == "" {
			s.Name = "bond0"
		}
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
}

func TestMadeRefusals(t *testing.T) {
	bonded := NetBondSpec{Name: bond, Members: []string{nic}}
	for name, c := range map[string]struct {
		arrange func(m *fake.Machine)
		want    string
	}{
		"no device":      {func(m *fake.Machine) { m.RemoveLink("", nic) }, "put the step that makes it"},
		"another kind":   {func(m *fake.Machine) { m.MakeLink(host.NewLink{Name: bond, Kind: "bridge"}) }, "it is no bond"},
		"a lease":        {func(m *fake.Machine) { m.SetLink("", nic, leased) }, "end the client first"},
		"another's":      {bridged(nic), "belongs to the bridge"},
		"Open vSwitch's": {openVSwitch(nic), "is a port of br-int of Open vSwitch"},
		"no module": {func(m *fake.Machine) {
			m.SetKernel("/proc/sys/kernel/osrelease", "6.1.0")
			m.WriteFile("/lib/modules/6.1.0/modules.dep", "kernel/net/8021q/8021q.ko:\n")
		}, "has no module bonding"},
	} {
		m := nics()
		c.arrange(m)
		if _, err := stepOf(t, netBondKind(), bonded).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := nics()
	m.WithoutLinks("bond")
	s := stepOf(t, netBondKind(), bonded)
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err == nil || !strings.Contains(err.Error(), "load its module bonding") {
		t.Errorf("a kernel without bonds: %v", err)
	}
}

func bridged(member string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		m.MakeLink(host.NewLink{Name: "weft-laws-x", Kind: "bridge"})
		m.SetLink("", member, host.LinkChange{Master: new("weft-laws-x")})
	}
}

func openVSwitch(port string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		m.AddDatabase(host.OpenVSwitch)
		withBridges(m)
		plug("br-int", port, "", nil)(m)
	}
}

// A management NIC goes into a bond with its addresses and routes, and comes back.
func TestBondTakesOver(t *testing.T) {
	m := nics()
	configured.Fake(m)
	before := m.Snapshot()
	s := stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{other, nic}, From: nic, Mode: step.Is("active-backup"), Miimon: step.Is(100)})
	f := run(t, m, s)
	has(t, m, nic)
	has(t, m, bond, "198.18.0.1/24", "2001:db8:0:1::1/64")
	if l, _ := m.Link("", bond); l.MAC != "02:00:00:00:00:01" {
		t.Errorf("the bond has %s", l.MAC)
	}
	if want := []netip.Addr{netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8:0:1::1")}; !slices.Equal(m.Announced(), want) {
		t.Errorf("announced %v", m.Announced())
	}
	if !slices.Equal(f.Cost.Severs, []string{nic, other}) {
		t.Errorf("severs %v", f.Cost.Severs)
	}
	address := stepOf(t, netAddressKind(), NetAddressSpec{Name: bond, From: nic})
	if a, err := address.Check(t.Context(), m.Host().View()); err != nil || a.Changed() {
		t.Errorf("net_address finds %+v (%v)", a.Deltas, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("undo left\n%s\nnot\n%s", after, before)
	}
}

// The module makes a bond0 where it is loaded for ours.
func TestBondOfTheModule(t *testing.T) {
	m := nics()
	s := stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic}, Mode: step.Is("802.3ad")})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	h := host.Observe(m.Host(), func(_ context.Context, e host.Effect) error {
		if e.Verb == "add-bond" {
			m.MakeLink(host.NewLink{Name: bond, Kind: "bond"})
		}
		return nil
	})
	if err := s.Apply(t.Context(), h, f); err != nil {
		t.Fatal(err)
	}
	if l, _ := m.Link("", bond); l.Options["mode"] != "802.3ad" {
		t.Errorf("the bond is %v", l.Options)
	}
}

// The plan says what a bond costs, and what it would not do.
func TestBondWarnings(t *testing.T) {
	m := nics()
	configured.Fake(m)
	f, err := stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic}}).Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 2 || !strings.Contains(f.Warnings[0], "miimon = 100") || !strings.Contains(f.Warnings[1], nic+" loses [198.18.0.1/24") {
		t.Errorf("%q %v", f.Warnings, err)
	}
}

// What has come to stand on a bond keeps it.
func TestUndoOfABondInUse(t *testing.T) {
	m := nics()
	s := stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic}, Miimon: step.Is(100)})
	f := run(t, m, s)
	m.MakeLink(host.NewLink{Name: vlan, Kind: "vlan", Lower: bond, Options: map[string]string{"id": "5"}})
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo: %v", err)
	}
	absent := stepOf(t, netBondKind(), NetBondSpec{Name: bond, State: step.Absent})
	if _, err := absent.Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), vlan+" stands on") {
		t.Errorf("removal: %v", err)
	}
}

// A change of mode costs VLANs above nothing that lasts.
func TestModeUnderAVLAN(t *testing.T) {
	m := nics()
	run(t, m, stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic, other}, Miimon: step.Is(100)}))
	m.MakeLink(host.NewLink{Name: vlan, Kind: "vlan", Lower: bond, Options: map[string]string{"id": "5"}})
	m.SetLink("", vlan, host.LinkChange{Up: new(true), AddAddresses: prefixes("198.18.0.1/24", "2001:db8:0:1::1/64"), AddRoutes: []host.Route{routeOf("203.0.113.0/24", "198.18.0.254", 0)}})
	before := m.Snapshot()
	s := stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic, other}, Mode: step.Is("802.3ad"), MTU: step.Is(1400)})
	f := run(t, m, s)
	if f.Cost.Disruption == "" || !slices.Contains(f.Cost.Severs, bond) {
		t.Errorf("cost %+v", f.Cost)
	}
	has(t, m, vlan, "198.18.0.1/24", "2001:db8:0:1::1/64")
	if l, _ := m.Link("", vlan); !l.Up || l.MTU != 1400 {
		t.Errorf("the VLAN is %+v", l)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("undo left\n%s\nnot\n%s", after, before)
	}
}
