package ovs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/modules/ovs"
)

func TestRefusedBonds(t *testing.T) {
	bond := func(change func(*ovs.BondSpec)) *ovs.BondSpec {
		s := &ovs.BondSpec{Name: "bond0", Bridge: "br0", Members: []string{"eth1", "eth2"}}
		change(s)
		return s
	}
	for want, spec := range map[string]*ovs.BondSpec{
		"members":                       bond(func(s *ovs.BondSpec) { s.Members = []string{"eth1", "eth1"} }),
		"name":                          bond(func(s *ovs.BondSpec) { s.Name = "br0" }),
		"lacp":                          bond(func(s *ovs.BondSpec) { s.Mode = step.Is("balance-tcp") }),
		"other_config.lacp-fallback-ab": bond(func(s *ovs.BondSpec) { s.LACP = step.Is("off"); s.OtherConfig = keys("lacp-fallback-ab", "true") }),
		"other_config.bond-primary":     bond(func(s *ovs.BondSpec) { s.OtherConfig = keys("bond-primary", "eth3") }),
		"other_config.lacp-time":        bond(func(s *ovs.BondSpec) { s.OtherConfig = keys("lacp-time", "quick") }),
		"other_config.bond-rebalance-interval": bond(func(s *ovs.BondSpec) {
			s.OtherConfig = keys("bond-rebalance-interval", "10s")
		}),
		"other_config.lacp-system-id": bond(func(s *ovs.BondSpec) { s.OtherConfig = keys("lacp-system-id", "me") }),
		"bond_updelay":                bond(func(s *ovs.BondSpec) { s.UpDelay = step.Is(-1) }),
		"trunks":                      bond(func(s *ovs.BondSpec) { s.Trunks = []int{4096} }),
		"interfaces.eth3":             bond(func(s *ovs.BondSpec) { s.Interfaces = map[string]ovs.MemberSpec{"eth3": {}} }),
		"interfaces.eth1.mtu_request": bond(func(s *ovs.BondSpec) { s.Interfaces = map[string]ovs.MemberSpec{"eth1": {MTU: step.Is(9)}} }),
		"interfaces.eth1.other_config.lacp-port-id": bond(func(s *ovs.BondSpec) {
			s.Interfaces = map[string]ovs.MemberSpec{"eth1": {OtherConfig: keys("lacp-port-id", "0")}}
		}),
		"interfaces.eth1.options.x": bond(func(s *ovs.BondSpec) {
			s.Persist = step.Is(true)
			s.Interfaces = map[string]ovs.MemberSpec{"eth1": {Options: keys("x", "$(reboot)")}}
		}),
	} {
		problems := spec.Validate()
		if len(problems) != 1 || problems[0].Path != want || problems[0].Message == "" || problems[0].Hint == "" {
			t.Errorf("%s: %+v", want, problems)
		}
	}
	for name, spec := range map[string]*ovs.BondSpec{
		"with a fallback": bond(func(s *ovs.BondSpec) { s.Mode, s.LACP = step.Is("balance-tcp"), step.Is("passive") }),
		"a removal":       {Name: "bond0", Bridge: "br0", State: step.Absent},
	} {
		if problems := spec.Validate(); len(problems) > 0 {
			t.Errorf("%s: %+v", name, problems)
		}
	}
}

func TestBondRefusesMembers(t *testing.T) {
	m := withLegs()
	m.AddLink("", host.Link{Name: "eth8", Master: "br8"})
	ovsVsctl(m, []string{"add-bond", otherName, "bond7", firstLeg, secondLeg})
	for member, want := range map[string]string{
		firstLeg:  "belongs to bond bond7 of bridge " + otherName,
		otherName: "is the own port of a bridge",
		"eth77":   "is no device of this host",
		"eth8":    "belongs to br8, a bridge or bond of Linux",
	} {
		s := made(t, "ovs_bond", ovs.BondSpec{Name: "bond0", Bridge: homeName, Members: []string{thirdLeg, member}})
		_, err := s.Check(t.Context(), m.Host().View())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", member, err)
		}
		if errors.Is(err, step.ErrNotYet) != (member == "eth77") {
			t.Errorf("%s: %v is taken for another error", member, err)
		}
	}
	for name, want := range map[string]string{firstLeg: "member of bond bond7", otherName: "own port"} {
		s := made(t, "ovs_bond", ovs.BondSpec{Name: name, Bridge: homeName, Members: []string{thirdLeg, uplinkName}})
		if _, err := s.Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a bond called %s: %v", name, err)
		}
	}
}

// TestBondSaysWhatIsWrong: what a plan warns of, and no more once it stands.
func TestBondSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		spec  ovs.BondSpec
		first string // in a warning of the first plan
		stays bool   // and of every later one
	}{
		"a member is down":   {ovs.BondSpec{Members: []string{firstLeg, thirdLeg}}, "members that are down carry nothing: " + thirdLeg, true},
		"a member stands":    {ovs.BondSpec{Members: []string{firstLeg, "eth1"}}, "member eth1 is taken out of bridge " + otherName, false},
		"slb to a channel":   {ovs.BondSpec{Members: []string{firstLeg, secondLeg}, Mode: step.Is("balance-slb")}, "no channel", false},
		"LACP, no fallback":  {ovs.BondSpec{Members: []string{firstLeg, secondLeg}, LACP: step.Is("active")}, "until the switch answers", false},
		"LACP, no fallback ": {ovs.BondSpec{Members: []string{firstLeg, secondLeg}, LACP: step.Is("active"), OtherConfig: keys("lacp-fallback-ab", "false")}, "until the switch answers", false},
		"nothing":            {ovs.BondSpec{Members: []string{firstLeg, secondLeg}}, "", true},
		"fallback":           {ovs.BondSpec{Members: []string{firstLeg, secondLeg}, LACP: step.Is("active"), OtherConfig: keys("lacp-fallback-ab", "true")}, "", true},
	} {
		m := withLegs()
		ovsVsctl(m, []string{"add-port", otherName, "eth1"})
		c.spec.Name, c.spec.Bridge = "bond0", homeName
		s := made(t, "ovs_bond", c.spec)
		f := apply(t, m, s)
		says := strings.Join(f.Warnings, "\n")
		if (c.first == "") != (says == "") || !strings.Contains(says, c.first) {
			t.Errorf("%s: the plan warns of %q", name, says)
		}
		f = check(t, m, s)
		if f.Changed() || (len(f.Warnings) > 0) != (c.stays && c.first != "") {
			t.Errorf("%s: %v, and it still warns of %q", name, f.Deltas, f.Warnings)
		}
	}
}

// TestBondWithAnotherHandsMode: what is wanted and what is there make a bond that
// drops everything.
func TestBondWithAnotherHandsMode(t *testing.T) {
	m := withLegs()
	ovsVsctl(m, []string{"add-bond", homeName, "bond0", firstLeg, secondLeg, "--", "set", "port", "bond0", "bond_mode=balance-tcp", "lacp=active"})
	f := check(t, m, made(t, "ovs_bond", ovs.BondSpec{Name: "bond0", Bridge: homeName, Members: []string{firstLeg, secondLeg}, LACP: step.Is("off")}))
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "drops every frame") || f.Cost.Disruption == "" {
		t.Errorf("warnings %q, cost %+v", f.Warnings, f.Cost)
	}
}

func TestBondWhoseMemberCannotBeMade(t *testing.T) {
	m := withLegs()
	s := made(t, "ovs_bond", ovs.BondSpec{
		Name: "bond0", Bridge: homeName, Members: []string{firstLeg, "dpdk0"},
		Interfaces: map[string]ovs.MemberSpec{"dpdk0": {Type: step.Is("dpdk"), Options: keys("dpdk-devargs", "0000:08:00.0")}},
	})
	f := check(t, m, s)
	err := s.Apply(t.Context(), m.Host(), f)
	if err == nil || !strings.Contains(err.Error(), "member dpdk0: could not open network device dpdk0") || !strings.Contains(err.Error(), "ovs-vswitchd says:") {
		t.Errorf("%v does not say which member and why, with the lines of the log", err)
	}
	if now := check(t, m, s); len(now.Deltas) != 1 || now.Deltas[0].Path != "error" {
		t.Errorf("a bond with a broken member is found as %v", now.Deltas)
	}
	if err := s.Undo(t.Context(), m.Host(), journalled(t, f)); err != nil {
		t.Fatal(err)
	}
	if now := check(t, m, s); len(now.Deltas) == 0 || now.Deltas[0].Path != "state" {
		t.Errorf("undo left %v", now.Deltas)
	}
}

// TestBondTakesThePortWithItsInterface: what other hands, OVN among them, wrote
// on the interface stays with it, there and back.
func TestBondTakesThePortWithItsInterface(t *testing.T) {
	m := withLegs()
	ovsVsctl(m, []string{"add-port", homeName, firstLeg, "--", "set", "port", firstLeg, "trunks=7", "--", "set", "interface", firstLeg, "external_ids:hand=1"})
	id := find(m, "Interface", firstLeg)
	before := m.Snapshot()
	s := made(t, "ovs_bond", ovs.BondSpec{Name: "bond0", Bridge: homeName, Members: []string{firstLeg, secondLeg}})
	f := apply(t, m, s)
	if find(m, "Interface", firstLeg) != id {
		t.Error("the interface was made anew")
	}
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), journalled(t, f)); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before || find(m, "Interface", firstLeg) != id {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestBridgeGoneBeforeUndo: a member's own port has no place to go back to.
func TestBridgeGoneBeforeUndo(t *testing.T) {
	m := withLegs()
	ovsVsctl(m, []string{"add-port", otherName, firstLeg})
	s := made(t, "ovs_bond", ovs.BondSpec{Name: "bond0", Bridge: homeName, Members: []string{firstLeg, secondLeg}})
	f := apply(t, m, s)
	f.Settled = true
	ovsVsctl(m, []string{"del-br", otherName})
	err := s.Undo(t.Context(), m.Host(), journalled(t, f))
	if err == nil || !strings.Contains(err.Error(), "bridge "+otherName+" is gone, where "+firstLeg+" was a port") {
		t.Errorf("%v", err)
	}
	if find(m, "Port", "bond0") == "p" {
		t.Error("the bond went all the same")
	}
}

func TestWhatABondSevers(t *testing.T) {
	bond := func(change func(*ovs.BondSpec)) ovs.BondSpec {
		s := ovs.BondSpec{Name: "bond0", Bridge: homeName, Members: []string{"eth1", "eth2"}}
		change(&s)
		return s
	}
	through := []string{"eth1", "eth2", "mgmt0"}
	for name, c := range map[string]struct {
		spec ovs.BondSpec
		want []string
	}{
		"nothing changes": {bond(func(*ovs.BondSpec) {}), nil},
		"another mode":    {bond(func(s *ovs.BondSpec) { s.Mode = step.Is("balance-slb") }), through},
		"LACP":            {bond(func(s *ovs.BondSpec) { s.LACP = step.Is("active") }), through},
		"another system":  {bond(func(s *ovs.BondSpec) { s.OtherConfig = keys("lacp-system-id", "02:00:00:00:00:01") }), through},
		"another key":     {bond(func(s *ovs.BondSpec) { s.ExternalIDs = keys("a", "b") }), nil},
		"a tag":           {bond(func(s *ovs.BondSpec) { s.Tag = step.Is(5) }), through},
		"members go down": {bond(func(s *ovs.BondSpec) { s.Up = step.Is(false) }), through},
		"a member joins":  {bond(func(s *ovs.BondSpec) { s.Members = append(s.Members, "eth3") }), append(through, "eth3")},
		"a member's type": {bond(func(s *ovs.BondSpec) { s.Interfaces = map[string]ovs.MemberSpec{"eth1": {Type: step.Is("tap")}} }), through},
		"a member's priority": {bond(func(s *ovs.BondSpec) {
			s.Interfaces = map[string]ovs.MemberSpec{"eth1": {OtherConfig: keys("lacp-port-priority", "1")}}
		}), through},
		"a member's MTU": {bond(func(s *ovs.BondSpec) { s.Interfaces = map[string]ovs.MemberSpec{"eth1": {MTU: step.Is(9000)}} }), nil},
		"it goes":        {bond(func(s *ovs.BondSpec) { s.State = step.Absent }), through},
		"another bond":   {ovs.BondSpec{Name: "bond9", Bridge: otherName, Members: []string{"eth3", "eth4"}}, []string{"eth3", "eth4"}},
	} {
		m := managedBond()
		f := check(t, m, made(t, "ovs_bond", c.spec))
		got, want := slices.Sorted(slices.Values(f.Cost.Severs)), slices.Sorted(slices.Values(c.want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: severs %v, not %v (%v)", name, got, want, f.Deltas)
		}
	}
}

// managedBond is a host whose management goes through a bond.
func managedBond() *fake.Machine {
	m := machine()
	up := true
	for _, name := range []string{"eth2", "eth3", "eth4"} {
		m.AddLink("", host.Link{Name: name, Up: true})
	}
	for _, args := range [][]string{
		{"add-br", homeName},
		{"add-br", otherName},
		{"add-bond", homeName, "bond0", "eth1", "eth2"},
		{"add-port", homeName, "mgmt0", "--", "set", "interface", "mgmt0", "type=internal"},
		{"add-port", otherName, "eth4"},
	} {
		ovsVsctl(m, args)
	}
	m.SetLink("", "mgmt0", host.LinkChange{Up: &up, AddAddresses: prefixes("10.127.0.2/25")})
	return m
}

func TestPersistedBond(t *testing.T) {
	m := withLegs()
	apply(t, m, made(t, "ovs_bond", ovs.BondSpec{
		Name: "bond0", Bridge: homeName, Members: []string{"dpdk0", firstLeg}, LACP: step.Is("active"), Trunks: []int{300, 11},
		OtherConfig: keys("lacp-time", "fast", "lacp-fallback-ab", "true"), Persist: step.Is(true),
		Interfaces: map[string]ovs.MemberSpec{"dpdk0": {Type: step.Is("internal"), Options: keys("dpdk-devargs", "0000:08:00.0"), MTU: step.Is(9000)}},
	}))
	want := `# The bond bond0, written by weft, which overwrites changes.
auto bond0
no-auto-down bond0
iface bond0 inet manual
    ovs_bridge weft-laws-br
    ovs_type OVSBond
    ovs_bonds dpdk0 weft-laws-m1
    ovs_extra set port bond0 trunks=11,300 lacp=active bond_fake_iface=false other_config:lacp-fallback-ab=true other_config:lacp-time=fast -- set interface dpdk0 type=internal mtu_request=9000 options:dpdk-devargs=0000:08:00.0
`
	if got, _ := m.File("/etc/network/interfaces.d/weft-port-bond0"); got != want {
		t.Errorf("%s", got)
	}
}
