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

include = ["lists/kernel.hcl"]

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

  use "kernel" "self" {
    hugepages         = host.vars.hugepages
    addresses         = try(host.vars.dpdk, [])
    macs              = try(host.vars.dpdk_macs, [])
    iommu             = var.iommu
    more_arguments    = var.more_arguments
    unsafe_interrupts = var.unsafe_interrupts
  }
}
