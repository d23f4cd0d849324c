package facts

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// bigMachine has two nodes, an IOMMU, two NICs and things nobody asks for.
func bigMachine() *fake.Machine {
	m := fake.New()
	for name, value := range map[string]string{
		"/proc/cmdline":                          `BOOT_IMAGE=/vmlinuz ro dyndbg="file a.c +p" hugepagesz=1G hugepages=2 -- single`,
		"/sys/devices/system/node/node0/cpulist": "0-1,4",
		"/sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:  4194304 kB\nNode 0 MemFree: 1 kB",
		"/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages":   "2",
		"/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages": "1",
		"/sys/devices/system/node/node1/cpulist":                                      "2-3",
		"/sys/devices/system/node/possible":                                           "0-1",
		"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":                      "8",
		"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages":                    "8",
		"/sys/firmware/efi/fw_platform_size":                                          "64",
		"/sys/firmware/acpi/tables/DMAR":                                              "",
		"/sys/class/iommu/dmar0/intel-iommu/version":                                  "1:0",
		"/proc/cpuinfo": "processor: 0\nflags\t\t: fpu hypervisor\n",
		"/sys/fs/cgroup/system.slice/chrony.service/cgroup.procs": "9",
	} {
		m.SetKernel(name, value)
	}
	m.WriteFile("/boot/grub2/grub.cfg", "insmod blscfg\n  blscfg\n")
	m.WriteFile("/etc/openvswitch/system-id.conf", "c0ffee\n")
	m.SetSpace("/var", host.Space{Total: 4 << 30, Free: 1 << 20, ReadOnly: true})
	m.AddPCI(fake.PCIDevice{Address: "0000:01:00.0", Vendor: "8086", Model: "10d3", Class: "020000", Native: "e1000e", Driver: "e1000e",
		Group: "7", MaxVFs: 8, VFs: 2, Link: host.Link{Name: "ens1", MAC: "52:54:00:00:00:01"}})
	m.AddPCI(fake.PCIDevice{Address: "0000:01:10.0", Vendor: "8086", Model: "10ca", Class: "020000", Group: "8", Physical: "0000:01:00.0"})
	m.AddPCI(fake.PCIDevice{Address: "0000:02:00.0", Vendor: "1af4", Model: "1041", Class: "020000", Native: "virtio-pci", Driver: "virtio-pci",
		Link: host.Link{Name: "ens2", MAC: "52:54:00:00:00:02"}})
	m.AddPCI(fake.PCIDevice{Address: "0000:00:1c.0", Vendor: "8086", Model: "3420", Class: "060400"})
	return m
}

func TestCollectOfABigMachine(t *testing.T) {
	got, err := Collect(t.Context(), bigMachine().Host().View())
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]any{
		"cmdline":     {got.Cmdline, []string{"BOOT_IMAGE=/vmlinuz", "ro", "dyndbg=file a.c +p", "hugepagesz=1G", "hugepages=2"}},
		"virtual":     {got.Virtual, "vm"},
		"firmware":    {got.Firmware, "uefi"},
		"boot loader": {got.BootLoader, host.BootLoader{Name: "grub", Entries: "bls", Config: "/boot/grub2/grub.cfg"}},
		"node 0":      {*got.NUMA["0"], host.NUMANode{CPUs: []int{0, 1, 4}, MemoryMB: 4096, HugePages: map[string]*host.HugePages{"1G": {Total: 2, Free: 1}}}},
		"nodes":       {len(got.NUMA), 2},
		"pages":       {got.HugePages, map[string]*host.HugePages{"2M": {Total: 8, Free: 8}}},
		"iommu":       {got.IOMMU, host.IOMMU{On: true, Table: "DMAR", Units: []string{"dmar0"}, Groups: 2}},
		"var":         {*got.FileSystems["/var"], host.FileSystem{SizeMB: 4096, FreeMB: 1, ReadOnly: true}},
		"time":        {got.TimeSync, "chrony"},
		"system-id":   {got.OVSSystemID, "c0ffee"},
		"PCI devices": {len(got.PCI), 3},
		"the NIC": {*got.PCI["0000:01:00.0"], host.PCIDevice{Vendor: "8086", Device: "10d3", Class: "020000", Driver: "e1000e", Group: "7",
			Links: map[string]string{"ens1": "52:54:00:00:00:01"}, VFs: 2, MaxVFs: 8}},
		"its function":   {*got.PCI["0000:01:10.0"], host.PCIDevice{Vendor: "8086", Device: "10ca", Class: "020000", Group: "8", Links: map[string]string{}, Physical: "0000:01:00.0"}},
		"the virtio NIC": {got.PCI["0000:02:00.0"].Links, map[string]string{"ens2": "52:54:00:00:00:02"}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %+v, want %+v", what, pair[0], pair[1])
		}
	}
}

// A kernel may have remapping on without an argument, and groups without it.
func TestIOMMUIsWhatTheKernelHasPutToWork(t *testing.T) {
	m := bigMachine()
	m.RemoveKernel("/sys/class/iommu/dmar0/intel-iommu/version")
	f, err := Collect(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if f.IOMMU.On || f.IOMMU.Groups != 2 || f.IOMMU.Table != "DMAR" {
		t.Errorf("got %+v", f.IOMMU)
	}
}

func TestBootLoaders(t *testing.T) {
	systemd := func(m *fake.Machine) {
		m.SetKernel(loaderInfo, "\x06\x00\x00\x00s\x00y\x00s\x00t\x00e\x00m\x00d\x00-\x00b\x00o\x00o\x00t\x00 \x002\x005\x002\x00")
	}
	for name, tt := range map[string]struct {
		arrange func(*fake.Machine)
		want    host.BootLoader
	}{
		"none":    {func(*fake.Machine) {}, host.BootLoader{Name: "unknown"}},
		"Debian":  {func(m *fake.Machine) { m.WriteFile("/boot/grub/grub.cfg", "menuentry x {}") }, host.BootLoader{Name: "grub", Entries: "config", Config: "/boot/grub/grub.cfg"}},
		"systemd": {systemd, host.BootLoader{Name: "systemd-boot", Entries: "bls"}},
		"systemd, and GRUB's files of before": {func(m *fake.Machine) {
			systemd(m)
			m.WriteFile("/boot/grub/grub.cfg", "")
			m.WriteFile("/boot/efi/loader/loader.conf", "")
		}, host.BootLoader{Name: "systemd-boot", Entries: "bls", Config: "/boot/efi/loader/loader.conf"}},
	} {
		m := fake.New()
		tt.arrange(m)
		f, err := Collect(t.Context(), m.Host().View())
		if err != nil || f.BootLoader != tt.want {
			t.Errorf("%s: got %+v, %v", name, f.BootLoader, err)
		}
	}
}

func TestVirtual(t *testing.T) {
	for name, tt := range map[string]struct {
		arrange func(*fake.Machine)
		want    string
	}{
		"hardware":  {func(m *fake.Machine) { m.SetKernel("/sys/class/dmi/id/sys_vendor", "HP") }, "none"},
		"container": {func(m *fake.Machine) { m.WriteFile("/run/systemd/container", "systemd-nspawn\n") }, "container"},
		"flag":      {func(m *fake.Machine) { m.SetKernel("/proc/cpuinfo", "flags : hypervisor\n") }, "vm"},
		"vendor":    {func(m *fake.Machine) { m.SetKernel("/sys/class/dmi/id/sys_vendor", "QEMU") }, "vm"},
		"metal": {func(m *fake.Machine) {
			m.SetKernel("/sys/class/dmi/id/sys_vendor", "Amazon EC2")
			m.SetKernel("/sys/class/dmi/id/product_name", "c5.metal")
		}, "none"},
	} {
		m := fake.New()
		tt.arrange(m)
		if f, err := Collect(t.Context(), m.Host().View()); err != nil || f.Virtual != tt.want {
			t.Errorf("%s: got %v, %v", name, f, err)
		}
	}
}

func TestSizesOfPages(t *testing.T) {
	for name, want := range map[string]string{"hugepages-2048kB": "2M", "hugepages-1048576kB": "1G", "hugepages-64kB": "64K", "hugepages-16777216kB": "16G",
		"hugepages-0kB": "", "hugepages-kB": "", "2048kB": "", "hugepages-2048": ""} {
		if got := pageSize(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestAHostileHostIsBounded(t *testing.T) {
	m := fake.New()
	m.SetKernel("/proc/cmdline", strings.Repeat("a ", 10*most))
	for i := range most + 9 {
		m.SetKernel("/sys/kernel/mm/hugepages/hugepages-"+strconv.Itoa(i+1)+"kB/nr_hugepages", "99999999999999999999")
	}
	m.SetKernel("/sys/devices/system/node/node0/cpulist", strings.Repeat("0-999999,", 99))
	f, err := Collect(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Cmdline) != most || len(f.HugePages) != most || len(f.NUMA["0"].CPUs) != 4*most {
		t.Errorf("%d words, %d sizes, %d processors", len(f.Cmdline), len(f.HugePages), len(f.NUMA["0"].CPUs))
	}
}

func FuzzMachine(f *testing.F) {
	f.Add(`a b="c d" "e`, "0-3,8", "hugepages-2048kB", "Node 0 MemTotal: 9 kB", "menu\nblscfg\n")
	f.Fuzz(func(t *testing.T, cmdline, list, size, meminfo, config string) {
		for _, w := range words(cmdline) {
			if strings.Contains(w, `"`) || w == "" && !strings.Contains(cmdline, `"`) {
				t.Fatalf("a word %q", w)
			}
		}
		if n := cpus(list); len(n) > 4*most || slices.ContainsFunc(n, func(i int) bool { return i < 0 }) {
			t.Fatalf("processors %v", n)
		}
		if s := pageSize(size); s != "" && !strings.ContainsAny(s[len(s)-1:], "KMG") {
			t.Fatalf("a size %q", s)
		}
		if memoryOf(meminfo) < 0 || count(list) < 0 {
			t.Fatal("less than nothing")
		}
		_ = blscfg(config)
	})
}
