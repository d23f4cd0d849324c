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
	bridgeName = steptest.Prefix // 9 characters: room for a suffix
	homeName   = steptest.Prefix + "-br"
	otherName  = steptest.Prefix + "-br2"
	portName   = steptest.Prefix
	uplinkName = steptest.Prefix + "-n"

	managerTarget = "ptcp:16640:127.0.0.1"
)

func keys(pairs ...string) map[string]step.Attr[string] {
	out := map[string]step.Attr[string]{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = step.Is(pairs[i+1])
	}
	return out
}

func without(m map[string]step.Attr[string], name string) map[string]step.Attr[string] {
	m[name] = step.None[string]()
	return m
}

func TestConfigLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    kind(t, "ovs_config"),
		Machine: machine,
		Found: []steptest.Hand{
			{Name: "fresh"},
			steps("different",
				vsctl("", "set", "open_vswitch", ".", "other_config:max-idle=1", "other_config:weft-laws=x", "external_ids:weft-laws=x"),
				vsctl("", "set-manager", managerTarget, "ptcp:16641"),
				vsctl("", "set", "manager", managerTarget, "max_backoff=9000", "external_ids:weft-laws=x"),
				vsctl("", "set", "manager", "ptcp:16641", "external_ids:weft-laws=y")),
		},
		Cases: []steptest.Case{{
			Name: "keys",
			Spec: ovs.ConfigSpec{
				OtherConfig: without(keys("max-idle", "20000"), "weft-laws"),
				ExternalIDs: keys("weft-laws", "1"),
				Managers:    []ovs.Remote{{Target: managerTarget, InactivityProbe: step.Is(0)}, {Target: "tcp:127.0.0.1:16642", MaxBackoff: step.Is(2000)}},
			},
			Drift: []steptest.Hand{
				vsctl("other_config.max-idle", "set", "open_vswitch", ".", "other_config:max-idle=7"),
				vsctl("other_config.max-idle", "remove", "open_vswitch", ".", "other_config", "max-idle"),
				vsctl("other_config.weft-laws", "set", "open_vswitch", ".", "other_config:weft-laws=again"),
				vsctl("external_ids.weft-laws", "set", "open_vswitch", ".", "external_ids:weft-laws=2"),
				vsctl("managers", "del-manager"),
				vsctl("managers", "set", "manager", managerTarget, "inactivity_probe=5000"),
				vsctl("managers", "set", "manager", managerTarget, "max_backoff=1000"),
				vsctl("managers", "set", "manager", managerTarget, "connection_mode=out-of-band"),
				vsctl("managers", "set-manager", managerTarget, "ptcp:16641:127.0.0.1"),
			},
		}},
		Touches: steptest.Touches{Queries: append(
			slices.Concat(query("Manager", managerTarget, "target,connection_mode,inactivity_probe,max_backoff,other_config,external_ids"), query("Manager", "ptcp:16641", "target,external_ids")),
			[]host.Command{{Argv: []string{"ovs-vsctl", "get", "open_vswitch", ".", "other_config", "external_ids"}}, {Argv: []string{"ovs-vsctl", "get-manager"}}}...)},
		Clean: append(steptest.Run("ovs-vsctl", "remove", "open_vswitch", ".", "other_config", "max-idle", "--", "remove", "open_vswitch", ".", "other_config", "weft-laws", "--", "del-manager"),
			steptest.Run("ovs-vsctl", "remove", "open_vswitch", ".", "external_ids", "weft-laws")...),
		Borrows: "there is one configuration a switch; its keys carry the prefix, but for max-idle, and managers have no names",
	})
}

func bridgeSubject(t *testing.T) steptest.Subject {
	up := true
	return steptest.Subject{
		Kind:    kind(t, "ovs_bridge"),
		Policy:  []string{"persist_by"}, // TestKeptLaws
		Machine: machine,
		Found: []steptest.Hand{
			{Name: "absent"},
			steps("different",
				vsctl("", "add-br", bridgeName, "--", "set", "bridge", bridgeName, "datapath_type=netdev", "fail_mode=secure", "other_config:hwaddr=02:00:00:00:00:99", "external_ids:weft-laws=x",
					"protocols=OpenFlow10", "stp_enable=true", "--", "set", "interface", bridgeName, "mtu_request=1300"),
				vsctl("", "set-controller", bridgeName, "tcp:127.0.0.1:6653"),
				vsctl("", "set", "controller", bridgeName, "max_backoff=9000", "external_ids:weft-laws=x"),
				vsctl("", "add-port", bridgeName, portName+"-p", "--", "set", "interface", portName+"-p", "type=internal", "--", "set", "port", portName+"-p", "tag=5"),
				link("", bridgeName, host.LinkChange{AddAddresses: prefixes("10.98.0.9/24")}, "addr", "add", "10.98.0.9/24", "dev", bridgeName),
				link("", bridgeName, host.LinkChange{Up: &up}, "link", "set", bridgeName, "up"),
				link("", portName+"-p", host.LinkChange{MAC: "02:00:00:00:00:97"}, "link", "set", portName+"-p", "address", "02:00:00:00:00:97"),
				link("", portName+"-p", host.LinkChange{AddAddresses: prefixes("10.97.0.9/24")}, "addr", "add", "10.97.0.9/24", "dev", portName+"-p"),
				edit("", "/etc/network/interfaces.d/weft-bridge-"+bridgeName, "# by hand\n")),
			{Name: "another datapath", Fake: func(m *fake.Machine) { // needs a kernel with openvswitch
				ovsVsctl(m, []string{"add-br", bridgeName, "--", "set", "bridge", bridgeName, "datapath_type=system"})
				ovsVsctl(m, []string{"add-port", bridgeName, portName + "-p", "--", "set", "interface", portName + "-p", "type=internal"})
				m.SetLink("", portName+"-p", host.LinkChange{AddAddresses: prefixes("10.97.0.9/24")})
			}},
		},
		Cases: []steptest.Case{wholeBridge(), smallBridge(), {
			Name:  "absent",
			Spec:  ovs.BridgeSpec{State: step.Absent},
			Drift: []steptest.Hand{vsctl("state", "add-br", bridgeName)},
		}},
		Touches: steptest.Touches{
			Files: []string{"/etc/network/interfaces.d"},
			Queries: slices.Concat(
				query("Bridge", bridgeName, "name,datapath_type,fail_mode,other_config,external_ids,protocols,stp_enable,rstp_enable,mcast_snooping_enable"),
				query("Interface", bridgeName, "name,type,mtu,mtu_request"), query("Port", portName+"-p", "name,tag,trunks"),
				query("Interface", portName+"-p", "name,type"), steptest.Run("cat", "/sys/class/net/"+portName+"-p/address"),
				query("Controller", bridgeName, "target,connection_mode,inactivity_probe,max_backoff,external_ids"), steptest.Run("ovs-vsctl", "get-controller", bridgeName), steptest.Run("ip", "-br", "addr", "show", "dev", portName+"-p", "scope", "global")),
		},
		Clean: append(steptest.Run("ovs-vsctl", "--if-exists", "del-br", bridgeName),
			steptest.Run("rm", "-f", "/etc/network/interfaces.d/weft-bridge-"+bridgeName)...),
	}
}

func wholeBridge() steptest.Case {
	file := "/etc/network/interfaces.d/weft-bridge-" + bridgeName
	set := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "bridge", bridgeName}, args...)...)
	}
	down := false
	return steptest.Case{
		Name: "whole",
		Spec: ovs.BridgeSpec{
			DatapathType: step.Is("netdev"), FailMode: step.Is("standalone"), Hwaddr: step.Is("02:00:00:00:0A:01"), Protocols: []string{"OpenFlow13", "OpenFlow10"},
			STP: step.Is(false), RSTP: step.Is(true), Snooping: step.Is(true), OtherConfig: keys("mac-aging-time", "200"), ExternalIDs: keys("weft-laws", "1"),
			Controllers: []ovs.Remote{{Target: "tcp:127.0.0.1:6653", ConnectionMode: step.Is("out-of-band")}, {Target: "ptcp:16653:127.0.0.1"}},
			MTU:         step.Is(1400), Up: step.Is(true), Addresses: []string{"10.99.0.1/24", "FD00:99::1/64"}, Persist: step.Is(true),
		},
		Drift: []steptest.Hand{
			vsctl("state", "del-br", bridgeName),
			set("datapath_type", "datapath_type=system"),
			set("fail_mode", "fail_mode=secure"),
			vsctl("fail_mode", "clear", "bridge", bridgeName, "fail_mode"),
			set("hwaddr", "other_config:hwaddr=02:00:00:00:00:02"),
			vsctl("hwaddr", "remove", "bridge", bridgeName, "other_config", "hwaddr"),
			set("protocols", "protocols=OpenFlow13"),
			set("stp_enable", "stp_enable=true", "rstp_enable=false"),
			set("rstp_enable", "rstp_enable=false"),
			set("mcast_snooping_enable", "mcast_snooping_enable=false"),
			vsctl("controllers", "del-controller", bridgeName),
			vsctl("controllers", "set-controller", bridgeName, "tcp:127.0.0.1:6653", "ptcp:16653:127.0.0.1", "ptcp:16654:127.0.0.1"),
			set("other_config.mac-aging-time", "other_config:mac-aging-time=300"),
			vsctl("external_ids.weft-laws", "remove", "bridge", bridgeName, "external_ids", "weft-laws"),
			vsctl("mtu", "set", "interface", bridgeName, "mtu_request=1300"),
			vsctl("mtu", "clear", "interface", bridgeName, "mtu_request"),
			// ovs-vswitchd repairs this by itself, sooner or later.
			{Name: "mtu.device", Fake: func(m *fake.Machine) { m.SetLink("", bridgeName, host.LinkChange{MTU: 1350}) }},
			link("up", bridgeName, host.LinkChange{Up: &down}, "link", "set", bridgeName, "down"),
			link("addresses", bridgeName, host.LinkChange{RemoveAddresses: prefixes("10.99.0.1/24")}, "addr", "del", "10.99.0.1/24", "dev", bridgeName),
			link("addresses", bridgeName, host.LinkChange{AddAddresses: prefixes("10.99.0.7/32")}, "addr", "add", "10.99.0.7/32", "dev", bridgeName),
			{Name: "persist", Fake: func(m *fake.Machine) { m.Remove(file) }, Host: steptest.Run("rm", file)},
			edit("persist", file, "auto "+bridgeName+"\n"),
		},
		Spellings: []steptest.Hand{
			set("another case of the MAC", "other_config:hwaddr=02:00:00:00:0a:01"),
			set("another order of the protocols", "protocols=OpenFlow10,OpenFlow13"),
		},
	}
}

func smallBridge() steptest.Case {
	return steptest.Case{
		Name: "small",
		Spec: ovs.BridgeSpec{DatapathType: step.Is("netdev"), FailMode: step.None[string](), MTU: step.None[int](), Hwaddr: step.None[string](), Persist: step.Is(false),
			Controllers: []ovs.Remote{{Target: "tcp:127.0.0.1:6653", ConnectionMode: step.Is("in-band"), InactivityProbe: step.Is(0), MaxBackoff: step.Is(2000)}}},
		Drift: []steptest.Hand{
			vsctl("datapath_type", "set", "bridge", bridgeName, "datapath_type=system"),
			vsctl("fail_mode", "set", "bridge", bridgeName, "fail_mode=standalone"),
			vsctl("mtu", "set", "interface", bridgeName, "mtu_request=1300"),
			vsctl("hwaddr", "set", "bridge", bridgeName, "other_config:hwaddr=02:00:00:00:00:02"),
			vsctl("controllers", "set", "controller", bridgeName, "connection_mode=out-of-band"),
			vsctl("controllers", "set", "controller", bridgeName, "inactivity_probe=5"),
			vsctl("controllers", "clear", "controller", bridgeName, "max_backoff"),
		},
	}
}

func TestBridgeLaws(t *testing.T) { laws(t, bridgeSubject(t)) }
