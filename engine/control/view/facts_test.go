package view

import (
	"bytes"
	"testing"

	"weft/engine/host"
)

func TestFacts(t *testing.T) {
	f := &host.Facts{
		Hostname: "h1\x1b[2J", Distribution: "debian", Version: "12", Codename: "bookworm", Architecture: "x86_64", Kernel: "6.1.0", MachineID: "abc", CPUs: 4, MemoryMB: 4096,
		Virtual: "none", Firmware: "bios", BootLoader: host.BootLoader{Name: "grub", Entries: "config", Config: "/boot/grub/grub.cfg"},
		Cmdline: []string{"ro", "quiet"}, HugePages: map[string]*host.HugePages{"2M": {Total: 8, Free: 7}, "1G": {}},
		NUMA:  map[string]*host.NUMANode{"10": {CPUs: []int{4}}, "2": {CPUs: []int{0, 1, 2, 5}, MemoryMB: 4096}},
		IOMMU: host.IOMMU{On: true, Table: "DMAR", Units: []string{"dmar0"}, Groups: 12},
		PCI: map[string]*host.PCIDevice{"0000:01:00.0": {Vendor: "8086", Device: "10d3", Driver: "e1000e", Group: "7", MaxVFs: 8, VFs: 2, Node: -1,
			Links: map[string]string{"ens1": "52:54:00:00:00:01"}}, "0000:02:00.0": {Vendor: "1af4", Device: "1041", Physical: "0000:01:00.0"}},
		Links:       map[string]*host.NIC{"ens1": {MAC: "52:54:00:00:00:01", MTU: 1500, Up: true, Addresses: []string{"10.0.0.1/24"}}},
		FileSystems: map[string]*host.FileSystem{"/": {SizeMB: 900, FreeMB: 9, ReadOnly: true}},
	}
	want := `a
  system      debian 12 bookworm x86_64 kernel 6.1.0
  identity    h1\x1b[2J, machine-id abc
  machine     hardware, bios, grub /boot/grub/grub.cfg entries by config
  memory      4096 MB, 4 processors, 8 pages of 2M (7 free)
  node 2      4096 MB, processors 0-2,5
  node 10     0 MB, processors 4
  arguments   ro quiet
  IOMMU       on, table DMAR, units dmar0, 12 groups
  0000:01:00.0  8086:10d3, e1000e, ens1 52:54:00:00:00:01, group 7, 2 of 8 virtual functions
  0000:02:00.0  1af4:1041, no driver, node 0, function of 0000:01:00.0
  ens1        up, 52:54:00:00:00:01, MTU 1500, 10.0.0.1/24
  /           9 of 900 MB free, read-only
  clock       kept by no service
  software    0 packages, 0 kernel modules
`
	var out bytes.Buffer
	if err := Facts(&out, none, map[string]*host.Facts{"a": f}); err != nil || out.String() != want {
		t.Errorf("got %v\n%s", err, out.String())
	}
}
