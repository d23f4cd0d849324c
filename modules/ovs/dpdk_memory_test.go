package ovs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/modules/ovs"
)

const mountedHuge = "21 1 254:0 / / rw - ext4 /dev/vda1 rw\n36 25 0:31 / /dev/hugepages rw,relatime shared:16 - hugetlbfs hugetlbfs rw,pagesize=2M\n"

// domainOf is a guest on node 1 with so many GiB in these pages.
func domainOf(gib, pages string) string {
	return fmt.Sprintf(`<domain type="kvm"><name>g1</name><memory unit="MiB">%s</memory><memoryBacking><hugepages>%s</hugepages></memoryBacking>`+
		`<numatune><memory mode="strict" nodeset="1"/></numatune><os><type>hvm</type></os></domain>`, gib, pages)
}

// TestMemoryThatDPDKTakes: however it was asked for.
func TestMemoryThatDPDKTakes(t *testing.T) {
	release := func(version string) func(*fake.Machine) {
		return func(m *fake.Machine) {
			m.Program("ovs-vswitchd", func(*fake.Machine, host.Command) host.Result {
				return host.Result{Stdout: []byte("ovs-vswitchd (Open vSwitch) " + version + "\nDPDK 20.11\n")}
			})
		}
	}
	starts := func(domain string) func(*fake.Machine) {
		return func(m *fake.Machine) {
			m.SetHugepages(1, 1<<20, 1)
			m.AddLibvirt()
			m.Define(host.VirtualDomain, "g1", domain)
			m.Virsh(host.VirtualAutostart, host.VirtualDomain, "g1")
		}
	}
	mounts := func(text string, gigantic int) func(*fake.Machine) {
		return func(m *fake.Machine) {
			m.SetKernel("/proc/self/mountinfo", text)
			m.SetHugepages(1, 1<<20, gigantic)
		}
	}
	both := mountedHuge + "37 25 0:32 / /mnt/huge rw - hugetlbfs x rw,pagesize=1024M\n"
	for _, tt := range []struct {
		name string
		has  func(*fake.Machine)
		spec ovs.ConfigSpec
		says string // of an error; none where empty
	}{ // node 0 has 1024 MB in pages of 2M, node 1 512 MB
		{"of any node, enough", nil, dpdk("dpdk-alloc-mem", "1536"), ""},
		{"of any node, too much", nil, dpdk("dpdk-alloc-mem", "1537"), "the host: wanted 1537 MB (dpdk-alloc-mem 1537 on any node), got 1536 MB"},
		{"dpdk-socket-mem wins", nil, dpdk("dpdk-alloc-mem", "4096", "dpdk-socket-mem", "512,512"), ""},
		{"in dpdk-extra", nil, dpdk("dpdk-extra", "-m 2048"), "wanted 2048 MB (-m 2048 on any node)"},
		{"in dpdk-extra, in one word", nil, dpdk("dpdk-extra", "--no-pci -m2048"), "wanted 2048 MB"},
		{"by node in dpdk-extra", nil, dpdk("dpdk-extra", "--socket-mem=1024,1024"), "node 1: wanted 1024 MB (--socket-mem 1024), got 512 MB"},
		{"no number", nil, dpdk("dpdk-alloc-mem", "1G"), "no number of megabytes"},
		{"left out", nil, dpdk(), ""},
		{"left out, of 2.17", release("2.17.0"), dpdk(), ""},
		{"left out, before 2.17", release("2.16.9"), dpdk(), "node 1: wanted 1024 MB (dpdk-socket-mem left out 1024), got 512 MB"},
		{"left out of any node, before 2.17", release("2.16.9"), dpdk("dpdk-alloc-mem", "64"), ""},
		{"a guest in pages of another size", starts(domainOf("1024", `<page size="1" unit="GiB"/>`)), dpdk("dpdk-socket-mem", "0,512"), ""},
		{"a guest in pages that another size does not make up for", starts(domainOf("1024", "")), dpdk("dpdk-socket-mem", "0,512"),
			"node 1: wanted 1536 MB (dpdk-socket-mem 512, guest g1 1024), got 1024 MB in pages of 1G and 512 MB in pages of 2M"},
		{"a guest that fills no page", starts(domainOf("1025", `<page size="1" unit="GiB"/>`)), dpdk("dpdk-socket-mem", "0,0"), "node 1: wanted 1025 MB"},
		{"a guest's node without pages", starts(domainOf("4096", `<page size="2" unit="MiB" nodeset="1"/>`)), dpdk("dpdk-socket-mem", "0,512"), ""},
		{"DPDK takes both sizes", mounts(both, 1), dpdk("dpdk-socket-mem", "0,1536"), ""},
		{"a page that DPDK does not fill", nil, dpdk("dpdk-socket-mem", "0,511"), ""},
		{"DPDK rounds up", mounts(both, 1), dpdk("dpdk-socket-mem", "0,1537"), "node 1: wanted 1537 MB"},
		{"a size that is not mounted", mounts(mountedHuge, 1), dpdk("dpdk-socket-mem", "0,1024"), ""},
		{"a size that is not mounted, of the legacy kind", mounts(mountedHuge, 1), dpdk("dpdk-socket-mem", "0,1024", "dpdk-extra", "--legacy-mem"), "1024 MB in pages of 1G, for which no hugetlbfs is mounted (a step mount) and 512 MB in pages of 2M"},
		{"nothing is mounted", mounts("21 1 254:0 / / rw - ext4 /dev/vda1 rw\n", 0), dpdk("dpdk-extra", "--legacy-mem"), "no hugetlbfs is mounted"},
		{"it needs no mount", mounts("21 1 254:0 / / rw - ext4 /dev/vda1 rw\n", 0), dpdk("dpdk-extra", "--in-memory"), ""},
		{"the one that it is told of", mounts(both, 1), dpdk("dpdk-socket-mem", "0,1024", "dpdk-hugepage-dir", "/dev/hugepages", "dpdk-extra", "--legacy-mem"), "node 1: wanted 1024 MB"},
		{"the other one", mounts(both, 1), dpdk("dpdk-socket-mem", "0,1024", "dpdk-extra", "--legacy-mem --huge-dir /mnt/huge"), ""},
		{"a guest that prefers its node", starts(strings.Replace(domainOf("1024", ""), "<memory mode=\"strict\"", "<memory mode=\"preferred\"", 1)), dpdk("dpdk-socket-mem", "0,512"), ""},
		{"it tries, and does without", nil, dpdk("dpdk-init", "try", "dpdk-socket-mem", "0,1537"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := hypervisor(512, 256)
			if tt.has != nil {
				tt.has(m)
			}
			_, err := made(t, "ovs_config", tt.spec).Check(t.Context(), m.Host().View())
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("%v does not say %q", err, tt.says)
			case strings.Contains(tt.says, "wanted") && !errors.Is(err, step.ErrNotYet):
				t.Errorf("%v may be mended by an earlier step", err)
			}
		})
	}
}

// TestDPDKLeftPagesBehind: what a dead ovs-vswitchd left in files the next one
// takes away.
func TestDPDKLeftPagesBehind(t *testing.T) {
	m := hypervisor(512, 0)
	m.SetKernel("/proc/self/mountinfo", mountedHuge)
	m.UseHugepages(0, 2048, 512)
	page := strings.Repeat("\x00", 2<<20)
	for n := range 8 {
		m.WriteFile(fmt.Sprintf("/dev/hugepages/rtemap_%d", n), page)
	}
	m.WriteFile("/dev/hugepages/pgmap_0", page) // of another program
	check := func(mb string) error {
		_, err := made(t, "ovs_config", dpdk("dpdk-socket-mem", mb)).Check(t.Context(), m.Host().View())
		return err
	}
	if err := check("16"); err == nil {
		t.Error("it runs, and what it has is not left behind")
	}
	m.FailUnit("ovs-vswitchd.service")
	if err := check("16"); err != nil {
		t.Error(err)
	}
	if err := check("18"); err == nil || !strings.Contains(err.Error(), "got 16 MB") {
		t.Errorf("18 MB of 16: %v", err)
	}
	if err := check("0,2"); err == nil {
		t.Error("they lie on a node that has none")
	}
}

// TestGuestsOfADeadLibvirtd: whose pages nobody counts.
func TestGuestsOfADeadLibvirtd(t *testing.T) {
	m := hypervisor(512, 512)
	s := made(t, "ovs_config", dpdk("dpdk-socket-mem", "512,512"))
	said := func() bool {
		return slices.ContainsFunc(check(t, m, s).Warnings, func(w string) bool { return strings.Contains(w, "libvirtd does not answer") })
	}
	if said() {
		t.Error("there is no libvirtd")
	}
	m.WriteFile("/etc/libvirt/qemu/g1.xml", domainOf("1024", ""))
	if !said() {
		t.Error("nothing is said of it")
	}
}

// TestMasksThatCannotBe are diagnostics, and refused where another hand wrote them.
func TestMasksThatCannotBe(t *testing.T) {
	beyond := "0x1" + strings.Repeat("0", 32) // processor 128
	for _, tt := range []struct{ key, mask, says string }{
		{"dpdk-lcore-mask", "0x0", "no processor"}, {"pmd-cpu-mask", "0", "no port of DPDK is polled"}, {"pmd-cpu-mask", "xyz", "no mask"},
		{"dpdk-lcore-mask", beyond, "has processor 128"}, {"dpdk-lcore-mask", "0x80000000000000000000000000000000", ""}, {"pmd-cpu-mask", beyond, ""}, {"dpdk-lcore-mask", "0x1", ""},
	} {
		spec := dpdk(tt.key, tt.mask)
		problems := spec.Validate()
		switch {
		case tt.says == "" && len(problems) > 0:
			t.Errorf("%s = %s: %v", tt.key, tt.mask, problems)
		case tt.says == "":
			continue
		case len(problems) != 1 || problems[0].Path != "other_config."+tt.key || !strings.Contains(problems[0].Message, tt.says):
			t.Errorf("%s = %s: %v", tt.key, tt.mask, problems)
		}
		m := hypervisor(512, 512)
		ovsVsctl(m, []string{"set", "open_vswitch", ".", "other_config:" + tt.key + "=" + tt.mask})
		if _, err := made(t, "ovs_config", dpdk()).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("another hand's %s = %s: %v", tt.key, tt.mask, err)
		}
	}
}
