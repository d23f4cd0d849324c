package testlab

import (
	"net/netip"
	"testing"
)

func TestRenderInterfaces(t *testing.T) {
	s := threeHosts()
	h := s.Hosts[0]
	h.NICs = append(h.NICs, NIC{Name: "eth2", Network: "underlay", Address: netip.MustParsePrefix("fd00:9::1/64")})
	v6 := s.addresses(h)[1].String()
	want := `auto eth0
iface eth0 inet static
	address 10.127.1.2/24

iface eth0 inet6 static
	address ` + v6 + `/64
	dad-attempts 0
	accept_ra 0

auto eth2
iface eth2 inet6 static
	address fd00:9::1/64
	dad-attempts 0
	accept_ra 0

`
	if got := renderInterfaces(s, h); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestMachineIsToldItsLinksAsDescribed(t *testing.T) {
	s := threeHosts()
	s.Hosts[0].NICs[1].MAC = "02:00:00:00:00:07"
	m := newMachine(s, s.Hosts[0], record{Image: "/i", Repository: "/r"}, keyPair{}, "")
	if m.Links[1] != (machineLink{Name: "eth1", Network: "underlay", MAC: "02:00:00:00:00:07", MTU: 9000}) || m.Links[0].MTU != 1500 {
		t.Errorf("links are %+v", m.Links)
	}
	other := newMachine(s, s.Hosts[1], record{}, keyPair{}, "")
	for i, f := range m.Files {
		if f.Path == "/etc/machine-id" && f.Content == other.Files[i].Content {
			t.Error("two hosts have one machine-id")
		}
		if f.Mode.Perm()&0o077 != 0 && (f.Path == "/etc/ssh/ssh_host_ed25519_key") {
			t.Errorf("%s has mode %v", f.Path, f.Mode)
		}
	}
}
