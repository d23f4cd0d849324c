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

// withBridge is a machine with the bridge that the ports stand in.
func withBridge() *fake.Machine {
	m := machine()
	m.AddLink("", host.Link{Name: uplinkName, MAC: "52:54:00:00:00:02"})
	ovsVsctl(m, []string{"add-br", homeName, "--", "set", "bridge", homeName, "datapath_type=netdev"})
	ovsVsctl(m, []string{"add-br", otherName, "--", "set", "bridge", otherName, "datapath_type=netdev"})
	return m
}

func TestPortLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    kind(t, "ovs_port"),
		Policy:  []string{"persist_by"}, // TestKeptLaws
		Machine: withBridge,
		Found: []steptest.Hand{
			steps("absent", needs()...),
			steps("different", append(needs(),
				vsctl("", "add-port", otherName, portName, "--", "set", "interface", portName, "type=internal", `mac="02:00:00:00:00:98"`,
					"mtu_request=1300", "ofport_request=7", "external_ids:iface-id=other", "external_ids:hand=1",
					"--", "set", "port", portName, "tag=5", "trunks=1,2", "vlan_mode=access", "external_ids:hand=1"),
				link("", portName, host.LinkChange{AddAddresses: prefixes("10.98.0.9/24")}, "addr", "add", "10.98.0.9/24", "dev", portName),
				edit("", "/etc/network/interfaces.d/weft-port-"+portName, "# by hand\n"))...),
			steps("a patch", append(needs(), vsctl("", "add-port", homeName, portName, "--", "set", "interface", portName, "type=patch", "options:peer=nobody"))...),
		},
		Cases: []steptest.Case{internalPort(), tunnelPort(), uplinkPort(), patchPort(), fakeBridge(), {
			Name:  "absent",
			Spec:  ovs.PortSpec{Bridge: homeName, State: step.Absent},
			Drift: []steptest.Hand{vsctl("state", "add-port", homeName, portName, "--", "set", "interface", portName, "type=internal")},
		}},
		Touches: steptest.Touches{
			Files: []string{"/etc/network/interfaces.d"},
			Queries: slices.Concat(
				query("Port", portName, "name,tag,trunks,cvlans,vlan_mode,protected,fake_bridge,other_config,external_ids"),
				query("Interface", portName, "name,type,options,mac,mtu_request,ofport_request,ingress_policing_rate,ingress_policing_burst,bfd,lldp,other_config,external_ids"),
				steptest.Run("ovs-vsctl", "list-ports", homeName), steptest.Run("ovs-vsctl", "list-ports", otherName),
				steptest.Run("ip", "-br", "addr", "show", "dev", portName, "scope", "global"),
				steptest.Run("ip", "-o", "link", "show", "up", "dev", uplinkName)),
		},
		Clean: append(steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			append(steptest.Run("rm", "-f", "/etc/network/interfaces.d/weft-port-"+portName), steptest.Run("ip", "link", "del", uplinkName)...)...),
	})
}

// needs is what a real host must have before the walk; the fake has it.
func needs() []steptest.Hand {
	none := func(*fake.Machine) {}
	return []steptest.Hand{
		{Fake: none, Host: steptest.Run("ip", "link", "add", uplinkName, "type", "veth", "peer", "name", uplinkName+"-p")},
		{Fake: none, Host: vsctl("", "--may-exist", "add-br", homeName, "--", "set", "bridge", homeName, "datapath_type=netdev").Host},
		{Fake: none, Host: vsctl("", "--may-exist", "add-br", otherName, "--", "set", "bridge", otherName, "datapath_type=netdev").Host},
	}
}

func internalPort() steptest.Case {
	file := "/etc/network/interfaces.d/weft-port-" + portName
	port := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "port", portName}, args...)...)
	}
	iface := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "interface", portName}, args...)...)
	}
	down := false
	return steptest.Case{
		Name: "internal",
		Spec: ovs.PortSpec{
			Bridge: homeName, Type: step.Is("internal"), Options: keys("weft-laws", "x"), Tag: step.Is(5), Trunks: []int{301, 300, 301}, CVLANs: []int{},
			VLANMode: step.Is("native-untagged"), Protected: step.Is(true), MAC: step.Is("02:00:00:00:0A:02"), MTU: step.Is(1400), OFPort: step.Is(77),
			PolicingRate: step.Is(1000), PolicingBurst: step.Is(100), BFD: keys("min_tx", "200"), LLDP: keys("enable", "true"),
			ExternalIDs: keys("iface-id", "ls1-vm1"), PortExternalIDs: keys("weft-laws", "1"), OtherConfig: keys("priority-tags", "always"),
			InterfaceConfig: keys("lldp-x", "y"), Up: step.Is(true), Addresses: []string{"10.99.0.2/24"}, Persist: step.Is(true),
		},
		Drift: []steptest.Hand{
			vsctl("state", "del-port", portName),
			steps("bridge", vsctl("", "del-port", portName), vsctl("", "add-port", otherName, portName, "--", "set", "interface", portName, "type=internal")),
			iface("type", "type=tap"),
			iface("options.weft-laws", "options:weft-laws=y"),
			port("tag", "tag=6"),
			vsctl("tag", "clear", "port", portName, "tag"),
			port("trunks", "trunks=300"),
			port("cvlans", "cvlans=9"),
			port("vlan_mode", "vlan_mode=access"),
			port("protected", "protected=false"),
			iface("mac", `mac="02:00:00:00:00:03"`),
			// ovs-vswitchd repairs this by itself, sooner or later.
			{Name: "mac.device", Fake: func(m *fake.Machine) { m.SetLink("", portName, host.LinkChange{MAC: "02:00:00:00:00:04"}) }},
			iface("mtu_request", "mtu_request=1300"),
			vsctl("mtu_request", "clear", "interface", portName, "mtu_request"),
			iface("ofport_request", "ofport_request=78"),
			iface("ingress_policing_rate", "ingress_policing_rate=5"),
			iface("ingress_policing_burst", "ingress_policing_burst=5"),
			iface("bfd.min_tx", "bfd:min_tx=300"),
			iface("lldp.enable", "lldp:enable=false"),
			iface("external_ids.iface-id", "external_ids:iface-id=other"),
			vsctl("port_external_ids.weft-laws", "remove", "port", portName, "external_ids", "weft-laws"),
			port("other_config.priority-tags", "other_config:priority-tags=never"),
			iface("interface_other_config.lldp-x", "other_config:lldp-x=z"),
			link("up", portName, host.LinkChange{Up: &down}, "link", "set", portName, "down"),
			link("addresses", portName, host.LinkChange{RemoveAddresses: prefixes("10.99.0.2/24")}, "addr", "del", "10.99.0.2/24", "dev", portName),
			{Name: "persist", Fake: func(m *fake.Machine) { m.Remove(file) }, Host: steptest.Run("rm", file)},
		},
		Spellings: []steptest.Hand{
			port("another order of the trunks", "trunks=301,300"),
			iface("another case of the MAC", `mac="02:00:00:00:0a:02"`),
		},
	}
}

// uplinkPort is a NIC, which is there, and down, before it becomes a port.
func uplinkPort() steptest.Case {
	down := false
	return steptest.Case{
		Name: "uplink",
		Spec: ovs.PortSpec{Name: uplinkName, Bridge: homeName, Up: step.Is(true)},
		Drift: []steptest.Hand{
			vsctl("state", "del-port", uplinkName),
			link("up", uplinkName, host.LinkChange{Up: &down}, "link", "set", uplinkName, "down"),
			steps("bridge", vsctl("", "del-port", uplinkName), vsctl("", "add-port", otherName, uplinkName)),
		},
	}
}

// patchPort has no peer that is there; ovs_patch is for pairs. ovs-vswitchd takes
// no other option beside the peer.
func patchPort() steptest.Case {
	options := without(without(without(keys("peer", "nobody"), "weft-laws"), "remote_ip"), "key")
	return steptest.Case{
		Name: "patch",
		Spec: ovs.PortSpec{Bridge: homeName, Type: step.Is("patch"), Options: options},
		Drift: []steptest.Hand{
			steps("bridge", vsctl("", "del-port", portName),
				vsctl("", "add-port", otherName, portName, "--", "set", "interface", portName, "type=patch", "options:peer=nobody")),
			vsctl("options.peer", "set", "interface", portName, "options:peer=somebody"),
		},
	}
}

// fakeBridge is a port that stands for a VLAN's bridge: ovs-vsctl(8) takes it
// for one from then on.
func fakeBridge() steptest.Case {
	return steptest.Case{
		Name: "fake bridge",
		Spec: ovs.PortSpec{Bridge: homeName, Type: step.Is("internal"), Tag: step.Is(302), FakeBridge: step.Is(true)},
		Drift: []steptest.Hand{
			vsctl("fake_bridge", "set", "port", portName, "fake_bridge=false"),
			vsctl("tag", "set", "port", portName, "tag=303"),
		},
	}
}

func tunnelPort() steptest.Case {
	return steptest.Case{
		Name: "tunnel",
		Spec: ovs.PortSpec{
			Bridge: homeName, Type: step.Is("vxlan"), Options: keys("remote_ip", "192.0.2.9", "key", "7"),
			Tag: step.None[int](), Trunks: []int{}, VLANMode: step.None[string](), MTU: step.None[int](), MAC: step.None[string](),
			OFPort: step.None[int](), ExternalIDs: without(keys(), "iface-id"), Persist: step.Is(false),
		},
		Drift: []steptest.Hand{
			vsctl("type", "set", "interface", portName, "type=geneve"),
			vsctl("options.remote_ip", "set", "interface", portName, "options:remote_ip=192.0.2.8"),
			vsctl("options.key", "remove", "interface", portName, "options", "key"),
			vsctl("tag", "set", "port", portName, "tag=5"),
			vsctl("trunks", "set", "port", portName, "trunks=5"),
			vsctl("vlan_mode", "set", "port", portName, "vlan_mode=trunk"),
			vsctl("ofport_request", "set", "interface", portName, "ofport_request=9"),
			vsctl("external_ids.iface-id", "set", "interface", portName, "external_ids:iface-id=x"),
		},
	}
}
