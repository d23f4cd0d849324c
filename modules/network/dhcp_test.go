package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const leaseText = "default-duid \"\\000\\001\\000\\0012\";\nlease {\n  interface \"%s\";\n  fixed-address 192.0.2.63;\n}\n"

// withDHCP is a host whose dhclient gets an address of a server at once: the one
// that its file of leases names, else another. It does what dhclient(8) does of
// the files, the address and the default route.
func withDHCP() *fake.Machine {
	m := nics()
	m.WriteFile("/sbin/dhclient", "\x7fELF")
	m.Mkdir("/var/lib/dhcp")
	m.Program("dhclient", func(m *fake.Machine, c host.Command) host.Result {
		device := c.Argv[len(c.Argv)-1]
		l, _ := m.Link("", device)
		comm := fmt.Sprintf("/proc/%d/comm", 5000+l.Index)
		if c.Argv[2] == "-x" {
			m.RemoveKernel(comm)
			m.Remove(pidFile(device))
			return host.Result{}
		}
		address := "192.0.2.64/24"
		text, known := m.File(leaseFile(device))
		if strings.Contains(text, "192.0.2.63") && strings.Contains(text, `interface "`+device+`"`) {
			address = "192.0.2.63/24"
		} else if !known {
			m.WriteFile(leaseFile(device), "lease {\n  interface \""+device+"\";\n  fixed-address 192.0.2.64;\n}\n")
		}
		m.WriteFile(pidFile(device), fmt.Sprintln(5000+l.Index))
		m.SetKernel(comm, "dhclient\n")
		p := netip.MustParsePrefix(address)
		change := host.LinkChange{Special: map[netip.Prefix]host.AddressOptions{p: {Leased: true}}}
		if len(l.Special) == 0 {
			change.AddAddresses = []netip.Prefix{p}
			change.AddRoutes = []host.Route{routeOf("0.0.0.0/0", "192.0.2.1", l.Index)} // two clients do not meet
		}
		m.SetLink("", device, change)
		return host.Result{}
	})
	return m
}

// leasing has a client on a NIC.
func leasing(device string) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		m.WriteFile(leaseFile(device), fmt.Sprintf(leaseText, device))
		if _, err := m.Host().Commands.Run(context.Background(), dhclientCommand(device)); err != nil {
			panic(err)
		}
		m.WriteFile(handFile, "auto "+device+"\niface "+device+" inet dhcp\n")
	}
}

// The laws of a lease, on the fake: a real server takes its time at each walk.
func TestLeases(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("a lease takes a server: tried on the fake")
	}
	ended := steptest.Hand{Name: "dhcp", Fake: func(m *fake.Machine) {
		l, _ := m.Link("", nic)
		m.RemoveKernel(fmt.Sprintf("/proc/%d/comm", 5000+l.Index))
		m.Remove(pidFile(nic))
	}}
	laws(t, steptest.Subject{
		Kind: netAddressKind(), Machine: withDHCP,
		Policy: []string{"gateway", "routes", "mtu", "addresses", "from", "persist", "persist_by"}, // TestAddressLaws has them
		Found: []steptest.Hand{
			{Name: "on the other", Fake: leasing(other)},
			{Name: "on neither", Fake: func(*fake.Machine) {}},
			{Name: "on this one", Fake: leasing(nic)},
		},
		Cases: []steptest.Case{
			{Name: "moved", Spec: NetAddressSpec{From: other, DHCP: step.Is(true), Persist: step.Is(true)}, Drift: []steptest.Hand{ended}},
			{Name: "moved with another address", Spec: NetAddressSpec{From: other, DHCP: step.Is(true), Addresses: []string{"198.18.0.1/24"}}, Drift: []steptest.Hand{ended}},
			{Name: "ended", Spec: NetAddressSpec{DHCP: step.Is(false), Addresses: []string{}}, Drift: []steptest.Hand{{Name: "dhcp", Fake: leasing(nic)}}},
		},
	})
}

// The same client asks for the same address from the new place.
func TestLeaseMoves(t *testing.T) {
	m := withDHCP()
	leasing(other)(m)
	s := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, From: other, DHCP: step.Is(true), Persist: step.Is(true)})
	f := run(t, m, s)
	has(t, m, nic, "192.0.2.63/24")
	has(t, m, other)
	if got, _ := m.File(leaseFile(nic)); got != fmt.Sprintf(leaseText, nic) {
		t.Errorf("the lease is\n%s", got)
	}
	if got, _ := m.File(addressFile(nic)); !strings.Contains(got, "iface "+nic+" inet dhcp\n    pre-up ifup "+other+" || true\n") || strings.Contains(got, "static") {
		t.Errorf("the file is\n%s", got)
	}
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "another Ethernet address") {
		t.Errorf("warnings %q", f.Warnings)
	}
}

func TestDHCPNeedsItsClient(t *testing.T) {
	_, err := stepOf(t, netAddressKind(), NetAddressSpec{Name: nic, DHCP: step.Is(true)}).Check(t.Context(), nics().Host().View())
	if err == nil || !strings.Contains(err.Error(), `"isc-dhcp-client"`) {
		t.Errorf("without a client: %v", err)
	}
}
