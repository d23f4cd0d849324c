package network

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	vsctl = "ovs-vsctl"
	mac   = "02:ac:10:ff:00:11"
)

func ip(argv ...string) []host.Command { return steptest.Run(append([]string{"ip"}, argv...)...) }

func inside(argv ...string) []host.Command { return ip(append([]string{"-n", vm}, argv...)...) }

// byHand is a VM as a page of commands leaves it: veth, another MAC, two
// addresses, a default route, keys and columns of its own.
func byHand(m *fake.Machine) {
	m.AddNamespace(vm)
	m.AddVeth(vm, "tmp0")
	here := vm
	m.SetLink("", "tmp0", host.LinkChange{Namespace: &here, Name: "net0", MAC: "02:00:00:00:00:99", MTU: 1500, AddAddresses: prefixes("10.0.0.9/24", "172.16.255.11/24"), Up: new(true)})
	m.SetLink(vm, "net0", host.LinkChange{AddRoutes: []host.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.1")}, {Destination: netip.MustParsePrefix("10.8.0.0/16"), Via: netip.MustParseAddr("10.0.0.2")}}})
	m.SetLink("", vm, host.LinkChange{Up: new(true), MTU: 1400})
	plug("br-other", vm, "", map[string]string{"iface-id": "old", "note": "kept"})(m)
}

func byHandCommands() []host.Command {
	return slices.Concat(
		ip("netns", "add", vm), ip("link", "add", vm, "type", "veth", "peer", "name", "net0", "netns", vm),
		inside("link", "set", "net0", "address", "02:00:00:00:00:99", "up"),
		inside("address", "add", "10.0.0.9/24", "dev", "net0"), inside("address", "add", "172.16.255.11/24", "dev", "net0"),
		ip("link", "set", vm, "mtu", "1400", "up"),
		inside("route", "add", "default", "via", "10.0.0.1"), inside("route", "add", "10.8.0.0/16", "via", "10.0.0.2"),
		steptest.Run(vsctl, "add-port", "br-other", vm, "tag=9", "--", "set", "Interface", vm, "external_ids:iface-id=old", "external_ids:note=kept", "mtu_request=1400"))
}

// internalByHand is a VM of the original pages: an internal port, moved.
func internalByHand(m *fake.Machine) {
	m.AddNamespace(vm)
	plug("br-int", vm, "internal", map[string]string{"iface-id": "old"})(m)
	here := vm
	m.SetLink("", vm, host.LinkChange{Namespace: &here, AddAddresses: prefixes("10.0.0.9/24"), Up: new(true)})
}

func internalByHandCommands() []host.Command {
	return slices.Concat(
		ip("netns", "add", vm),
		steptest.Run(vsctl, "add-port", "br-int", vm, "--", "set", "Interface", vm, "type=internal", "external_ids:iface-id=old"),
		ip("link", "set", vm, "netns", vm), inside("address", "add", "10.0.0.9/24", "dev", vm), inside("link", "set", vm, "up"))
}

func vmKey(key, value string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		m.Transact(host.OpenVSwitch, ovsdb.Operation{
			Op: ovsdb.OperationMutate, Table: "Interface", Where: []ovsdb.Condition{row.Is("name", vm)},
			Mutations: row.SetKeys("external_ids", map[string]*string{key: &value}),
		})
	}
}

// movedPort puts the port on the other bridge.
func movedPort(m *fake.Machine) {
	var tx row.Tx
	for _, p := range m.Rows(host.OpenVSwitch, "Port") {
		for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
			switch {
			case row.String(p, "name") != vm:
			case row.String(b, "name") == "br-other":
				tx.Mutate("Bridge", row.ID(b), row.AddRefs("ports", row.ID(p)))
			default:
				tx.Mutate("Bridge", row.ID(b), row.RemoveRefs("ports", row.ID(p)))
			}
		}
	}
	m.Transact(host.OpenVSwitch, tx.Operations()...)
}

func gone(m *fake.Machine) {
	if _, there := m.File(echoPath(vm)); there {
		m.Systemctl(host.Stop, echoUnit(vm))
		m.Remove(echoPath(vm))
	}
	unplug(vm)(m)
	m.RemoveLink("", vm)
	m.RemoveNamespace(vm)
}

func vmSubject() steptest.Subject {
	route := func(to, via string) []host.Route {
		return []host.Route{{Destination: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via)}}
	}
	removed := steptest.Hand{Name: "state", Fake: gone, Host: slices.Concat(
		steptest.Run("systemctl", "stop", echoUnit(vm)), steptest.Run("rm", "-f", echoPath(vm)),
		steptest.Run(vsctl, "del-port", vm), ip("netns", "del", vm))}
	return steptest.Subject{
		Kind: fakeVMKind(), Machine: hypervisor, Policy: []string{"port"}, // it says which port is meant
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "by hand", Fake: byHand, Host: byHandCommands()},
			{Name: "internal by hand", Fake: internalByHand, Host: internalByHandCommands()},
			{Name: "namespace alone", Fake: func(m *fake.Machine) { m.AddNamespace(vm) }, Host: ip("netns", "add", vm)},
			{Name: "port alone", Fake: plug("br-int", vm, "", nil), Host: steptest.Run(vsctl, "add-port", "br-int", vm)},
		},
		Cases: []steptest.Case{
			{
				Name: "veth",
				Spec: FakeVMSpec{
					Bridge: "br-int", Type: "veth", IfaceID: step.Is("ls1-vm1"), MAC: step.Is("02:AC:10:ff:00:11"),
					Addresses: []string{"172.16.255.11/24", "FD00::11/64"}, MTU: step.Is(1442), Gateway: step.Is("172.16.255.1"),
					Routes: map[string]step.Attr[string]{"10.8.0.0/16": step.Is("172.16.255.2"), "10.9.0.0/16": step.None[string]()}, Listen: step.Is(7),
				},
				Drift: []steptest.Hand{
					{Name: "bridge", Fake: movedPort, Host: steptest.Run(vsctl, "del-port", "br-int", vm, "--", "add-port", "br-other", vm)},
					{Name: "interface", Fake: all(set(vm, "eth0", host.LinkChange{Up: new(false)}), set(vm, "eth0", host.LinkChange{Name: "net0"})), Host: slices.Concat(inside("link", "set", "eth0", "down"), inside("link", "set", "eth0", "name", "net0"))},
					{Name: "iface_id", Fake: vmKey("iface-id", "other"), Host: steptest.Run(vsctl, "set", "Interface", vm, "external_ids:iface-id=other")},
					{Name: "mac", Fake: set(vm, "eth0", host.LinkChange{MAC: "02:00:00:00:00:66"}), Host: inside("link", "set", "eth0", "address", "02:00:00:00:00:66")},
					{Name: "addresses", Fake: set(vm, "eth0", host.LinkChange{AddAddresses: prefixes("10.0.0.5/8")}), Host: inside("address", "add", "10.0.0.5/8", "dev", "eth0")},
					{Name: "mtu", Fake: set(vm, "eth0", host.LinkChange{MTU: 1400}), Host: inside("link", "set", "eth0", "mtu", "1400")},
					{Name: "gateway", Fake: set(vm, "eth0", host.LinkChange{RemoveRoutes: route("0.0.0.0/0", "172.16.255.1")}), Host: inside("route", "del", "default")},
					{Name: "routes.10.8.0.0/16", Fake: set(vm, "eth0", host.LinkChange{RemoveRoutes: route("10.8.0.0/16", "172.16.255.2"), AddRoutes: route("10.8.0.0/16", "172.16.255.3")}), Host: inside("route", "replace", "10.8.0.0/16", "via", "172.16.255.3")},
					{Name: "routes.10.9.0.0/16", Fake: set(vm, "eth0", host.LinkChange{AddRoutes: route("10.9.0.0/16", "172.16.255.2")}), Host: inside("route", "add", "10.9.0.0/16", "via", "172.16.255.2")},
					{Name: "listen", Fake: func(m *fake.Machine) {
						m.Systemctl(host.Stop, echoUnit(vm))
						m.WriteFile(echoPath(vm), echoText(vm, "/var/lib/weft/runner-1", 9))
						m.Systemctl(host.Start, echoUnit(vm))
					}, Host: slices.Concat(steptest.Run("sed", "-i", "s/:7$/:9/", echoPath(vm)), steptest.Run("systemctl", "daemon-reload"), steptest.Run("systemctl", "restart", echoUnit(vm)))},
					removed,
				},
				Spellings: []steptest.Hand{
					{Name: "mac", Fake: vmKey("attached-mac", "02:AC:10:FF:00:11"), Host: steptest.Run(vsctl, "set", "Interface", vm, `external_ids:attached-mac="02:AC:10:FF:00:11"`)},
				},
			},
			{
				Name: "internal",
				Spec: FakeVMSpec{Bridge: "br-int", Type: "internal", IfaceID: step.Is("ls1-vm1"), MAC: step.Is(mac), Addresses: []string{"172.16.255.11/24"}, MTU: step.Is(1442)},
				Drift: []steptest.Hand{
					{Name: "type", Fake: all(gone, byHand), Host: slices.Concat(removed.Host[2:], byHandCommands())},
					{Name: "mtu", Fake: set(vm, vm, host.LinkChange{MTU: 1400}), Host: inside("link", "set", vm, "mtu", "1400")},
				},
			},
			{
				Name: "bare", Spec: FakeVMSpec{Bridge: "br-other", Type: "veth", Interface: step.Is("net0"), Listen: step.None[int](), Gateway: step.None[string]()},
			},
			{
				Name: "absent", Spec: FakeVMSpec{Bridge: "br-int", Type: "veth", State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: byHand, Host: byHandCommands()}},
			},
		},
		Touches: steptest.Touches{
			Files: []string{echoPath(vm)}, Units: []string{echoUnit(vm)},
			// What a real kernel chooses anew each time (indexes, MACs, link-local
			// addresses) is in none of these.
			Queries: slices.Concat(
				inside("route", "show", "proto", "boot"), inside("-4", "route", "show", "table", "all", "type", "local"),
				steptest.Run(vsctl, "--format=csv", "--no-headings", "--columns=name,type,external_ids,mtu_request", "find", "Interface", "name="+vm),
				steptest.Run(vsctl, "port-to-br", vm)),
		},
		Clean: slices.Concat(
			steptest.Run("systemctl", "stop", echoUnit(vm)), steptest.Run("rm", "-f", echoPath(vm)), steptest.Run("systemctl", "daemon-reload"),
			steptest.Run(vsctl, "--may-exist", "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev"),
			steptest.Run(vsctl, "--may-exist", "add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=netdev", "--", "--if-exists", "del-port", vm),
			ip("link", "del", vm), ip("netns", "del", vm)),
	}
}

func TestLawsFakeVM(t *testing.T) { laws(t, vmSubject()) }
