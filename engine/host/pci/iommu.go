package pci

import (
	"context"
	"path"
	"strings"

	"weft/engine/host"
)

// IOMMU is what the kernel and the firmware tell of DMA remapping.
type IOMMU struct {
	// Table is the ACPI table by which the firmware describes one: DMAR of
	// Intel, IVRS of AMD, IORT of Arm, VIOT of a virtual machine. Empty where
	// there is none: it is off in the firmware's setup, or not built in.
	Table string
	// Units are the remapping units that the kernel has put to work: "dmar0",
	// "ivhd0". A kernel lists one only once it translates. That is why they
	// are asked, and neither the kernel's arguments nor its groups: a kernel
	// may be built to turn remapping on without an argument (Debian's is),
	// and vfio makes groups of its own in its mode without an IOMMU.
	Units []string
}

// On says whether DMA is remapped.
func (i IOMMU) On() bool { return len(i.Units) > 0 }

// ReadIOMMU asks for the IOMMU.
func ReadIOMMU(ctx context.Context, k host.KernelReader) (IOMMU, error) {
	r := reader{ctx: ctx, k: k}
	i := IOMMU{Units: r.list("/sys/class/iommu")}
	for _, table := range r.list("/sys/firmware/acpi/tables") {
		switch table {
		case "DMAR", "IVRS", "IORT", "VIOT":
			i.Table = table
		}
	}
	return i, r.err
}

// Groups is the number of IOMMU groups.
func Groups(ctx context.Context, k host.KernelReader) (int, error) {
	r := reader{ctx: ctx, k: k}
	return len(r.list(groups)), r.err
}

const groups = "/sys/kernel/iommu_groups"

// Group returns the addresses of the PCI devices of an IOMMU group, which can
// only be given away together.
func Group(ctx context.Context, k host.KernelReader, number string) ([]string, error) {
	r := reader{ctx: ctx, k: k}
	var members []string
	for _, name := range r.list(path.Join(groups, number, "devices")) {
		if function.MatchString(name) {
			members = append(members, name)
		}
	}
	return members, r.err
}

// Reserved says whether the firmware keeps memory for itself that devices of
// the group must reach untranslated (RMRR of Intel), so that no program can
// have them.
func Reserved(ctx context.Context, k host.KernelReader, number string) (bool, error) {
	r := reader{ctx: ctx, k: k}
	for line := range strings.Lines(r.value(path.Join(groups, number, "reserved_regions"))) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "direct" {
			return true, r.err
		}
	}
	return false, r.err
}
