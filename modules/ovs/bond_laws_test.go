package ovs_test

import (
	"slices"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

const (
	bondName  = steptest.Prefix
	firstLeg  = steptest.Prefix + "-m1"
	secondLeg = steptest.Prefix + "-m2"
	thirdLeg  = steptest.Prefix + "-m3"
)

// withLegs is a machine with two bridges and three NICs, the last of them down.
func withLegs() *fake.Machine {
	m := withBridge()
	m.AddLink("", host.Link{Name: firstLeg, MAC: "52:54:00:00:01:01", Up: true})
	m.AddLink("", host.Link{Name: secondLeg, MAC: "52:54:00:00:01:02", Up: true})
	m.AddLink("", host.Link{Name: thirdLeg, MAC: "52:54:00:00:01:03"})
	return m
}

// needsLegs is what a real host must have before the walk; the fake has it.
func needsLegs() []steptest.Hand {
	none := func(*fake.Machine) {}
	var out []steptest.Hand
	for _, leg := range []string{firstLeg, secondLeg, thirdLeg} {
		out = append(out, steptest.Hand{Fake: none, Host: steptest.Run("ip", "link", "add", leg, "type", "veth", "peer", "name", leg+"p")})
		if leg != thirdLeg {
			out = append(out, steptest.Hand{Fake: none, Host: steptest.Run("ip", "link", "set", leg, "up")})
		}
	}
	return append(out, needs()[1:]...)
}

func TestBondLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    kind(t, "ovs_bond"),
		Policy:  []string{"persist_by"}, // TestKeptLaws
		Machine: withLegs,
		Found: []steptest.Hand{
			steps("absent", needsLegs()...),
			steps("half a bond, and ports of their own", append(needsLegs(),
				vsctl("", "add-port", homeName, bondName, "--", "set", "interface", bondName, "type=internal"),
				link("", bondName, host.LinkChange{AddAddresses: prefixes("10.98.0.9/24")}, "addr", "add", "10.98.0.9/24", "dev", bondName),
				vsctl("", "add-port", otherName, firstLeg, "--", "set", "port", firstLeg, "tag=5", "external_ids:hand=1", "--",
					"set", "interface", firstLeg, "external_ids:hand=2", "other_config:lacp-port-id=9", "mtu_request=1450"),
				vsctl("", "add-port", homeName, secondLeg),
				edit("", "/etc/network/interfaces.d/weft-port-"+secondLeg, "# by hand\n"))...),
			steps("different", append(needsLegs(),
				vsctl("", "add-bond", otherName, bondName, secondLeg, thirdLeg, "--", "set", "port", bondName, "bond_mode=balance-slb", "lacp=passive",
					"bond_updelay=9", "bond_fake_iface=true", "tag=7", "other_config:lacp-time=slow", "other_config:hand=1", "external_ids:hand=1"),
				vsctl("", "set", "interface", thirdLeg, "external_ids:hand=3"),
				edit("", "/etc/network/interfaces.d/weft-port-"+bondName, "# by hand\n"))...),
		},
		Cases: []steptest.Case{lacpBond(), plainBond(), {
			Name:  "absent",
			Spec:  ovs.BondSpec{Bridge: homeName, State: step.Absent},
			Drift: []steptest.Hand{vsctl("state", "add-port", homeName, bondName, "--", "set", "interface", bondName, "type=internal")},
		}},
		Touches: steptest.Touches{
			Files: []string{"/etc/network/interfaces.d"},
			Queries: slices.Concat(
				query("Port", bondName, "name,tag,trunks,cvlans,vlan_mode,bond_mode,lacp,bond_updelay,bond_downdelay,bond_fake_iface,other_config,external_ids"),
				query("Port", firstLeg, "name,tag,external_ids"), query("Port", secondLeg, "name,tag"),
				query("Interface", firstLeg, "name,type,options,mtu_request,other_config,external_ids"),
				query("Interface", secondLeg, "name,type,mtu_request,external_ids"), query("Interface", thirdLeg, "name,external_ids"),
				steptest.Run("ovs-vsctl", "list-ports", homeName), steptest.Run("ovs-vsctl", "list-ports", otherName),
				steptest.Run("ovs-vsctl", "list-ifaces", homeName), steptest.Run("ovs-vsctl", "list-ifaces", otherName),
				steptest.Run("cat", "/sys/class/net/"+firstLeg+"/mtu"),
				steptest.Run("cat", "/sys/class/net/"+thirdLeg+"/operstate")),
		},
		Clean: slices.Concat(
			steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			steptest.Run("rm", "-f", "/etc/network/interfaces.d/weft-port-"+bondName, "/etc/network/interfaces.d/weft-port-"+secondLeg),
			steptest.Run("ip", "link", "del", firstLeg), steptest.Run("ip", "link", "del", secondLeg), steptest.Run("ip", "link", "del", thirdLeg)),
	})
}

func lacpBond() steptest.Case {
	port := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "port", bondName}, args...)...)
	}
	iface := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "interface", firstLeg}, args...)...)
	}
	down := false
	persisted := "/etc/network/interfaces.d/weft-port-" + bondName
	return steptest.Case{
		Name: "lacp",
		Spec: ovs.BondSpec{
			Bridge: homeName, Members: []string{secondLeg, firstLeg}, Mode: step.Is("balance-tcp"), LACP: step.Is("active"),
			UpDelay: step.Is(100), DownDelay: step.Is(200), FakeIface: step.Is(false), Tag: step.Is(5), Trunks: []int{301, 300}, CVLANs: []int{},
			VLANMode: step.Is("native-untagged"), OtherConfig: without(keys("lacp-time", "fast", "lacp-fallback-ab", "true", "bond-primary", firstLeg), "bond-miimon-interval"),
			ExternalIDs: keys("weft-laws", "1"), Up: step.Is(true), Persist: step.Is(true),
			Interfaces: map[string]ovs.MemberSpec{firstLeg: {
				Type: step.Is("system"), Options: keys("weft-laws", "x"), MTU: step.Is(1400),
				OtherConfig: keys("lacp-port-id", "1"), ExternalIDs: keys("weft-laws", "2"),
			}},
		},
		Drift: []steptest.Hand{
			vsctl("state", "del-port", bondName),
			steps("bridge", vsctl("", "del-port", bondName), vsctl("", "add-bond", otherName, bondName, firstLeg, secondLeg)),
			vsctl("members", "add-bond-iface", bondName, thirdLeg),
			vsctl("members", "del-bond-iface", bondName, firstLeg),
			steps("members", vsctl("", "del-bond-iface", bondName, secondLeg), vsctl("", "add-port", otherName, secondLeg, "--", "set", "port", secondLeg, "tag=9")),
			port("bond_mode", "bond_mode=balance-slb"),
			vsctl("bond_mode", "clear", "port", bondName, "bond_mode"),
			port("lacp", "lacp=passive"),
			vsctl("lacp", "clear", "port", bondName, "lacp"),
			port("bond_updelay", "bond_updelay=7"),
			port("bond_downdelay", "bond_downdelay=7"),
			port("bond_fake_iface", "bond_fake_iface=true"),
			port("tag", "tag=6"),
			port("trunks", "trunks=300"),
			port("cvlans", "cvlans=9"),
			port("vlan_mode", "vlan_mode=access"),
			port("other_config.lacp-time", "other_config:lacp-time=slow"),
			port("other_config.bond-miimon-interval", "other_config:bond-miimon-interval=100"),
			vsctl("other_config.bond-primary", "remove", "port", bondName, "other_config", "bond-primary"),
			port("external_ids.weft-laws", "external_ids:weft-laws=2"),
			iface("interfaces."+firstLeg+".type", "type=tap"),
			iface("interfaces."+firstLeg+".options.weft-laws", "options:weft-laws=y"),
			iface("interfaces."+firstLeg+".mtu_request", "mtu_request=1300"),
			vsctl("interfaces."+firstLeg+".mtu_request", "clear", "interface", firstLeg, "mtu_request"),
			iface("interfaces."+firstLeg+".other_config.lacp-port-id", "other_config:lacp-port-id=2"),
			iface("interfaces."+firstLeg+".external_ids.weft-laws", "external_ids:weft-laws=3"),
			// ovs-vswitchd repairs this by itself.
			{Name: "interfaces." + firstLeg + ".mtu_request.device", Fake: func(m *fake.Machine) { m.SetLink("", firstLeg, host.LinkChange{MTU: 1350}) }},
			link("up", secondLeg, host.LinkChange{Up: &down}, "link", "set", secondLeg, "down"),
			{Name: "persist", Fake: func(m *fake.Machine) { m.Remove(persisted) }, Host: steptest.Run("rm", persisted)},
			edit("persist", "/etc/network/interfaces.d/weft-port-"+secondLeg, "# again\n"),
		},
		Spellings: []steptest.Hand{
			port("another order of the trunks", "trunks=301,300"),
			iface("an empty type", `type=""`),
		},
	}
}

// plainBond has what nobody must say, and a member that is down.
func plainBond() steptest.Case {
	return steptest.Case{
		Name: "plain",
		Spec: ovs.BondSpec{
			Bridge: homeName, Members: []string{firstLeg, thirdLeg}, Mode: step.Is("active-backup"), LACP: step.Is("off"),
			Tag: step.None[int](), Trunks: []int{}, Up: step.Is(true), Persist: step.Is(false), FakeIface: step.Is(true),
		},
		Drift: []steptest.Hand{
			vsctl("bond_mode", "set", "port", bondName, "bond_mode=balance-slb"),
			vsctl("lacp", "set", "port", bondName, "lacp=active"),
			vsctl("tag", "set", "port", bondName, "tag=5"),
			vsctl("trunks", "set", "port", bondName, "trunks=5"),
		},
		Spellings: []steptest.Hand{
			vsctl("the default mode", "clear", "port", bondName, "bond_mode"),
			vsctl("no LACP", "clear", "port", bondName, "lacp"),
		},
	}
}
