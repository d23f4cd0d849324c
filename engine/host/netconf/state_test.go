package netconf_test

import (
	"testing"

	"weft/engine/host/fake"
	"weft/engine/host/netconf"
)

const profile = "/etc/NetworkManager/system-connections/eth0.nmconnection"

func look(t *testing.T, m *fake.Machine, p netconf.Part) netconf.State {
	t.Helper()
	s, err := netconf.Look(t.Context(), m.Host().View(), netconf.NetworkManager, func(f netconf.Files) (netconf.Goal, error) {
		return netconf.NetworkManager.Keep(f, p)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t *testing.T, m *fake.Machine, p netconf.Part) netconf.State {
	t.Helper()
	s := look(t, m, p)
	if _, err := s.Apply(t.Context(), m.Host()); err != nil {
		t.Fatal(err)
	}
	if left := look(t, m, p).Changes(netconf.State{}); len(left) > 0 {
		t.Fatalf("left: %+v", left)
	}
	return s
}

func back(t *testing.T, m *fake.Machine, s netconf.State) error {
	t.Helper()
	_, err := s.Back(t.Context(), m.Host())
	now, lookErr := netconf.LookBack(t.Context(), m.Host().View(), s)
	if lookErr != nil {
		t.Fatal(lookErr)
	}
	if left := now.Changes(s); len(left) > 0 && err == nil {
		t.Fatalf("did not come back: %+v", left)
	}
	return err
}

func withProfile() *fake.Machine {
	m := fake.New()
	m.WriteFile(profile, "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.9/24\n")
	m.Chmod(profile, 0o600)
	return m
}

// Two steps of one file are taken back in either order.
func TestBackInAnyOrder(t *testing.T) {
	for _, first := range []int{0, 1} {
		m := withProfile()
		before := m.Snapshot()
		states := []netconf.State{apply(t, m, parts()["link"]), apply(t, m, parts()["dhcp"])}
		for _, i := range []int{first, 1 - first} {
			if err := back(t, m, states[i]); err != nil {
				t.Fatal(err)
			}
		}
		if after := m.Snapshot(); after != before {
			t.Errorf("%d first left\n%s\nnot\n%s", first, after, before)
		}
	}
}

// A file that was made goes when the last step goes, and is secret.
func TestMadeFile(t *testing.T) {
	m := fake.New()
	m.Mkdir("/etc/NetworkManager/system-connections")
	before := m.Snapshot()
	states := []netconf.State{apply(t, m, parts()["link"]), apply(t, m, parts()["one"])}
	if info, err := m.Host().Files.Stat(t.Context(), profile); err != nil || info.Mode != 0o600 {
		t.Errorf("%+v %v", info, err)
	}
	for _, i := range []int{1, 0} {
		if err := back(t, m, states[i]); err != nil {
			t.Fatal(err)
		}
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("left\n%s\nnot\n%s", after, before)
	}
}

// What another hand wrote meanwhile stays.
func TestBackKeepsOthers(t *testing.T) {
	m := withProfile()
	s := apply(t, m, parts()["link"])
	text, _ := m.File(profile)
	m.WriteFile(profile, text+"dns=192.0.2.53;\n")
	if err := back(t, m, s); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.File(profile); got != "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.9/24\ndns=192.0.2.53;\n" {
		t.Errorf("got\n%s", got)
	}
}

// Lines that another hand changed after us are not guessed at.
func TestBackClashes(t *testing.T) {
	m := withProfile()
	s := apply(t, m, parts()["link"])
	m.WriteFile(profile, "[connection]\ninterface-name=eth0\n[ethernet]\nmtu=1300\n")
	if err := back(t, m, s); err == nil {
		t.Error("no error")
	}
	if got, _ := m.File(profile); got != "[connection]\ninterface-name=eth0\n[ethernet]\nmtu=1300\n" {
		t.Errorf("got\n%s", got)
	}
}

// What keeps a part on trial until it is dropped leaves nothing.
func TestDrop(t *testing.T) {
	for _, family := range []netconf.Family{netconf.Ifupdown, netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		for _, name := range []string{"link", "one", "vlan", "dhcp"} {
			p := parts()[name]
			kept, err := family.Keep(netconf.Files{}, p)
			if err != nil {
				t.Fatal(err)
			}
			if dropped, err := family.Drop(kept.Files, p); err != nil || len(dropped.Files) > 0 || len(kept.Files) == 0 {
				t.Errorf("%s %s: %v %q", family, name, err, dropped.Files)
			}
		}
		operators := netconf.Files{
			profile: "[connection]\ninterface-name=eth0\n", "/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nMTU=9000\n",
			"/etc/netplan/a.yaml": "network:\n  ethernets:\n    eth0: {mtu: 9000}\n", "/etc/network/interfaces": "auto eth0\n",
		}
		if g, err := family.Drop(operators, parts()["link"]); err != nil || len(g.Files) != len(operators) {
			t.Errorf("%s: %v %v", family, err, g.Files)
		}
	}
}

func TestDetect(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		owner string
		want  netconf.Family
	}{
		"nothing":          {nil, "", netconf.Ifupdown},
		"ifupdown":         {map[string]string{"/usr/sbin/ifup": "x"}, "", netconf.Ifupdown},
		"EL7 by scripts":   {map[string]string{"/usr/sbin/ifup": "x", "/etc/sysconfig/network-scripts/ifup-eth": "x", "/usr/sbin/NetworkManager": "x"}, "", netconf.Scripts},
		"EL9":              {map[string]string{"/usr/sbin/NetworkManager": "x"}, "", netconf.NetworkManager},
		"a profile":        {map[string]string{"/usr/sbin/ifup": "x", "/usr/sbin/NetworkManager": "x"}, netconf.NetworkManagerDaemon, netconf.NetworkManager},
		"EL7 by its ifcfg": {map[string]string{"/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\n"}, netconf.NetworkManagerDaemon, netconf.Scripts},
		"both":             {map[string]string{"/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\n", profile: "[connection]\ninterface-name=eth0\n"}, netconf.NetworkManagerDaemon, netconf.NetworkManager},
		"netplan":          {map[string]string{"/usr/sbin/netplan": "x", "/etc/netplan/a.yaml": "network: {}\n"}, netconf.NetworkdDaemon, netconf.Netplan},
		"netplan unused":   {map[string]string{"/usr/sbin/netplan": "x", "/usr/sbin/ifup": "x"}, "", netconf.Ifupdown},
	} {
		m := fake.New()
		for file, text := range c.files {
			m.WriteFile(file, text)
		}
		if got, err := netconf.Detect(t.Context(), m.Host().View(), "eth0", c.owner); err != nil || got != c.want {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
}

func TestReadable(t *testing.T) {
	for _, family := range []netconf.Family{netconf.Ifupdown, netconf.NetworkManager, netconf.Scripts, netconf.Netplan} {
		if err := family.Readable(t.Context(), fake.New().Host().View(), parts()["link"]); err == nil {
			t.Errorf("%s: no error", family)
		}
	}
	m := fake.New()
	m.WriteFile("/usr/sbin/NetworkManager", "x")
	if err := netconf.NetworkManager.Readable(t.Context(), m.Host().View(), parts()["link"]); err != nil {
		t.Error(err)
	}
}

func TestNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		family netconf.Family
		part   netconf.Part
		files  netconf.Files
	}{
		"a bridge without a profile": {netconf.NetworkManager, netconf.Link{Device: "br0", Kind: "bridge", MTU: 1500}, nil},
		"a VLAN of 802.1ad":          {netconf.Netplan, netconf.VLAN{Device: "v", Link: "eth0", ID: 3, Protocol: "802.1ad"}, nil},
		"an option":                  {netconf.Netplan, netconf.Bridge{Device: "b", Options: map[string]string{"vlan_filtering": "1"}}, nil},
		"an anchor":                  {netconf.Netplan, parts()["link"], netconf.Files{"/etc/netplan/a.yaml": "network: &a {}\n"}},
		"in braces":                  {netconf.Netplan, parts()["one"], netconf.Files{"/etc/netplan/a.yaml": "network:\n  ethernets: {eth0: {addresses: [192.0.2.9/24]}}\n"}},
		"shipped":                    {netconf.Netplan, parts()["one"], netconf.Files{"/lib/netplan/a.yaml": "network:\n  ethernets:\n    eth0:\n      addresses: [192.0.2.9/24]\n"}},
	} {
		if g, err := c.family.Keep(c.files, c.part); err == nil {
			t.Errorf("%s: %q", name, g.Files)
		}
	}
}
