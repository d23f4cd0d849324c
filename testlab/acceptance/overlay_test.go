package acceptance

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/control/run"
)

var hosts = []string{"ubuntu1", "ubuntu2", "ubuntu3"}

// bare is what a host is before weft came: packages with versions and marks,
// files below /etc, links, namespaces, databases. The accounts that maintainer
// scripts make are not brought back, as the kind package says.
const bare = `dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' | sort
apt-mark showmanual | sort | sed 's/^/manual /'
find /etc -xdev \( -type f -printf '%p %m %u %g ' -exec sha256sum {} \; -o -type l -printf '%p -> %l\n' \) | awk '{print $1,$2,$3,$4,$5}' | grep -v -e '^/etc/ld.so.cache ' -e '^/etc/\(passwd\|group\|shadow\|gshadow\)-\? ' | sort
ip -o link | awk '{print $2}' | sort
ls /run/netns 2>/dev/null || true
ls -d /etc/openvswitch /var/lib/openvswitch /var/lib/ovn /var/log/ovn 2>/dev/null || true`

// TestOverlay is scenario S1 from bare hosts to bare hosts.
func TestOverlay(t *testing.T) {
	t.Parallel()
	labUp(t, inventory)
	found := map[string]string{}
	for _, h := range hosts {
		found[h] = on(t, h, bare)
	}

	first := converged(t, overlay, "-i", inventory)
	if changed(first) == 0 {
		t.Fatal("the first apply changed nothing")
	}
	overlayWorks(t)
	unchanged(t)
	t.Run("on the wire", onTheWire)

	t.Run("plan writes nothing", func(t *testing.T) {
		before := everything(t)
		if r := weft(t, "plan", overlay, "-i", inventory, "--detailed-exitcode"); r.exit != 0 {
			t.Errorf("a plan of a converged fleet: exit %d\n%s", r.exit, r.stdout)
		}
		if d := cmp.Diff(before, everything(t)); d != "" {
			t.Errorf("a plan changed the hosts:\n%s", d)
		}
	})

	t.Run("latency", func(t *testing.T) {
		said := must(t, "apply", "-y", overlay, "-i", inventory, "--tags", "probe")
		if n := len(regexp.MustCompile(`generation \d+, \d+ ms after ovn-northd took it up`).FindAllString(said, -1)); n != 4 {
			t.Errorf("%d of 4 probes say how long the chassis took:\n%s", n, said)
		}
	})
	t.Run("pictures", pictures)
	t.Run("traces", traces)

	runs := []string{first.Run}
	t.Run("drift", func(t *testing.T) {
		for _, d := range drifts {
			t.Run(d.what, func(t *testing.T) {
				on(t, d.host, d.command)
				repair := converged(t, overlay, "-i", inventory)
				if n := changed(repair); n != 1 {
					t.Errorf("%d steps changed, want the one that drifted", n)
				}
				runs = append(runs, repair.Run)
			})
		}
		overlayWorks(t)
		unchanged(t)
	})

	t.Run("rollback to bare hosts", func(t *testing.T) {
		if r := weft(t, "rollback", "-y", first.Run, "-i", inventory); r.exit != int(run.HostFailure) {
			t.Errorf("a run that repairs built on was taken back alone: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
		}
		overlayWorks(t)
		must(t, append([]string{"rollback", "-y", "-i", inventory}, runs...)...)
		for _, h := range hosts {
			if d := cmp.Diff(found[h], on(t, h, bare)); d != "" {
				t.Errorf("%s is not as it was found:\n%s", h, d)
			}
		}
	})

	t.Run("again from there", func(t *testing.T) {
		converged(t, overlay, "-i", inventory)
		overlayWorks(t)
	})

	t.Run("cold boot", func(t *testing.T) {
		must(t, "lab", "cold-boot", "-i", inventory)
		// All but the fake VMs is there without an apply.
		for _, h := range hosts[1:] {
			on(t, h, "for i in $(seq 100); do ss -Htn state established dst 10.127.0.2:6642 | grep -q . && exit 0; sleep 0.2; done; exit 1")
		}
		converged(t, overlay, "-i", inventory) // the fake VMs are made anew
		overlayWorks(t)
		unchanged(t)
	})

	t.Run("names that stay", namesThatStay)
	t.Run("reinstalled", reinstalled)
	t.Run("garbage", garbage)

	t.Run("migrate and tear down", func(t *testing.T) {
		converged(t, "playbooks/ovn-l2-overlay-migrate.hcl", "-i", inventory, "-e", "vm3_host=ubuntu2")
		bound(t, "ls1-vm3", "ubuntu2")
		converged(t, "playbooks/ovn-l2-overlay-migrate.hcl", "-i", inventory, "-e", "vm3_host=ubuntu3")
		bound(t, "ls1-vm3", "ubuntu3")
		converged(t, "playbooks/ovn-l2-overlay-teardown.hcl", "-i", inventory)
		if out := on(t, "ubuntu1", "ovn-nbctl ls-list"); strings.TrimSpace(out) != "" {
			t.Errorf("logical switches are left: %s", out)
		}
		for _, h := range hosts[1:] {
			if out := on(t, h, "ip netns list; ovs-vsctl --bare --columns=name find interface external_ids:iface-id!=x"); strings.Contains(out, "vm") {
				t.Errorf("%s: fake VMs are left: %s", h, out)
			}
		}
	})
}

// drifts are changes that another hand makes to what the playbook manages, each
// repaired by exactly one step. The fail mode of br-int is not among them: ovn-controller
// puts it right by itself, and its flows are gone then until it is restarted.
var drifts = []struct{ what, host, command string }{
	{"MAC of a fake VM", "ubuntu2", "ip -n vm1 link set eth0 down; ip -n vm1 link set eth0 address 02:ac:10:ff:00:99; ip -n vm1 link set eth0 up"},
	{"iface-id", "ubuntu2", "ovs-vsctl set interface $(ovs-vsctl --bare --columns=name find interface external_ids:iface-id=ls1-vm1) external_ids:iface-id=wrong"},
	{"encap address", "ubuntu2", "ovs-vsctl set open_vswitch . external_ids:ovn-encap-ip=10.127.0.99"},
	{"remote", "ubuntu3", "ovs-vsctl set open_vswitch . external_ids:ovn-remote=tcp:10.127.0.9:6642"},
	{"service stopped", "ubuntu3", "systemctl stop ovn-controller"},
	{"listener gone", "ubuntu1", "ovn-sbctl del-connection"},
	{"port security", "ubuntu1", "ovn-nbctl lsp-set-port-security ls1-vm1"},
	{"addresses", "ubuntu1", "ovn-nbctl lsp-set-addresses ls1-vm2 unknown"},
	{"port removed", "ubuntu1", "ovn-nbctl lsp-del ls1-vm1"},
	{"fake VM's MTU", "ubuntu2", "ip -n vm1 link set eth0 mtu 1300"},
	{"fake VM's address", "ubuntu3", "ip -n vm2 addr flush dev eth0"},
	{"fake VM's port", "ubuntu3", "ovs-vsctl --if-exists del-port $(ovs-vsctl --bare --columns=name find interface external_ids:iface-id=ls1-vm2)"},
	{"underlay address", "ubuntu3", "ip addr flush dev br-phy"},
	{"uplink removed", "ubuntu2", "ovs-vsctl del-port br-phy eth1"},
}

// overlayWorks looks with OVN's own tools, beside the probes of the playbook.
func overlayWorks(t *testing.T) {
	t.Helper()
	bound(t, "ls1-vm1", "ubuntu2")
	bound(t, "ls1-vm2", "ubuntu3")
	for _, h := range hosts[1:] {
		if out := on(t, h, "ss -Htn state established dst 10.127.0.2:6642"); strings.TrimSpace(out) == "" {
			t.Errorf("%s has no connection to the southbound database", h)
		}
		if mode := strings.TrimSpace(on(t, h, "ovs-vsctl get-fail-mode br-int")); mode != "secure" {
			t.Errorf("%s: fail mode of br-int is %q", h, mode)
		}
	}
	on(t, "ubuntu2", "ip netns exec vm1 ping -c 3 -i 0.2 -W 2 172.16.255.22")
}

// bound wants a logical port on a chassis, by its hostname.
func bound(t *testing.T, port, host string) {
	t.Helper()
	got := strings.Trim(strings.TrimSpace(on(t, "ubuntu1", "ovn-sbctl --bare get chassis $(ovn-sbctl --bare --columns=chassis find port_binding logical_port="+port+") hostname")), `"`)
	if got != host {
		t.Errorf("%s is bound to %q, want %s", port, got, host)
	}
}

// unchanged wants an apply that changes nothing.
func unchanged(t *testing.T) {
	t.Helper()
	if n := changed(converged(t, overlay, "-i", inventory)); n != 0 {
		t.Errorf("a second apply changed %d steps", n)
	}
}

// everything is the state that a plan must not touch, of all hosts.
func everything(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range hosts {
		out[h] = on(t, h, bare) + on(t, h, `ovsdb-client dump unix:/run/openvswitch/db.sock Open_vSwitch --format=csv | grep -v -e statistics -e '^[0-9a-f-]*,.*cpu=' | cut -c1-0
ovs-vsctl --format=csv --columns=name,external_ids,other_config,tag,type,mtu_request list interface; ovs-vsctl --format=csv --columns=external_ids,other_config list open_vswitch
find /var/lib/weft /run/weft -type f 2>/dev/null | sort; sysctl -a 2>/dev/null | grep -e '^net.ipv4.conf.*forwarding'`)
	}
	out["northbound"] = on(t, "ubuntu1", "ovsdb-client dump unix:/run/ovn/ovnnb_db.sock OVN_Northbound")
	return out
}

// onTheWire captures what leaves a chassis: geneve with the switch's own VNI for
// an honest VM; nothing for one that lies about its MAC, though its frames are
// seen leaving the guest.
func onTheWire(t *testing.T) {
	for _, h := range hosts[1:] {
		on(t, h, "command -v tcpdump >/dev/null || { apt-get -qq update && apt-get -qq -y install tcpdump; } >/dev/null 2>&1")
	}
	t.Cleanup(func() {
		for _, h := range hosts[1:] {
			on(t, h, "apt-get -qq -y purge --auto-remove tcpdump >/dev/null 2>&1")
		}
	})
	key := strings.TrimSpace(on(t, "ubuntu1", "printf %x $(ovn-sbctl --bare --columns=tunnel_key find datapath_binding external_ids:name=ls1)"))
	honest := on(t, "ubuntu3", beside(capture("eth1", "udp port 6081", 2), "ip netns exec vm2 ping -c 2 -i 0.2 172.16.255.11 >/dev/null"))
	if !strings.Contains(honest, "Geneve") || !strings.Contains(honest, "vni 0x"+key) {
		t.Errorf("no geneve with vni 0x%s on the underlay:\n%s", key, honest)
	}
	lie := "ether src 02:ac:10:ff:00:66"
	ping := "ip netns exec mallory ping -c 2 -i 0.2 -W 1 172.16.255.22 >/dev/null 2>&1 || true"
	if leaves := on(t, "ubuntu2", beside(capture("mallory", lie, 1), ping)); !strings.Contains(leaves, "02:ac:10:ff:00:66") {
		t.Errorf("no frame of mallory was seen leaving the guest:\n%s", leaves)
	}
	if tunnel := on(t, "ubuntu2", beside(capture("eth1", "udp port 6081", 50)+" | grep -i 02:ac:10:ff:00:66 || true", ping)); tunnel != "" {
		t.Errorf("mallory's frames are in the tunnel:\n%s", tunnel)
	}
}

// capture prints the frames that pass a device within a few seconds.
func capture(device, filter string, count int) string {
	return fmt.Sprintf("{ timeout 4 tcpdump -nn -e -l -c %d -i %s '%s' 2>/dev/null || true; }", count, device, filter)
}

// beside runs a command in the background of another.
func beside(command, background string) string {
	return "{ sleep 1; " + background + "; } & { " + command + "; }; wait"
}
