package network

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const handText = "# by hand\n[connection]\nid=uplink\nuuid=1f2d7a5c-3c52-4f0c-8f6f-0d6a4c3a9f11\ntype=ethernet\ninterface-name=" + nic +
	"\n\n[ethernet]\nmtu=1400\n\n[ipv4]\naddress1=198.18.0.9/24\ndns=198.18.0.53;\nmethod=manual\nroute-metric=0\nroute1=203.0.113.0/24,198.18.0.254,100\n\n[ipv6]\nmethod=auto\n"

// The laws where NetworkManager manages the devices, on the fake: a real host
// keeps it off the devices of the laws.
func onFake(t *testing.T) {
	t.Helper()
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("tried on the fake")
	}
}

func found() []steptest.Hand {
	return []steptest.Hand{
		profile("a profile", handText),
		{Name: "no profile", Fake: func(*fake.Machine) {}},
		{Name: "addresses without a profile", Fake: set("", nic, host.LinkChange{AddAddresses: prefixes("198.18.0.4/24")})},
		profile("a profile by DHCP", strings.ReplaceAll(handText, "address1=198.18.0.9/24\ndns=198.18.0.53;\nmethod=manual\nroute-metric=0\nroute1=203.0.113.0/24,198.18.0.254,100\n", "method=auto\n")),
	}
}

func TestManagedLinkLaws(t *testing.T) {
	onFake(t)
	steptest.Laws(t, steptest.Subject{
		Kind: netLinkKind(), Machine: managed, Policy: []string{"persist_by"}, Found: found(),
		Cases: []steptest.Case{
			{
				Name: "up", Spec: NetLinkSpec{Up: step.Is(true), MTU: step.Is(1450), MAC: step.Is("02:ac:10:ff:00:11"), Persist: step.Is(true)},
				Drift: []steptest.Hand{
					byIP("up", nic, host.LinkChange{Up: new(false)}),
					byIP("mtu", nic, host.LinkChange{MTU: 1300}),
					byIP("mac", nic, host.LinkChange{MAC: "02:00:00:00:00:66"}),
					profile("persist", "[connection]\nuuid=2\nautoconnect-priority=5\ninterface-name="+nic+"\n[ethernet]\nmtu=1300\n"),
				},
			},
		},
	})
}

func TestManagedAddressLaws(t *testing.T) {
	onFake(t)
	laws(t, steptest.Subject{
		Kind: netAddressKind(), Machine: managed, Policy: []string{"gateway", "persist_by"}, Found: found(),
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: NetAddressSpec{
					Addresses: []string{"198.18.0.3/24", "2001:db8:0:1::3/64"}, MTU: step.Is(1450), From: other, DHCP: step.Is(false), Persist: step.Is(true),
					Routes: []NetRoute{{To: "203.0.113.0/25", Via: "198.18.0.253"}, {To: "2001:db8:7::/48", Via: "2001:db8:0:1::fe", Metric: 50}},
				},
				Drift: []steptest.Hand{
					byIP("addresses", nic, host.LinkChange{AddAddresses: prefixes("192.0.2.77/28")}),
					byIP("routes", nic, host.LinkChange{AddRoutes: []host.Route{routeOf("203.0.113.128/25", "198.18.0.1", 0)}}),
					byIP("mtu", nic, host.LinkChange{MTU: 1300}),
					byIP("from", other, host.LinkChange{AddAddresses: prefixes("192.0.2.78/28")}),
					profile("persist", strings.NewReplacer("198.18.0.9", "198.18.0.8", "type=ethernet", "type=ethernet\nautoconnect-priority=5").Replace(handText)),
					{Name: "dhcp", Fake: func(m *fake.Machine) { m.SetLink("", nic, leased) }},
				},
			},
			{Name: "dhcp", Spec: NetAddressSpec{Addresses: []string{}, DHCP: step.Is(true), Persist: step.Is(true)}, Drift: []steptest.Hand{
				{Name: "dhcp", Fake: func(m *fake.Machine) {
					m.SetLink("", nic, host.LinkChange{RemoveAddresses: prefixes("192.0.2.70/24")})
				}},
			}},
		},
	})
}

// Without files the change would be taken back, and so it is with files that
// the daemon does not read.
func TestManagedIsRefused(t *testing.T) {
	for want, s := range map[string]NetLinkSpec{
		"say persist = true": {Name: nic, MTU: step.Is(1400)},
		"keep it off first":  {Name: nic, MTU: step.Is(1400), Persist: step.Is(true), PersistBy: "ifupdown"},
	} {
		m := managed()
		m.WriteFile("/sbin/ifup", "x")
		_, err := stepOf(t, netLinkKind(), s).Check(t.Context(), m.Host().View())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A device that is activated anew loses its session.
func TestManagedSevers(t *testing.T) {
	f, err := stepOf(t, netLinkKind(), NetLinkSpec{Name: nic, MTU: step.Is(1400), Persist: step.Is(true)}).Check(t.Context(), managed().Host().View())
	if err != nil || len(f.Cost.Severs) != 1 || f.Cost.Severs[0] != nic {
		t.Errorf("severs %v (%v)", f.Cost.Severs, err)
	}
}

// NetworkManager was started a moment ago and has not come to its devices yet: a
// bond that the kernel alone were asked for, it would leave to that for good.
func TestNetworkManagerThatHasJustStarted(t *testing.T) {
	m := managed()
	for _, name := range []string{nic, other} {
		l, _ := m.Link("", name)
		m.Remove(fmt.Sprintf(managedFile, l.Index))
	}
	up := false
	m.Program("nmcli", func(m *fake.Machine, c host.Command) host.Result {
		up = up || slices.Contains(c.Argv, "up")
		return nmcli(m, c)
	})
	s := stepOf(t, netBondKind(), NetBondSpec{Name: bond, Members: []string{nic, other}, Persist: step.Is(true), PersistBy: "networkmanager"})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil || !up {
		t.Errorf("activated by NetworkManager: %v (%v)", up, err)
	}
}

func TestNetworkManagerFails(t *testing.T) {
	m := managed()
	m.Program("nmcli", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 4, Stderr: []byte("Error: Connection activation failed: IP configuration could not be reserved")}
	})
	s := stepOf(t, netLinkKind(), NetLinkSpec{Name: nic, MTU: step.Is(1400), Persist: step.Is(true)})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "could not be reserved") {
		t.Errorf("%v", err)
	}
}

func TestPersistByAlone(t *testing.T) {
	for _, problems := range [][]step.Problem{
		(&NetLinkSpec{Name: nic, PersistBy: "netplan"}).Validate(), (&NetAddressSpec{Name: nic, PersistBy: "netplan"}).Validate(),
		(&NetVLANSpec{Name: vlan, Link: nic, ID: 3, PersistBy: "netplan"}).Validate(),
	} {
		if len(problems) != 1 || problems[0].Path != "persist_by" {
			t.Errorf("%+v", problems)
		}
	}
}
