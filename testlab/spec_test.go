package testlab

import (
	"net/netip"
	"strings"
	"testing"
)

// threeHosts is a description without mistakes, for tests to spoil.
func threeHosts() Spec {
	s := Spec{
		Name: "overlay",
		Networks: []Network{
			{Name: "management", CIDR: netip.MustParsePrefix("10.127.1.0/24"), Access: true},
			{Name: "underlay"},
		},
	}
	for i, name := range []string{"ubuntu1", "ubuntu2", "ubuntu3"} {
		address := netip.AddrFrom4([4]byte{10, 127, 1, byte(2 + i)})
		s.Hosts = append(s.Hosts, Host{Name: name, NICs: []NIC{
			{Name: "eth0", Network: "management", Address: netip.PrefixFrom(address, 24)},
			{Name: "eth1", Network: "underlay", MTU: 9000},
		}})
	}
	return s
}

func TestSpecCheck(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Spec)
		want  string // part of the error; empty means none
	}{
		{"as it should be", func(*Spec) {}, ""},
		{"a known image", func(s *Spec) { s.Image = "ubuntu-24.04" }, ""},
		{"IPv6 alone", func(s *Spec) {
			s.Networks[0].CIDR = netip.MustParsePrefix("fd00:1::/64")
			for i := range s.Hosts {
				s.Hosts[i].NICs[0].Address = netip.PrefixFrom(netip.MustParseAddr("fd00:1::1"+s.Hosts[i].Name[6:]), 64)
			}
		}, ""},
		{"no name", func(s *Spec) { s.Name = "" }, `lab ""`},
		{"a name that climbs", func(s *Spec) { s.Name = "../etc" }, `lab "../etc"`},
		{"a host's name with a dot", func(s *Spec) { s.Hosts[0].Name = "a.b" }, `host "a.b"`},
		{"two hosts of a name", func(s *Spec) { s.Hosts[1].Name = "ubuntu1" }, "host ubuntu1: described twice"},
		{"no hosts", func(s *Spec) { s.Hosts = nil }, "no host"},
		{"an unknown image", func(s *Spec) { s.Image = "debian-3" }, `"debian-3" is not known; the lab can make debian-12`},
		{"an option for a package", func(s *Spec) { s.Repository = []string{"-oX=y"} }, `"-oX=y"`},
		{"an option for a source package", func(s *Spec) { s.Repository = []string{"src:-oX=y"} }, `"src:-oX=y"`},
		{"an unknown user", func(s *Spec) { s.Hosts[0].User = "bob" }, `no user "bob"`},
		{"two networks of a name", func(s *Spec) { s.Networks[1].Name = "management" }, "network management: described twice"},
		{"no access", func(s *Spec) { s.Networks[0].Access = false }, "no network has access"},
		{"access without a cidr", func(s *Spec) { s.Networks[1].Access = true }, "network underlay: a network with access needs a cidr"},
		{"host bits", func(s *Spec) { s.Networks[0].CIDR = netip.MustParsePrefix("10.127.1.7/24") }, "meant is 10.127.1.0/24"},
		{"overlap", func(s *Spec) {
			s.Networks[1] = Network{Name: "underlay", CIDR: netip.MustParsePrefix("10.127.0.0/16"), Access: true}
		}, "overlaps with 10.127.1.0/24 of network management"},
		{"a wire", func(s *Spec) { s.Networks[1].Wire, s.Hosts = true, s.Hosts[:2] }, ""},
		{"a wire with three ends", func(s *Spec) { s.Networks[1].Wire = true }, "network underlay: 3 NICs are at a wire"},
		{"a wire with access", func(s *Spec) { s.Networks[0].Wire = true }, "network management: this machine joins it, and a wire"},
		{"an unknown network", func(s *Spec) { s.Hosts[0].NICs[1].Network = "wan" }, `no network "wan"`},
		{"a NIC twice", func(s *Spec) { s.Hosts[0].NICs[1].Name = "eth0" }, "NIC eth0: described twice"},
		{"a NIC called lo", func(s *Spec) { s.Hosts[0].NICs[1].Name = "lo" }, "not a name for an interface"},
		{"a NIC's name too long", func(s *Spec) { s.Hosts[0].NICs[1].Name = "enp0s31f6np0d12x" }, "not a name for an interface"},
		{"a small MTU", func(s *Spec) { s.Hosts[0].NICs[1].MTU = 600 }, "MTU 600"},
		{"a group's MAC", func(s *Spec) { s.Hosts[0].NICs[1].MAC = "01:00:5e:00:00:01" }, "01:00:5e:00:00:01"},
		{"a MAC twice", func(s *Spec) {
			s.Hosts[0].NICs[1].MAC, s.Hosts[1].NICs[1].MAC = "02:00:00:00:00:01", "02:00:00:00:00:01"
		}, "belongs to host ubuntu1: NIC eth1 already"},
		{"nothing to log in at", func(s *Spec) { s.Hosts[2].NICs[0].Address = netip.Prefix{} }, "host ubuntu3: no NIC has an address"},
		{"an address elsewhere", func(s *Spec) { s.Hosts[0].NICs[0].Address = netip.MustParsePrefix("10.1.1.1/24") }, "is not in 10.127.1.0/24"},
		{"another prefix length", func(s *Spec) { s.Hosts[0].NICs[0].Address = netip.MustParsePrefix("10.127.1.2/16") }, "prefix length 16"},
		{"the machine's address", func(s *Spec) { s.Hosts[0].NICs[0].Address = netip.MustParsePrefix("10.127.1.1/24") }, "belongs to this machine"},
		{"the network's address", func(s *Spec) { s.Hosts[0].NICs[0].Address = netip.MustParsePrefix("10.127.1.0/24") }, "the address of network management itself"},
		{"the broadcast address", func(s *Spec) { s.Hosts[0].NICs[0].Address = netip.MustParsePrefix("10.127.1.255/24") }, "broadcast"},
		{"an address twice", func(s *Spec) { s.Hosts[0].NICs[0].Address = s.Hosts[1].NICs[0].Address }, "belongs to host ubuntu1: NIC eth0 already"},
		{"an address without a cidr", func(s *Spec) { s.Hosts[0].NICs[1].Address = netip.MustParsePrefix("10.2.0.1/24") }, "which has no cidr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := threeHosts()
			tt.spoil(&s)
			err := s.Check()
			if tt.want == "" && err != nil {
				t.Fatalf("Check() = %v, want no mistake", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("Check() = %v, want a mistake with %q", err, tt.want)
			}
		})
	}
}

func TestSpecCheckShowsAllMistakesAtOnce(t *testing.T) {
	s := threeHosts()
	s.Name, s.Networks[1].Name, s.Hosts[0].User = "A", "_", "bob"
	err := s.Check()
	for _, want := range []string{`lab "A"`, `network "_"`, `"bob"`, `no network "underlay"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check() = %v, want %q among the mistakes", err, want)
		}
	}
}

func TestDerivedAddresses(t *testing.T) {
	s := threeHosts()
	if a, b := s.mac(s.Hosts[0], s.Hosts[0].NICs[0]), s.mac(s.Hosts[1], s.Hosts[1].NICs[0]); a == b {
		t.Errorf("two hosts have the MAC address %s", a)
	}
	v6, ok := s.ipv6(s.Networks[0], netip.MustParseAddr("10.127.1.2"))
	if !ok || !netip.MustParsePrefix("fd00::/8").Contains(v6.Addr()) || v6.Bits() != 64 {
		t.Errorf("ipv6 = %v, %v, want a unique local address in a /64", v6, ok)
	}
	if other, _ := s.ipv6(s.Networks[0], s.Networks[0].machine().Addr()); other.Masked() != v6.Masked() || other == v6 {
		t.Errorf("the machine has %v and the host %v, want two addresses of one prefix", other, v6)
	}
	if _, ok := s.ipv6(s.Networks[1], netip.MustParseAddr("10.127.1.2")); ok {
		t.Error("a network without access has IPv6 companions")
	}
}
