package testlab

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestCheckNamesEveryProgramThatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Check(Options{State: t.TempDir(), Supervisor: []string{"x"}})
	for _, p := range programs() {
		if want := "no program " + p.Name + ": apt-get install " + p.Package; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check() = %v, want %q in it", err, want)
		}
	}
}

func TestGrownInto(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Spec)
		want   string // part of the refusal; empty means none
	}{
		{"the same", func(*Spec) {}, ""},
		{"one host more", func(s *Spec) { s.Hosts = append(s.Hosts, Host{Name: "more"}) }, ""},
		{"one network more", func(s *Spec) { s.Networks = append(s.Networks, Network{Name: "more"}) }, ""},
		{"another order of hosts", func(s *Spec) { s.Hosts[0], s.Hosts[1] = s.Hosts[1], s.Hosts[0] }, ""},
		{"one host less", func(s *Spec) { s.Hosts = s.Hosts[1:] }, "host ubuntu1"},
		{"another address", func(s *Spec) { s.Hosts[1].NICs[0].Address = netip.MustParsePrefix("10.127.1.9/24") }, "host ubuntu2"},
		{"another network", func(s *Spec) { s.Networks[1].Access = true }, "a network"},
		{"one network less", func(s *Spec) { s.Networks = s.Networks[:1] }, "a network"},
		{"another image", func(s *Spec) { s.Image = "debian-13" }, "the image"},
		{"other packages", func(s *Spec) { s.Repository = []string{"vim"} }, "packages in its repository"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := threeHosts(), threeHosts()
			tt.change(&after)
			err := before.grownInto(after)
			if tt.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want+" differs")) {
				t.Errorf("error %v, want that %s differs", err, tt.want)
			}
		})
	}
}

func TestFittedNames(t *testing.T) {
	long := []string{"a-very-long-host-1.eth0", "a-very-long-host-2.eth0", "a-very-long-host-1.eth1"}
	seen := map[string]bool{}
	for _, name := range append(long, "ubuntu1.eth0", "br-underlay") {
		got := fitted(name)
		if len(got) > 15 || seen[got] || len(name) < 16 && got != name {
			t.Errorf("%s is fitted to %s", name, got)
		}
		seen[got] = true
	}
}

func TestRoutePrefix(t *testing.T) {
	_, everything, _ := net.ParseCIDR("0.0.0.0/0")
	_, lan, _ := net.ParseCIDR("192.0.2.0/24")
	if p, ok := routePrefix(netlink.Route{Dst: lan, Type: 1}); !ok || p != netip.MustParsePrefix("192.0.2.0/24") {
		t.Errorf("a route to a network: %v %v", p, ok)
	}
	for name, r := range map[string]netlink.Route{"default": {Type: 1}, "default with a prefix": {Dst: everything, Type: 1}, "multicast": {Dst: lan, Type: 5}} {
		if p, ok := routePrefix(r); ok {
			t.Errorf("%s collides as %v", name, p)
		}
	}
}
