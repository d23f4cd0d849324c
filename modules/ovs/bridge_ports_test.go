package ovs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

func bridgePortsSubject(t *testing.T) steptest.Subject {
	patch := vsctl("", "add-port", homeName, "weft-laws-pat", "--", "set", "interface", "weft-laws-pat", "type=patch", "options:peer=weft-laws-far", "--",
		"set", "port", "weft-laws-pat", "tag=7", "external_ids:hand=1")
	internal := []steptest.Hand{
		vsctl("", "add-port", homeName, "weft-laws-int", "--", "set", "interface", "weft-laws-int", "type=internal"),
		link("", "weft-laws-int", host.LinkChange{MAC: "02:00:00:00:00:96"}, "link", "set", "weft-laws-int", "address", "02:00:00:00:00:96"),
		link("", "weft-laws-int", host.LinkChange{AddAddresses: prefixes("10.96.0.9/24")}, "addr", "add", "10.96.0.9/24", "dev", "weft-laws-int"),
	}
	again := func(h steptest.Hand) steptest.Hand { // what cannot work is an error of ovs-vsctl
		h.Host[0].Argv = append([]string{"ovs-vsctl", "--no-wait"}, h.Host[0].Argv[2:]...)
		return h
	}
	return steptest.Subject{
		Kind: kind(t, "ovs_bridge_ports"), Machine: withPorts,
		Found: []steptest.Hand{
			steps("as asked for", mirrorNeeds()...),
			steps("others", slices.Concat(mirrorNeeds(), []steptest.Hand{again(patch)}, internal)...),
		},
		Cases: []steptest.Case{
			{
				Name: "remove",
				Spec: ovs.BridgePortsSpec{Bridge: homeName, Ports: []string{mirrorPorts[0], "weft-laws-[bc]"}, Others: "remove"},
				Drift: []steptest.Hand{
					steps("ports.others.weft-laws-new", vsctl("", "add-port", homeName, "weft-laws-new", "--", "set", "interface", "weft-laws-new", "type=internal")),
				},
				Spellings: []steptest.Hand{vsctl("a port that is asked for is away", "del-port", mirrorPorts[0])},
			},
			{Name: "report", Spec: ovs.BridgePortsSpec{Bridge: homeName, Ports: []string{}, Others: "report"}},
		},
		Policy: []string{"others"},
		Touches: steptest.Touches{Queries: slices.Concat(
			steptest.Run("ovs-vsctl", "list-ports", homeName),
			query("Port", "weft-laws-pat", "name,tag,external_ids"), query("Interface", "weft-laws-pat", "name,type,options"),
			steptest.Run("cat", "/sys/class/net/weft-laws-int/address"),
			steptest.Run("ip", "-br", "addr", "show", "dev", "weft-laws-int", "scope", "global"))},
		Clean: append(steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			steptest.Run("ip", "link", "del", uplinkName)...),
	}
}

func TestBridgePortsLaws(t *testing.T) { laws(t, bridgePortsSubject(t)) }

func TestPortsThatNobodyAskedFor(t *testing.T) {
	m := withPorts()
	ovsVsctl(m, []string{"add-port", homeName, "del-controller"})
	ovsVsctl(m, []string{"add-port", homeName, "ovn-abc-0", "--", "set", "interface", "ovn-abc-0", "type=geneve", "options:remote_ip=192.0.2.9", "--", "set", "port", "ovn-abc-0", "external_ids:ovn-chassis-id=abc"})
	spec := ovs.BridgePortsSpec{Bridge: homeName, Ports: []string{"weft-laws-?"}, Others: "report"}
	f := check(t, m, made(t, "ovs_bridge_ports", spec))
	want := "bridge " + homeName + " has a port del-controller that nobody asked for, of type system, with the error: could not open network device del-controller (No such device)"
	if f.Changed() || len(f.Warnings) != 1 || !strings.HasPrefix(f.Warnings[0], want) {
		t.Errorf("%v, warnings %q", f.Deltas, f.Warnings)
	}
	spec.Others = "remove"
	m.WriteFile("/etc/network/interfaces.d/hand", "auto del-controller\niface del-controller inet manual\n  ovs_type OVSPort\n")
	f = check(t, m, made(t, "ovs_bridge_ports", spec))
	if len(f.Deltas) != 1 || f.Deltas[0].Path != "ports.others.del-controller" || len(f.Cost.Severs) > 0 {
		t.Errorf("%v, severs %v", f.Deltas, f.Cost.Severs)
	}
	if len(f.Warnings) != 1 || !strings.HasPrefix(f.Warnings[0], "/etc/network/interfaces.d/hand describes port del-controller") {
		t.Errorf("warnings %q", f.Warnings)
	}
	before := len(m.Rows(host.OpenVSwitch, "Port"))
	s := made(t, "ovs_bridge_ports", spec)
	f = journalled(t, apply(t, m, s))
	if n := len(m.Rows(host.OpenVSwitch, "Port")); n != before-1 || check(t, m, s).Changed() {
		t.Errorf("%d ports of %d are left", n, before)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil || len(m.Rows(host.OpenVSwitch, "Port")) != before {
		t.Errorf("undo: %v", err)
	}
	spec.Bridge = "br9"
	if _, err := made(t, "ovs_bridge_ports", spec).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("%v", err)
	}
}

func TestRemovalOfOtherPortsSevers(t *testing.T) {
	f := check(t, managed(), made(t, "ovs_bridge_ports", ovs.BridgePortsSpec{Bridge: homeName, Ports: []string{"mgmt0", "trunk0", "idle0", "p-near"}, Others: "remove"}))
	if want := []string{"br-far", "eth1", "mgmt0", "trunk0"}; !slices.Equal(f.Cost.Severs, want) || !strings.Contains(f.Cost.Disruption, "eth1") {
		t.Errorf("costs %+v", f.Cost)
	}
}

// TestAnotherPortOfThatName: what came in the place of a removed port is left.
func TestAnotherPortOfThatName(t *testing.T) {
	m := withPorts()
	s := made(t, "ovs_bridge_ports", ovs.BridgePortsSpec{Bridge: homeName, Ports: []string{"weft-laws-[ab]"}, Others: "remove"})
	f := journalled(t, apply(t, m, s))
	ovsVsctl(m, []string{"add-port", otherName, mirrorPorts[2], "--", "set", "interface", mirrorPorts[2], "type=internal"})
	ovsVsctl(m, []string{"add-port", homeName, "p9", "--", "set", "interface", "p9", "type=internal"})
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), mirrorPorts[2]) {
		t.Errorf("undo where bridge %s has the port now: %v", otherName, err)
	}
	m = withPorts()
	f = journalled(t, apply(t, m, s))
	ovsVsctl(m, []string{"add-port", homeName, mirrorPorts[2], "--", "set", "interface", mirrorPorts[2], "type=internal", "--", "set", "port", mirrorPorts[2], "tag=9"})
	before := m.Snapshot()
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || m.Snapshot() != before {
		t.Errorf("undo where another hand made a port of that name: %v", err)
	}
}

func TestRefusedBridgePorts(t *testing.T) {
	for want, s := range map[string]ovs.BridgePortsSpec{
		"ports":  {Bridge: "br0", Ports: []string{"[a"}},
		"bridge": {Bridge: "a b", Ports: []string{}},
	} {
		if p := s.Validate(); len(p) != 1 || p[0].Path != want {
			t.Errorf("%s: %v", want, p)
		}
	}
}
