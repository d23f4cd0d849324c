package testlab

import (
	"slices"
	"strings"
	"testing"
)

func TestNodesDivideMemoryAndProcessors(t *testing.T) {
	tests := []struct {
		vm   VM
		want string
	}{
		{VM{}, ""},
		{VM{Memory: 3072, NUMANodes: 2}, "size=1536M node,nodeid=0,memdev=memory0,cpus=0 size=1536M node,nodeid=1,memdev=memory1"},
		{VM{Memory: 1025, CPUs: 4, NUMANodes: 2}, "size=512M node,nodeid=0,memdev=memory0,cpus=0,cpus=1 size=513M node,nodeid=1,memdev=memory1,cpus=2,cpus=3"},
	}
	for _, tt := range tests {
		var got []string
		for _, a := range (shape{VM: tt.vm}).nodeArguments() {
			if _, size, ok := strings.Cut(a, ",size="); ok {
				got = append(got, "size="+size)
			} else if strings.HasPrefix(a, "node,") {
				got = append(got, a)
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%+v:\n%s\nwant\n%s", tt.vm, text, tt.want)
		}
	}
}

// TestShapeIsAllThatASnapshotNeeds: whatever makes qemu emulate something else makes another key, and nothing else does.
func TestShapeIsAllThatASnapshotNeeds(t *testing.T) {
	base := shape{VM: VM{Memory: 1024, CPUs: 1, NUMANodes: 1}, QEMU: "7.2", Accelerator: "tcg", Image: "/disk"}
	keys := []string{base.key()}
	for _, change := range []func(*shape){
		func(s *shape) { s.Memory = 2048 }, func(s *shape) { s.CPUs = 2 }, func(s *shape) { s.NUMANodes = 2 },
		func(s *shape) { s.IOMMU = true }, func(s *shape) { s.Firmware = firmwareUEFI }, func(s *shape) { s.QEMU = "10" }, func(s *shape) { s.Accelerator = "kvm" },
		func(s *shape) { s.Image = "/other" }, func(s *shape) { s.Version++ }, func(s *shape) { s.Built++ }, func(s *shape) { s.UEFIBuilt++ },
	} {
		other := base
		change(&other)
		if slices.Contains(keys, other.key()) {
			t.Errorf("%+v has the key of another shape", other)
		}
		keys = append(keys, other.key())
	}
	a, b := vmFiles{Disk: "a", Taps: []int{9}}, vmFiles{Disk: "a", Taps: []int{9, 10}}
	guest := func(f vmFiles) []string {
		return slices.DeleteFunc(base.arguments(f), func(s string) bool { return s == "-netdev" || strings.HasPrefix(s, "tap,") })
	}
	if !slices.Equal(guest(a), guest(b)) {
		t.Error("the number of NICs changes what is emulated")
	}
}

func TestSpecOfVirtualMachines(t *testing.T) {
	for want, change := range map[string]func(*Host){
		"":                                     func(*Host) {},
		"64 MiB of memory":                     func(h *Host) { h.VM.Memory = 64 },
		"9 processors":                         func(h *Host) { h.VM.CPUs = 9 },
		"3 NUMA nodes":                         func(h *Host) { h.VM.NUMANodes = 3 },
		`firmware "efi" is not one of`:         func(h *Host) { h.VM.Firmware = "efi" },
		`model "rtl8139" is not one of`:        func(h *Host) { h.NICs[0].Model = "rtl8139" },
		`model "e1000e" is for virtual`:        func(h *Host) { h.NICs[0].Model, h.VM = "e1000e", nil },
		"10 NICs; a virtual machine has slots": func(h *Host) { h.NICs = slices.Repeat(h.NICs, 5) },
	} {
		s := threeHosts()
		s.Hosts[0].VM = &VM{}
		change(&s.Hosts[0])
		if err := s.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("check = %v, want %q", err, want)
		}
	}
}
