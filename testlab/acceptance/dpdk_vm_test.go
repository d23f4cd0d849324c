package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answering is a guest that is a program: dpdk-testpmd listens where qemu would, with
// a card of virtio, and answers pings. Its processor is that of the host's other
// programs, which come first, and its libraries are its own: packages take minutes to
// install on an emulated machine.
const answering = `[Unit]
After=local-fs.target

[Service]
RootDirectory=/srv/testpmd
MountAPIVFS=yes
BindPaths=/dev /sys /run /var/lib/vhost-user
ExecStart=/usr/bin/dpdk-testpmd --lcores 0@0,1@0 --no-pci --file-prefix=guest --single-file-segments --socket-mem 48 --vdev=net_virtio_user0,mac=%s,path=/var/lib/vhost-user/%s.sock,server=1 -- --forward-mode=icmpecho --auto-start --stats-period=3600 --total-num-mbufs=4096 --no-numa
Restart=always
RestartSec=10
Nice=19

[Install]
WantedBy=multi-user.target
`

// testpmd makes an archive of dpdk-testpmd, its drivers and all libraries that they want.
func testpmd(t *testing.T) (archive string) {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	const drivers = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_"
	wanted := []string{"/usr/bin/dpdk-testpmd", drivers + "bus_vdev.so.23.0", drivers + "mempool_ring.so.23.0", drivers + "net_virtio.so.23.0"}
	out, err := exec.Command("mmdebstrap", "--variant=extract", "--include=dpdk-dev,librte-bus-vdev23,librte-mempool-ring23,librte-net-virtio23", "bookworm", tree).CombinedOutput()
	if err != nil {
		t.Fatalf("fetch dpdk-testpmd: %v: %s", err, out)
	}
	const loader = "/lib64/ld-linux-x86-64.so.2"
	files := map[string]bool{loader: true}
	for _, w := range wanted {
		files[w] = true
		libraries, err := exec.Command("chroot", tree, loader, "--list", w).Output()
		if err != nil {
			t.Fatalf("libraries of %s: %v", w, err)
		}
		for _, path := range regexp.MustCompile(`(?m)=> (/\S+)`).FindAllSubmatch(libraries, -1) {
			files[string(path[1])] = true
		}
	}
	archive = filepath.Join(dir, "testpmd.tar")
	args := []string{"-C", tree, "--dereference", "--transform", "s,^,srv/testpmd/,", "-cf", archive}
	for f := range files {
		args = append(args, strings.TrimPrefix(f, "/"))
	}
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
		t.Fatalf("pack it: %v: %s", err, out)
	}
	return archive
}

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
	program := testpmd(t)
	for host, guest := range map[string][]string{"hyper1": {"52:54:00:53:01:11", "t1"}, "hyper2": {"52:54:00:53:01:22", "t2"}} {
		put(t, sshConfigOf(t, s.inventory), host, program, "/root/testpmd.tar")
		s.on(t, host, "tar -C / -xf /root/testpmd.tar && rm /root/testpmd.tar && mkdir -p /srv/testpmd/var /var/lib/vhost-user && ln -s /run /srv/testpmd/var/run"+
			" && cat > /etc/systemd/system/guest.service <<'END'\n"+fmt.Sprintf(answering, guest[0], guest[1])+"END\nsystemctl enable --now guest")
	}
	found := map[string]string{}
	for _, h := range s.hosts {
		found[h] = s.state(t, h) + s.on(t, h, server)
	}
	long(t, "apply", "-y", dpdkHypervisor, "-i", s.inventory, "--var", "at_a_time=2")
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
		long(t, append([]string{"rollback", "-y", "-i", s.inventory}, s.standing(t)...)...)
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
