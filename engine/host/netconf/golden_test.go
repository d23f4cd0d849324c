package netconf_test

import (
	"flag"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"weft/engine/host"
	"weft/engine/host/netconf"
)

var update = flag.Bool("update", false, "write the golden files")

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// parts are what the golden files keep: the first word of their names.
func parts() map[string]netconf.Part {
	all := ovsParts()
	maps.Copy(all, map[string]netconf.Part{
		"link": netconf.Link{Device: "eth0", MTU: 9000, MAC: "02:00:00:00:00:01"},
		"down": netconf.Link{Device: "eth0", Down: true},
		"addresses": netconf.Addresses{
			Device:    "eth0",
			Addresses: []netip.Prefix{prefix("192.0.2.5/24"), prefix("192.0.2.6/24"), prefix("2001:db8::5/64"), prefix("2001:db8::6/64")},
			MTU:       1400,
			Routes: []host.Route{
				{Destination: prefix("198.51.100.0/24"), OnLink: false},
				{Destination: prefix("0.0.0.0/0"), Via: addr("192.0.2.1")},
				{Destination: prefix("203.0.113.0/24"), Via: addr("192.0.2.2"), Metric: 50, Source: addr("192.0.2.6")},
				{Destination: prefix("203.0.113.128/25"), Via: addr("10.9.9.9"), OnLink: true},
				{Destination: prefix("::/0"), Via: addr("2001:db8::1"), Metric: 1024},
			},
		},
		"one":   netconf.Addresses{Device: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.5/24")}},
		"dhcp":  netconf.Addresses{Device: "eth0", DHCP: true, Routes: []host.Route{}},
		"none":  netconf.Addresses{Device: "eth0", Addresses: []netip.Prefix{}, Routes: []host.Route{}},
		"moved": netconf.Addresses{Device: "eth1", From: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.5/24")}, Routes: []host.Route{{Destination: prefix("0.0.0.0/0"), Via: addr("192.0.2.1")}}},
		"bond":  netconf.Bond{Device: "bond0", Members: []string{"eth2", "eth1"}, Options: map[string]string{"mode": "802.3ad", "miimon": "100", "lacp_rate": "fast", "primary": ""}, Station: netconf.Station{Down: true}},
		"vlan":  netconf.VLAN{Device: "bond0.301", Link: "bond0", ID: 301, Options: map[string]string{"reorder_hdr": "1", "gvrp": "0"}},
		"bridge": netconf.Bridge{Device: "br0", Members: []string{"bond0", "eth2"}, Options: map[string]string{
			"stp_state": "0", "forward_delay": "400", "ageing_time": "12000"}, Station: netconf.Station{MTU: 9000, MAC: "02:00:00:00:00:0b"}},
	})
	return all
}

// A golden file holds files as they are found, and as "want NAME" what becomes
// of those that change. It is named after a part, and what comes after a dash is
// free.
func TestGolden(t *testing.T) {
	for _, family := range []netconf.Family{netconf.Ifupdown, netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		cases, err := filepath.Glob("testdata/" + string(family) + "/*.txtar")
		if err != nil || len(cases) == 0 {
			t.Fatalf("no cases of %s: %v", family, err)
		}
		for _, file := range cases {
			t.Run(string(family)+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, family, file) })
		}
	}
}

func golden(t *testing.T, family netconf.Family, file string) {
	what, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".txtar"), "-")
	part, known := parts()[what]
	if !known {
		t.Fatalf("no part is called %s", what)
	}
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found, want := netconf.Files{}, netconf.Files{}
	for _, f := range archive.Files {
		if _, ok := strings.CutPrefix(f.Name, "want "); !ok {
			found[f.Name] = string(f.Data)
		}
	}
	maps.Copy(want, found)
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "want "); ok && len(f.Data) == 0 {
			delete(want, name)
		} else if ok {
			want[name] = string(f.Data)
		}
	}
	goal, err := family.Keep(found, part)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		rewrite(t, file, archive, found, goal.Files)
		return
	}
	for name := range maps.Keys(union(want, goal.Files)) {
		if goal.Files[name] != want[name] {
			t.Errorf("%s is\n%s\nnot\n%s", name, goal.Files[name], want[name])
		}
	}
	again, err := family.Keep(goal.Files, part)
	if err != nil || !maps.Equal(again.Files, goal.Files) {
		t.Errorf("a second time: %v %q", err, again.Files)
	}
}

func union(a, b netconf.Files) netconf.Files {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, found, goal netconf.Files) {
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want ") })
	for _, name := range slices.Sorted(maps.Keys(union(found, goal))) {
		if found[name] != goal[name] {
			archive.Files = append(archive.Files, txtar.File{Name: "want " + name, Data: []byte(goal[name])})
		}
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
