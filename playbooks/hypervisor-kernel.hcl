# A bare server made ready for Open vSwitch with DPDK, below the packages: kernel
# arguments, huge pages and where they are mounted, the modules of VFIO, and two
# NICs taken from the kernel.
#
#     weft preflight playbooks/hypervisor-kernel.hcl -i inventories/hypervisor-vm.hcl
#     weft apply     playbooks/hypervisor-kernel.hcl -i inventories/hypervisor-vm.hcl
#
# One boot brings it all. The new arguments are tried by it: a kernel that does not
# come back with them falls back to the old ones by itself, and the run is taken
# back. Each step reads what is in force, so that an apply that ends well has seen
# the arguments in /proc/cmdline, the pages counted, and the NICs with their driver.
#
# What differs from host to host stands in the inventory:
#
#     vars = {
#       hugepages = { size = "1G", count = 16 }                       # at boot, of the whole host
#       dpdk      = ["0000:08:00.0", "0000:08:00.1"]                  # PCI addresses, or
#       dpdk_macs = ["90:e2:ba:00:00:01", "90:e2:ba:00:00:02"]        # MACs, which do not change with the slots
#     }

variable "iommu" {
  description = "What turns the IOMMU on. An AMD processor has it on and wants [\"iommu=pt\"] alone."
  type        = list(string)
  default     = ["intel_iommu=on", "iommu=pt"]
}

variable "more_arguments" {
  description = "Further kernel arguments, such as [\"pci=realloc\"] where the firmware leaves virtual functions without memory."
  type        = list(string)
  default     = []
}

variable "unsafe_interrupts" {
  description = "Lets VFIO give devices away on a machine that does not remap interrupts: a guest could then forge them. The kernel's log says where it is needed."
  type        = bool
  default     = false
}

play "kernel" {
  hosts  = role.hypervisor
  serial = 1      # one hypervisor is away at a time
  reboot = "auto" # "never" leaves the boot to somebody else, "staged" to the next one

  # Order counts: the first two belong together, and several sizes may follow one
  # another. Arguments of other names stay as they are.
  step "kernel_cmdline" "hypervisor" {
    args = concat([
      "default_hugepagesz=${host.vars.hugepages.size}",
      "hugepagesz=${host.vars.hugepages.size}",
      "hugepages=${host.vars.hugepages.count}",
    ], var.iommu, var.more_arguments)
  }

  # The type1 driver has the option, not vfio: there it would have no effect.
  step "kernel_module" "vfio_iommu_type1" {
    options = { allow_unsafe_interrupts = var.unsafe_interrupts ? "1" : "0" }
  }

  step "kernel_module" "vfio-pci" {}

  # The kernel reserves them before memory is in pieces, so there is nothing to
  # persist; and none are asked for before that boot, which pages of 1G need.
  step "hugepages" "reserved" {
    size        = host.vars.hugepages.size
    pages       = host.vars.hugepages.count
    persistent  = false
    after_needs = ["host"]
  }

  step "mount" "huge" {
    path    = "/mnt/huge_${host.vars.hugepages.size}"
    source  = "hugetlbfs"
    type    = "hugetlbfs"
    options = ["pagesize=${host.vars.hugepages.size}"]
  }

  # Taken from the kernel last: the NIC that this session comes by is refused, as
  # is one that has addresses or belongs to a bridge. Where VFIO cannot be had,
  # because the firmware has no IOMMU or keeps the device's memory (RMRR), the
  # fallback is used, and the plan says so.
  step "pci_driver" "dpdk" {
    for_each = { for i, address in try(host.vars.dpdk, []) : "dpdk${i}" => address }
    device   = each.value
    fallback = "uio_pci_generic"
  }

  step "pci_driver" "dpdk_mac" {
    for_each = { for i, mac in try(host.vars.dpdk_macs, []) : "dpdk${i}" => mac }
    mac      = each.value
    fallback = "uio_pci_generic"
  }
}
