// Package pci reads what sysfs tells of PCI devices and of the IOMMU, for the
// facts and for kinds that bind drivers (sysfs-bus-pci and
// sysfs-kernel-iommu_groups in the kernel's Documentation/ABI).
//
// A device whose network driver is gone has no MAC in sysfs, and no link: only
// its address names it then.
package pci
