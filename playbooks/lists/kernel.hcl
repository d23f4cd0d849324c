# What a server's kernel needs for DPDK, and a boot to have it.

steps "kernel" {
  param "hugepages" {
    type = object({ size = string, count = number }) # of the whole host, at boot
  }
  param "addresses" {
    type    = list(string) # of NICs on the PCI bus
    default = []
  }
  param "macs" {
    type    = list(string) # of NICs whose slots may change
    default = []
  }
  param "iommu" {
    type    = list(string)
    default = ["intel_iommu=on", "iommu=pt"]
  }
  param "more_arguments" {
    type    = list(string)
    default = []
  }
  param "unsafe_interrupts" {
    type    = bool
    default = false
  }

  # Order counts: the first two belong together, and several sizes may follow one
  # another. Arguments of other names stay as they are.
  step "kernel_cmdline" "hypervisor" {
    args = concat([
      "default_hugepagesz=${param.hugepages.size}",
      "hugepagesz=${param.hugepages.size}",
      "hugepages=${param.hugepages.count}",
    ], param.iommu, param.more_arguments)
  }

  # The type1 driver has the option, not vfio: there it would have no effect.
  step "kernel_module" "vfio_iommu_type1" {
    options = { allow_unsafe_interrupts = param.unsafe_interrupts ? "1" : "0" }
  }

  step "kernel_module" "vfio-pci" {}

  # The kernel reserves them before memory is in pieces, so there is nothing to
  # persist; and none are asked for before that boot, which pages of 1G need.
  step "hugepages" "reserved" {
    size        = param.hugepages.size
    pages       = param.hugepages.count
    persistent  = false
    after_needs = ["host"]
  }

  step "mount" "huge" {
    path    = "/mnt/huge_${param.hugepages.size}"
    source  = "hugetlbfs"
    type    = "hugetlbfs"
    options = ["pagesize=${param.hugepages.size}"]
  }

  # Taken from the kernel last: the NIC that this session comes by is refused, as
  # is one that has addresses or belongs to a bridge. Where VFIO cannot be had,
  # because the firmware has no IOMMU or keeps the device's memory (RMRR), the
  # fallback is used, and the plan says so.
  step "pci_driver" "dpdk" {
    for_each = { for i, address in param.addresses : "dpdk${i}" => address }
    device   = each.value
    fallback = "uio_pci_generic"
  }

  step "pci_driver" "dpdk_mac" {
    for_each = { for i, mac in param.macs : "dpdk${i}" => mac }
    mac      = each.value
    fallback = "uio_pci_generic"
  }
}
