package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/control/run"
)

const libvirtGuests = "playbooks/libvirt-ovs-guests.hcl"

// TestLibvirtGuests is virtual machines of libvirt on Open vSwitch: on an access
// port, on a trunk, and with a card that is plugged in while they run.
func TestLibvirtGuests(t *testing.T) {
	s := scenario{
		inventory: "inventories/libvirt-guests.hcl", hosts: []string{"hyper1"}, playbooks: []string{libvirtGuests}, works: guestsWork,
		drifts: []drift{
			{"another tag of the group", "hyper1", "virsh -q net-update ovsnw modify portgroup \"<portgroup name='vlan300'><vlan><tag id='333'/></vlan></portgroup>\" --live --config", 0},
			{"a network that is down", "hyper1", "virsh -q net-destroy ovsnw", 0},
			{"a network that does not start by itself", "hyper1", "virsh -q net-autostart --disable ovsnw", 0},
			{"another memory", "hyper1", "virsh -q setmaxmem access 256M --config", 0},
			{"a guest that does not start by itself", "hyper1", "virsh -q autostart --disable trunk", 0},
			{"a card that is gone", "hyper1", unplug("access", "network", "52:54:00:14:02:10") + " --config", 0},
			{"a card that is gone until the next start", "hyper1", unplug("access", "network", "52:54:00:14:02:10"), 0},
			{"a gateway in another VLAN", "hyper1", "ovs-vsctl set port gw300 tag=11", 0},
			{"a guest that was shut off", "hyper1", "virsh -q destroy trunk", 0},
		},
		before: guestImage,
	}
	s.run(t)
}

func guestsWork(t *testing.T, s scenario) {
	t.Helper()
	out := s.on(t, "hyper1", "for to in 172.31.0.10 172.31.1.20 172.31.2.20 172.31.2.10; do ping -c 3 -i 0.3 -W 2 $to; done; true")
	if strings.Contains(out, "100% packet loss") {
		t.Errorf("a guest does not answer:\n%s", out)
	}
	// Open vSwitch has what the groups say, by the cards' MACs.
	for mac, want := range map[string]string{
		"52:54:00:14:00:10": "300 [] []",
		"52:54:00:14:00:20": "301 [301, 302] native-untagged",
		"52:54:00:14:02:10": "302 [] []",
	} {
		port := s.on(t, "hyper1", "set -- $(ovs-vsctl --bare --columns=name find interface 'external_ids:attached-mac=\""+mac+"\"'); ovs-vsctl get port $1 tag trunks vlan_mode")
		if got := strings.Join(strings.Fields(strings.ReplaceAll(port, "\n", " ")), " "); got != want {
			t.Errorf("the port of %s has %s, want %s", mac, got, want)
		}
	}
}

// unplug is a command that takes a card from a machine that runs, and is over when
// its guest has let go of it.
func unplug(domain, kind, mac string) string {
	card := fmt.Sprintf("<interface type='%s'><mac address='%s'/><source network='ovsnw' bridge='br-int'/></interface>", kind, mac)
	return fmt.Sprintf(`gone() { for i in $(seq 60); do virsh dumpxml %[1]s | grep -q "mac address='%[2]s'" || return 0; sleep 1; done; return 1; }
		trap gone EXIT; echo "%[3]s" | virsh -q detach-device %[1]s /dev/stdin --live`, domain, mac, card)
}

const (
	attachGuests  = "playbooks/libvirt-ovn-attach.hcl"
	migrateGuests = "playbooks/vm-migrate.hcl"
)

// TestLibvirtOnOVN is machines of two hypervisors on one logical switch: what Open
// vSwitch calls their cards is read where they run, and used where OVN is.
func TestLibvirtOnOVN(t *testing.T) {
	s := scenario{
		inventory: "inventories/libvirt-ovn.hcl", hosts: []string{"hyper1", "hyper2"}, playbooks: []string{attachGuests, migrateGuests},
		works: attachedWorks, before: guestImage, memory: []string{"fake_vm."},
		more: func(t *testing.T, s scenario) {
			deadGuest(t, s)
			movedGuest(t, s)
		},
		drifts: []drift{
			{"a card that is unplugged", "hyper2", unplug("g2", "bridge", "52:54:00:16:00:22"), 0},
			{"a machine that was shut off", "hyper2", "virsh -q destroy g2", 0},
			{"a logical port that is gone", "hyper1", "ovn-nbctl lsp-del $(ovn-nbctl --bare --columns=name find logical_switch_port 'external_ids:weft-owner=\"lab/ovn_switch_port.guest[\\\"g2\\\"]\"')", 2},
		},
	}
	s.run(t)
}

func attachedWorks(t *testing.T, s scenario) {
	t.Helper()
	out := s.on(t, "hyper1", "for to in 172.16.22.11 172.16.22.22; do ip netns exec observer ping -c 3 -i 0.3 -W 2 $to; done; true")
	if strings.Contains(out, "100% packet loss") {
		t.Errorf("a machine does not answer:\n%s", out)
	}
	for host, mac := range map[string]string{"hyper1": "52:54:00:16:00:11", "hyper2": "52:54:00:16:00:22"} {
		id := portOf(t, s, host, mac)
		if up := strings.TrimSpace(s.on(t, "hyper1", "ovn-nbctl lsp-get-up "+id)); id == "" || up != "up" {
			t.Errorf("the logical port %q of the card %s is %s", id, mac, up)
		}
	}
}

// portOf is the name of the logical port of a card.
func portOf(t *testing.T, s scenario, host, mac string) string {
	t.Helper()
	return strings.TrimSpace(s.on(t, host, "ovs-vsctl --bare --columns=external_ids find interface 'external_ids:attached-mac=\""+mac+"\"' | tr ' ' '\\n' | sed -n s/^iface-id=//p"))
}

// deadGuest has another hand take a machine away: its ports go once it is on no
// host and every host said so, and not before; those of the other machine stay.
func deadGuest(t *testing.T, s scenario) {
	port, other := portOf(t, s, "hyper2", "52:54:00:16:00:22"), portOf(t, s, "hyper1", "52:54:00:16:00:11")
	gc := func(what string, want run.Exit, args ...string) string {
		t.Helper()
		r := weft(t, append([]string{"gc", "-i", s.inventory, "-e", "after=2s"}, args...)...)
		if r.exit != int(want) {
			t.Errorf("%s: gc ends with %d, want %d\n%s%s", what, r.exit, want, r.stdout, r.stderr)
		}
		return r.stdout
	}
	holds := func(what string, want ...string) {
		t.Helper()
		ports := strings.Fields(s.on(t, "hyper1", "ovn-nbctl --bare --columns=name list logical_switch_port"))
		want = append(want, other, "ls1-observer")
		slices.Sort(ports)
		slices.Sort(want)
		if !slices.Equal(ports, want) {
			t.Errorf("%s: the logical ports are %q, want %q", what, ports, want)
		}
	}
	gc("all are well", run.OK, "--plan", "--detailed-exitcode")

	definition := s.on(t, "hyper2", "virsh dumpxml --inactive g2; virsh -q destroy g2; virsh -q undefine g2")
	define := "cat > /tmp/g2.xml <<'END'\n" + definition + "\nEND\nvirsh -q define /tmp/g2.xml"
	s.on(t, "hyper1", define)
	s.on(t, "hyper1", "for i in $(seq 100); do [ $(ovn-nbctl lsp-get-up "+port+") = down ] && exit 0; sleep 0.2; done; exit 1")
	gc("moved to another host by hand", run.OK, "--plan", "--detailed-exitcode")

	s.on(t, "hyper1", "virsh -q undefine g2")
	must(t, "lab", "cut", "-i", s.inventory, "--network", "management", "hyper2")
	out := gc("dead, with a host out of reach", run.NoContact, "-y")
	must(t, "lab", "mend", "-i", s.inventory, "hyper2")
	if !strings.Contains(out, "host hyper2 was not asked for its guests") {
		t.Errorf("nobody said why the port stays:\n%s", out)
	}
	holds("dead, with a host out of reach", port)

	const left = "ovs-vsctl list-ports br-int | grep -x left2; true"
	s.on(t, "hyper2", "ovs-vsctl --no-wait add-port br-int left2 -- set interface left2 external_ids:iface-id="+port+"; ovs-vsctl --timeout=10 wait-until interface left2 ofport=-1")
	if out := gc("dead", run.OK, "-y"); !strings.Contains(out, "guests.stale."+port) || !strings.Contains(out, "for the first time") {
		t.Errorf("the plan does not name what goes:\n%s", out)
	}
	holds("dead")
	s.on(t, "hyper2", "sleep 2.1")
	gc("dead, the second time", run.OK, "-y")
	if is := s.on(t, "hyper2", left); is != "" {
		t.Errorf("br-int still has the port %s", is)
	}
	gc("all is gone", run.OK, "--plan", "--detailed-exitcode")
	if out := s.on(t, "hyper1", "ip netns exec observer ping -c 3 -i 0.3 -W 2 172.16.22.11; true"); strings.Contains(out, "100% packet loss") {
		t.Errorf("the other machine does not answer:\n%s", out)
	}

	s.on(t, "hyper2", define+"; virsh -q autostart g2; virsh -q start g2")
	if steps := s.repair(t); !slices.Equal(steps, []string{`ovn_switch_port.guest["g2"]`, `vm_migrate.guest["g2"]`}) {
		t.Errorf("with the machine back %q changed, want its port alone, and where it is bound", steps)
	}
	s.works(t, s)
}
