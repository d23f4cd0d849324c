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
	nearName = steptest.Prefix + "-p0"
	farName  = steptest.Prefix + "-p1"
	oldName  = steptest.Prefix + "-o0"
)

// pair is what other hands make of the two ports, each with its peer.
func pair(bridge, port, peer string) steptest.Hand {
	return vsctl("", "add-port", bridge, port, "--", "set", "interface", port, "type=patch", "options:peer="+peer)
}

func TestPatchLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    kind(t, "ovs_patch"),
		Machine: withBridge,
		Found: []steptest.Hand{
			steps("absent", needs()...),
			steps("half a pair, with another peer", append(needs(),
				pair(otherName, nearName, "nobody"), vsctl("", "set", "port", nearName, "tag=7", "external_ids:hand=1"),
				edit("", "/etc/network/interfaces.d/weft-port-"+farName, "# by hand\n"))...),
			steps("other ports", append(needs(),
				vsctl("", "add-port", homeName, nearName, "--", "set", "interface", nearName, "type=internal"),
				link("", nearName, host.LinkChange{AddAddresses: prefixes("10.98.0.9/24")}, "addr", "add", "10.98.0.9/24", "dev", nearName),
				vsctl("", "add-port", homeName, farName, "--", "set", "interface", farName, "type=vxlan", "options:remote_ip=192.0.2.9"),
				vsctl("", "add-port", homeName, oldName, "--", "set", "interface", oldName, "type=internal", "--", "set", "port", oldName, "tag=9"),
				link("", oldName, host.LinkChange{AddAddresses: prefixes("10.97.0.9/24")}, "addr", "add", "10.97.0.9/24", "dev", oldName),
				edit("", "/etc/network/interfaces.d/weft-port-"+oldName, "# by hand\n"))...),
		},
		Cases: []steptest.Case{wholePatch(), {
			Name: "small",
			Spec: ovs.PatchSpec{
				Near: ovs.PatchEnd{Bridge: homeName, Port: nearName, Tag: step.None[int](), Trunks: []int{}},
				Far:  ovs.PatchEnd{Bridge: otherName, Port: farName},
			},
			Drift: []steptest.Hand{
				vsctl("near.tag", "set", "port", nearName, "tag=5"),
				vsctl("near.trunks", "set", "port", nearName, "trunks=5"),
			},
		}, {
			Name: "absent",
			Spec: ovs.PatchSpec{
				State: step.Absent,
				Near:  ovs.PatchEnd{Bridge: homeName, Port: nearName}, Far: ovs.PatchEnd{Bridge: otherName, Port: farName},
			},
			Drift: []steptest.Hand{
				vsctl("state", "add-port", homeName, nearName, "--", "set", "interface", nearName, "type=patch", "options:peer="+farName),
			},
		}},
		Policy: []string{"near.port", "far.port", "persist_by"}, // the names of the two; TestKeptLaws
		Touches: steptest.Touches{
			Files: []string{"/etc/network/interfaces.d"},
			Queries: slices.Concat(
				query("Port", nearName, "name,tag,trunks,vlan_mode,external_ids"), query("Port", farName, "name,tag,trunks,vlan_mode"),
				query("Interface", nearName, "name,type,options"), query("Interface", farName, "name,type,options"), query("Port", oldName, "name,tag"),
				steptest.Run("ovs-vsctl", "list-ports", homeName), steptest.Run("ovs-vsctl", "list-ports", otherName),
				steptest.Run("ip", "-br", "addr", "show", "dev", nearName, "scope", "global"),
				steptest.Run("ip", "-br", "addr", "show", "dev", oldName, "scope", "global")),
		},
		Clean: slices.Concat(
			steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			steptest.Run("sh", "-c", "rm -f /etc/network/interfaces.d/weft-port-"+steptest.Prefix+"*"), steptest.Run("ip", "link", "del", uplinkName)),
	})
}

func wholePatch() steptest.Case {
	near := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "port", nearName}, args...)...)
	}
	far := func(name string, args ...string) steptest.Hand {
		return vsctl(name, append([]string{"set", "port", farName}, args...)...)
	}
	file := "/etc/network/interfaces.d/weft-port-"
	return steptest.Case{
		Name: "whole",
		Spec: ovs.PatchSpec{
			Near:     ovs.PatchEnd{Bridge: homeName, Port: nearName, Tag: step.Is(5), Trunks: []int{301, 300}, VLANMode: step.Is("native-tagged")},
			Far:      ovs.PatchEnd{Bridge: otherName, Port: farName, Tag: step.Is(6), Trunks: []int{302}, VLANMode: step.Is("native-untagged")},
			Replaces: []string{oldName}, Persist: step.Is(true),
		},
		Drift: []steptest.Hand{
			vsctl("state", "del-port", nearName, "--", "del-port", farName),
			vsctl("near.bridge", "del-port", nearName),
			vsctl("far.bridge", "del-port", farName),
			steps("far.bridge", vsctl("", "del-port", farName), pair(homeName, farName, nearName)),
			near("near.tag", "tag=9"),
			near("near.trunks", "trunks=9"),
			near("near.vlan_mode", "vlan_mode=trunk"),
			far("far.tag", "tag=9"),
			far("far.trunks", "trunks=9"),
			vsctl("far.vlan_mode", "clear", "port", farName, "vlan_mode"),
			vsctl("near.options", "set", "interface", nearName, "options:peer=nobody"),
			vsctl("far.options", "set", "interface", farName, "options:peer=nobody"),
			vsctl("far.options", "set", "interface", farName, "options:remote_ip=192.0.2.1"),
			vsctl("near.type", "set", "interface", nearName, "type=internal"),
			vsctl("replaces", "add-port", homeName, oldName, "--", "set", "interface", oldName, "type=internal"),
			{Name: "persist", Fake: func(m *fake.Machine) { m.Remove(file + nearName) }, Host: steptest.Run("rm", file+nearName)},
			edit("persist", file+farName, "auto "+farName+"\n"),
			edit("persist", file+oldName, "auto "+oldName+"\n"),
		},
		Spellings: []steptest.Hand{near("another order of the trunks", "trunks=301,300")},
	}
}
