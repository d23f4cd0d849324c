package ovs_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

// The programs of each family, without those of ifupdown.
const (
	ifupOVS   = "/etc/sysconfig/network-scripts/ifup-ovs"
	ifupEth   = "/etc/sysconfig/network-scripts/ifup-eth"
	daemon    = "/usr/sbin/NetworkManager"
	plugin    = "/usr/lib64/NetworkManager/1.42.2-8.el9/libnm-device-plugin-ovs.so"
	netplan   = "/usr/sbin/netplan"
	ifcfg     = "/etc/sysconfig/network-scripts/ifcfg-"
	profiles  = "/etc/NetworkManager/system-connections/"
	cloudPlan = "/etc/netplan/50-cloud-init.yaml"
)

// with is a host of another family.
func with(make func() *fake.Machine, programs ...string) func() *fake.Machine {
	return func() *fake.Machine {
		m := make()
		m.Remove("/sbin/ifup")
		m.Mkdir(strings.TrimSuffix(profiles, "/"))
		for _, name := range programs {
			m.WriteFile(name, "\x7fELF")
		}
		return m
	}
}

// netplanned is a host of netplan, whose file has the members of a bond.
func netplanned() *fake.Machine {
	m := with(withLegs, netplan)()
	m.WriteFile(cloudPlan, "network:\n  version: 2\n  ethernets:\n    "+firstLeg+": {dhcp4: false}\n")
	return m
}

// butPersist are the attributes that the laws of each kind are about.
func butPersist(spec any) []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(spec)) {
		if name := step.FieldOf(f).Name; name != "persist" {
			out = append(out, name)
		}
	}
	return out
}

// ofEnds are the attributes of both ends of a patch.
func ofEnds() []string {
	var out []string
	for _, end := range []string{"near", "far"} {
		for _, name := range butPersist(ovs.PatchEnd{}) {
			out = append(out, end+"."+name)
		}
	}
	return out
}

// The kinds where other families than ifupdown have the network.
func TestKeptLaws(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("tried on the fake: TestBridgeLaws and the like have ifupdown")
	}
	bond := ovs.BondSpec{Bridge: homeName, Members: []string{firstLeg, secondLeg}, Mode: step.Is("balance-tcp"), LACP: step.Is("active"), Persist: step.Is(true)}
	scripts, manager := with(withLegs, ifupOVS, ifupEth), with(withLegs, daemon, plugin)
	// A profile, or a file of netplan, is root's alone.
	foreign := func(name, file, text string) steptest.Hand {
		return steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
			m.WriteFile(file, text)
			m.Chmod(file, 0o600)
		}}
	}
	for _, c := range []struct {
		name    string
		kind    string
		machine func() *fake.Machine
		spec    any
		file    string // that is the step's
		found   steptest.Hand
	}{
		{"bridge by network-scripts", "ovs_bridge", scripts,
			ovs.BridgeSpec{Name: bridgeName, FailMode: step.Is("secure"), Hwaddr: step.Is("02:00:00:00:00:09"), Addresses: []string{"10.99.0.1/24"}, Persist: step.Is(true)},
			ifcfg + bridgeName, foreign("a file", ifcfg+bridgeName, "# mine\nDEVICE="+bridgeName+"\nOVS_EXTRA=\"set bridge "+bridgeName+" fail_mode=standalone other_config:hand=1\"\nIPADDR=10.99.0.9\nPREFIX=24\n")},
		{"port by network-scripts", "ovs_port", scripts,
			ovs.PortSpec{Name: firstLeg, Bridge: homeName, Tag: step.Is(5), Persist: step.Is(true)},
			ifcfg + firstLeg, foreign("a file", ifcfg+firstLeg, "DEVICE="+firstLeg+"\nONBOOT=yes\nBOOTPROTO=dhcp\n")},
		{"bond by network-scripts", "ovs_bond", scripts, bond, ifcfg + bondName,
			foreign("a port of its own", ifcfg+secondLeg, "DEVICE="+secondLeg+"\nDEVICETYPE=ovs\nTYPE=OVSPort\nOVS_BRIDGE="+otherName+"\nOVS_OPTIONS=\"tag=9\"\n")},
		{"tunnel by network-scripts", "ovs_tunnel", scripts,
			ovs.TunnelSpec{Name: portName, Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9"), Key: step.Is("0x10"), Persist: step.Is(true)},
			ifcfg + portName, vsctl("another spelling", "add-port", homeName, portName, "--", "set", "interface", portName, "type=vxlan", "options:remote_ip=192.0.2.9", "options:key=16")},
		{"bridge by NetworkManager", "ovs_bridge", manager,
			ovs.BridgeSpec{Name: bridgeName, STP: step.Is(true), MTU: step.Is(1400), Addresses: []string{"10.99.0.1/24"}, Persist: step.Is(true), PersistBy: "networkmanager"},
			profiles + "ovs-bridge-" + bridgeName + ".nmconnection", foreign("a profile", profiles+"mine.nmconnection", "[connection]\nid=mine\ntype=ovs-bridge\ninterface-name="+otherName+"\n")},
		{"bond by NetworkManager", "ovs_bond", manager, bond, profiles + "ovs-port-" + bondName + ".nmconnection",
			foreign("a profile", profiles+"leg.nmconnection", "[connection]\nid=leg\ntype=ethernet\ninterface-name="+firstLeg+"\n\n[ipv4]\nmethod=auto\n")},
		{"bond by netplan", "ovs_bond", netplanned, bond, "/etc/netplan/90-weft-ovs-port-" + bondName + ".yaml",
			foreign("a file of weft's", "/etc/netplan/90-weft-ovs-port-"+secondLeg+".yaml", "network:\n  bridges:\n    "+otherName+":\n      openvswitch: {}\n      interfaces: ["+secondLeg+"]\n")},
		{"patch by netplan", "ovs_patch", netplanned,
			ovs.PatchSpec{Near: ovs.PatchEnd{Bridge: homeName, Port: nearName}, Far: ovs.PatchEnd{Bridge: otherName, Port: farName}, Persist: step.Is(true), PersistBy: "netplan"},
			"/etc/netplan/90-weft-ovs-patch-" + nearName + ".yaml", pair(otherName, nearName, "nobody")},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := kind(t, c.kind)
			steptest.Laws(t, steptest.Subject{
				Kind: k, Machine: c.machine, Policy: append(butPersist(k.Spec), ofEnds()...),
				Found: []steptest.Hand{{Name: "untouched", Fake: func(*fake.Machine) {}}, c.found},
				Cases: []steptest.Case{{Name: "kept", Spec: c.spec, Drift: []steptest.Hand{
					{Name: "persist", Fake: func(m *fake.Machine) { m.Remove(c.file) }},
				}}},
			})
		})
	}
}

// A host in the field keeps what it has, whatever else is installed since.
func TestKeptAsBefore(t *testing.T) {
	m := netplanned()
	m.WriteFile("/sbin/ifup", "\x7fELF")
	m.WriteFile("/etc/network/interfaces.d/weft-port-"+firstLeg, "# by an earlier weft\n")
	f := apply(t, m, made(t, "ovs_port", ovs.PortSpec{Name: firstLeg, Bridge: homeName, Persist: step.Is(true)}))
	if text, _ := m.File("/etc/network/interfaces.d/weft-port-" + firstLeg); !strings.Contains(text, "ovs_type OVSPort") {
		t.Errorf("%+v\n%s", f, text)
	}
}

// Debian's NetworkManager does not know of Open vSwitch: it is passed over, and
// by its name refused.
func TestKeptWithoutPlugin(t *testing.T) {
	m := withLegs()
	m.WriteFile(daemon, "\x7fELF")
	m.WriteFile("/usr/lib/x86_64-linux-gnu/NetworkManager/1.42.4/libnm-device-plugin-team.so", "\x7fELF")
	spec := ovs.PortSpec{Name: firstLeg, Bridge: homeName, Persist: step.Is(true), PersistBy: "networkmanager"}
	if _, err := made(t, "ovs_port", spec).Check(t.Context(), m.Host().View()); !errors.Is(err, host.ErrNotReady) || !strings.Contains(err.Error(), "libnm-device-plugin-ovs.so") {
		t.Error(err)
	}
	spec.PersistBy = ""
	apply(t, m, made(t, "ovs_port", spec))
	if _, there := m.File("/etc/network/interfaces.d/weft-port-" + firstLeg); !there {
		t.Error("ifupdown has no file")
	}
}

// What a family that is named has no words for is the playbook's mistake.
func TestKeptUnspeakable(t *testing.T) {
	for _, c := range []struct {
		spec interface{ Validate() []step.Problem }
		says string
	}{
		{&ovs.PortSpec{Name: "vm1", Bridge: "br0", Type: step.Is("internal"), Persist: step.Is(true), PersistBy: "netplan"}, "netplan cannot keep type internal of vm1 (ifupdown, networkmanager, network-scripts can)"},
		{&ovs.BridgeSpec{Name: "br0", Protocols: []string{"OpenFlow13"}, Persist: step.Is(true), PersistBy: "networkmanager"}, "networkmanager cannot keep protocols of br0"},
		{&ovs.TunnelSpec{Name: "vx0", Bridge: "br0", Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.1"), Persist: step.Is(true), PersistBy: "networkmanager"}, "type vxlan of vx0"},
		{&ovs.BridgeSpec{Name: "br0", PersistBy: "netplan"}, "persist is left out"},
	} {
		problems := c.spec.Validate()
		if len(problems) != 1 || problems[0].Path != "persist_by" || !strings.Contains(problems[0].Message, c.says) {
			t.Errorf("%q: %+v", c.says, problems)
		}
	}
}
