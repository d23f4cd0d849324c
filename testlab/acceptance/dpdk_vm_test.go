package acceptance

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answering is a guest that is a program: dpdk-testpmd listens where qemu would, with
// a card of virtio, and answers pings. Its processor is that of the host's other
// programs, which come first.
const answering = `[Unit]
After=local-fs.target

[Service]
ExecStart=/usr/bin/dpdk-testpmd --lcores 0@0,1@0 --no-pci --file-prefix=guest --single-file-segments --socket-mem 48 --vdev=net_virtio_user0,mac=%s,path=/var/lib/vhost-user/%s.sock,server=1 -- --forward-mode=icmpecho --auto-start --stats-period=3600 --total-num-mbufs=4096 --no-numa
Restart=always
RestartSec=10
Nice=19

[Install]
WantedBy=multi-user.target
`

// TestDPDKMachines is scenario S3 on machines with kernels of their own: huge pages on
// two nodes, NICs that VFIO has, an LACP bond of them between the two machines. The guests
// are dpdk-testpmd, which answers pings on the vhost-user ports. `make dpdk` runs it: it
// boots virtual machines four times.
func TestDPDKMachines(t *testing.T) {
	if os.Getenv("WEFT_DPDK") == "" {
		t.Skip("boots virtual machines for half an hour; make dpdk runs it")
	}
	s := scenario{inventory: "inventories/ovs-dpdk-vm.hcl", hosts: []string{"hyper1", "hyper2"}, playbooks: []string{dpdkHypervisor}}
	labUp(t, s.inventory)
	for host, guest := range map[string][]string{"hyper1": {"52:54:00:53:01:11", "t1"}, "hyper2": {"52:54:00:53:01:22", "t2"}} {
		s.on(t, host, "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install dpdk-dev librte-net-virtio23 librte-bus-vdev23 librte-mempool-ring23 >/dev/null"+
			" && mkdir -p /var/lib/vhost-user && cat > /etc/systemd/system/guest.service <<'END'\n"+fmt.Sprintf(answering, guest[0], guest[1])+"END\nsystemctl enable --now guest")
	}
	found := map[string]string{}
	for _, h := range s.hosts {
		found[h] = s.state(t, h) + s.on(t, h, server)
	}
	s.apply(t, dpdkHypervisor, "--var", "at_a_time=2")
	s.passes(t)
	s.unchanged(t)
	t.Run("restart", func(t *testing.T) {
		s.on(t, "hyper1", "systemctl restart ovs-vswitchd")
		s.unchanged(t)
		s.passes(t)
	})
	t.Run("too much", func(t *testing.T) {
		short := s.changed(t, `"256,64"`, `"256,4096"`)
		if r := weft(t, "plan", dpdkHypervisor, "-i", short, "-l", "hyper1"); !strings.Contains(r.stdout, "node 1: wanted 4096 MB (dpdk-socket-mem 4096), got ") {
			t.Errorf("the plan does not say what is missing:\n%s%s", r.stdout, r.stderr)
		}
	})
	t.Run("reboot", func(t *testing.T) {
		for _, h := range s.hosts {
			must(t, "lab", "reboot", "-i", s.inventory, h)
		}
		s.unchanged(t)
		s.passes(t)
	})
	t.Run("rollback", func(t *testing.T) {
		must(t, append([]string{"rollback", "-y", "-i", s.inventory}, s.standing(t)...)...)
		for _, h := range s.hosts {
			if d := cmp.Diff(found[h], s.state(t, h)+s.on(t, h, server)); d != "" {
				t.Errorf("%s is not as it was found:\n%s", h, d)
			}
		}
	})
}

// passes pings the guest of the other machine, by its MAC, for either guest answers
// for any address; and looks where the bridge knows it to be.
func (s scenario) passes(t *testing.T) {
	t.Helper()
	for host, other := range map[string][2]string{"hyper1": {"52:54:00:53:01:22", "172.31.30.22"}, "hyper2": {"52:54:00:53:01:11", "172.31.30.11"}} {
		seen := s.on(t, host, fmt.Sprintf("ip neigh replace %[2]s lladdr %[1]s dev gw300 nud permanent; ping -c 5 -i 0.5 -W 5 %[2]s; ip neigh del %[2]s dev gw300; ovs-appctl fdb/show ovsbr0; ovs-appctl dpif-netdev/pmd-rxq-show; ovs-vsctl --columns=name,ofport,statistics list interface dpdk0 dpdk1", other[0], other[1]))
		if strings.Contains(seen, "100% packet loss") || !strings.Contains(seen, other[0]) {
			t.Errorf("from %s the guest %s does not answer:\n%s", host, other[1], seen)
		}
		t.Logf("%s:\n%s", host, seen)
	}
}
