package ifupdown_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/host/ifupdown"
)

const installer = `# The primary network interface
allow-hotplug eth0
iface eth0 inet static
	address 192.0.2.5/24
	gateway 192.0.2.1
	# dns-* options are implemented by the resolvconf package
	dns-nameservers 192.0.2.1
	mtu 1400
	up ip -6 r a 2001:db8::/32 \
	  dev eth0
	up ip link set $IFACE txqueuelen 100
iface eth0:1 inet static
	address 192.0.2.6/24
iface eth0 inet6 auto

auto eth1
iface eth1 inet dhcp
iface br0 inet static
	bridge_ports eth2
	address 198.51.100.1/24`

func TestRelease(t *testing.T) {
	text := ifupdown.Parse([]byte(installer))
	eth0 := text.Release("eth0")
	want := `# The primary network interface
allow-hotplug eth0
#weft 1 eth0= iface eth0 inet static
iface eth0 inet manual
#weft 1 eth0: 	address 192.0.2.5/24
#weft 1 eth0: 	gateway 192.0.2.1
	# dns-* options are implemented by the resolvconf package
	dns-nameservers 192.0.2.1
	mtu 1400
#weft 1 eth0: 	up ip -6 r a 2001:db8::/32 \
#weft 1 eth0: 	  dev eth0
	up ip link set $IFACE txqueuelen 100
#weft 1 eth0= iface eth0:1 inet static
iface eth0:1 inet manual
#weft 1 eth0: 	address 192.0.2.6/24
iface eth0 inet6 auto

auto eth1
iface eth1 inet dhcp
iface br0 inet static
	bridge_ports eth2
	address 198.51.100.1/24`
	if eth0.String() != want {
		t.Errorf("released:\n%s", eth0)
	}
	if eth0.Gives("eth0") || !eth0.Gives("eth1") || !eth0.Gives("br0") {
		t.Error("it gives the wrong devices addresses")
	}
	all := eth0.Release("br0").Release("eth1")
	if got := all.Interfaces("br0"); len(got) != 1 || got[0].Method != "manual" || !slices.Equal(got[0].Options[0], []string{"bridge_ports", "eth2"}) {
		t.Errorf("a bridge keeps what makes it: %+v", got)
	}
	if got := all.Restore("eth0").Restore("br0").Restore("eth1").String(); got != installer {
		t.Errorf("restored:\n%s", got)
	}
}

// An operator who writes a new stanza after a release meets a second release;
// each is taken back alone.
func TestReleaseTwice(t *testing.T) {
	first := ifupdown.Parse([]byte("iface eth0 inet dhcp\n")).Release("eth0")
	edited := "iface eth0 inet static\n address 192.0.2.9/24\n" + first.String()
	second := ifupdown.Parse([]byte(edited)).Release("eth0")
	if second.Gives("eth0") {
		t.Errorf("it still gives:\n%s", second)
	}
	if got := second.Restore("eth0").String(); got != edited {
		t.Errorf("the second is taken back to\n%s", got)
	}
	if same := first.Release("eth0").String(); same != first.String() {
		t.Errorf("nothing was left to release, and it made\n%s", same)
	}
	if same := ifupdown.Parse([]byte(installer)).Restore("eth0").String(); same != installer {
		t.Error("a restore of what was not released changed it")
	}
}

func TestRead(t *testing.T) {
	m := fake.New()
	m.WriteFile("/etc/network/interfaces", "source interfaces.d/*.cfg more\nsource-directory /etc/network/dir\nsource /nowhere/*\nsource \\\n /etc/network/joined\n# source /etc/network/not\n")
	for _, f := range []string{"interfaces.d/b.cfg", "interfaces.d/a.cfg", "interfaces.d/c", "interfaces.d/.d.cfg", "more", "dir/plain", "dir/not.plain", "joined", "not"} {
		m.WriteFile("/etc/network/"+f, "source /etc/network/interfaces\n") // and round again
	}
	m.Mkdir("/etc/network/dir/deeper")
	files, err := ifupdown.Read(context.Background(), m.Host().Files)
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.Name, "/etc/network/"))
	}
	if want := []string{"interfaces", "interfaces.d/a.cfg", "interfaces.d/b.cfg", "more", "dir/plain", "joined"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v %v", names, err)
	}
	m.Remove("/etc/network/interfaces")
	if files, err := ifupdown.Read(context.Background(), m.Host().Files); err != nil || len(files) > 0 {
		t.Errorf("without the main file: %v %v", files, err)
	}
}

// Wildcards stand anywhere in a path; what a shell alone expands is refused.
func TestReadSourced(t *testing.T) {
	for source, want := range map[string]string{
		"source /etc/network/m*/x.cfg": "/etc/network/more/x.cfg", "source-directory /etc/network/m*": "/etc/network/more/nics",
		`source "/etc/network/more/x.cfg"`: "", "source ~root/x.cfg": "", "source $HOME/x": "",
	} {
		m := fake.New()
		m.WriteFile(ifupdown.MainFile, "auto lo\n"+source+"\n")
		m.WriteFile("/etc/network/more/x.cfg", "auto eth0\n")
		m.WriteFile("/etc/network/more/nics", "auto eth0\n")
		m.WriteFile("/etc/network/mean", "")
		files, err := ifupdown.Read(t.Context(), m.Host().View().Files)
		if (err != nil) != (want == "") || err == nil && (len(files) != 2 || files[1].Name != want) || err != nil && !strings.Contains(err.Error(), ifupdown.MainFile) {
			t.Errorf("%s: %v %+v", source, err, files)
		}
	}
}

func TestPath(t *testing.T) {
	got := ifupdown.Port.Path("vlan.3/x")
	if got != "/etc/network/interfaces.d/weft-port-vlan_2e3_2fx" || ifupdown.PurposeOf(got) != ifupdown.Port {
		t.Error(got)
	}
	if p := ifupdown.PurposeOf("/etc/network/interfaces.d/weft-end"); p != "" {
		t.Errorf("an operator's file is one of %s", p)
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{installer, "iface eth0 inet static\\\n", "iface \\\neth0 inet \\\n static # x\n address 1 \\", "auto eth0\r\niface eth0 inet dhcp\r\n", "# \\\niface eth0 inet static", "iface eth0 inet6 manual\nup ip a\n", "\\"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text := ifupdown.Parse(content)
		if text.String() != string(content) {
			t.Fatalf("%q came back as %q", content, text.String())
		}
		if strings.Contains(string(content), "#weft") {
			return // marks of ours, or what looks like them
		}
		released := text.Release("eth0")
		if released.Gives("eth0") {
			t.Fatalf("%q still gives: %q", content, released)
		}
		if got := released.Restore("eth0").String(); got != string(content) {
			t.Fatalf("%q was restored to %q", content, got)
		}
		if a, b := text.Interfaces("eth1"), released.Interfaces("eth1"); len(a) != len(b) {
			t.Fatalf("%q: another device had %d stanzas and has %d", content, len(a), len(b))
		}
	})
}
