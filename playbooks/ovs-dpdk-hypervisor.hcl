# A hypervisor with OVS-DPDK, scenario S3: kernel arguments, huge pages and VFIO, Open
# vSwitch with DPDK from packages or from source, a bond of DPDK ports as the uplink of a
# bridge, vhost-user ports, and guests on them.
#
#     weft preflight playbooks/ovs-dpdk-hypervisor.hcl -i inventories/ovs-dpdk.hcl
#     weft apply     playbooks/ovs-dpdk-hypervisor.hcl -i inventories/ovs-dpdk.hcl
#
# One boot brings the kernel's part. Before ovs-vswitchd restarts with DPDK, weft looks
# whether it would come up: huge pages on each NUMA node, for DPDK and for the guests
# that start with the host; the processors of the masks; the ovs-vswitchd that starts.
# A later change that restarts it under guests which run wants --allow-disruption.
#
# What differs from host to host stands in the inventory:
#
#     vars = {
#       hugepages    = { size = "1G", count = 16 }                # none: the lab does without
#       iommu        = ["iommu=pt"], more_arguments = ["pci=realloc"], unsafe_interrupts = true # where the machine wants them
#       dpdk         = ["0000:08:00.0", "0000:08:00.1"]           # NICs to take from the kernel
#       uplinks      = { dpdk0 = "0000:08:00.0", dpdk1 = "0000:08:00.1" } # dpdk-devargs by port
#       other_config = { dpdk-socket-mem = "1024,1024", pmd-cpu-mask = "0x33", vhost-iommu-support = "true" }
#       gateway      = "172.31.30.1/24"                           # of the host itself in the guests' VLAN
#       guests       = { g1 = { mac = "52:54:00:53:00:11", address = "172.31.30.11/24" } }
#     }
#
# From source, what differs is
#
#       sources = {
#         dpdk        = { version = "22.11.11", urls = ["https://…"], sha256 = "…", drivers = ["bus/pci", "mempool/ring", "net/ixgbe"] }
#         openvswitch = { version = "3.1.0", urls = ["https://…"], sha256 = "…", options = [] }
#       }
#
# The first such host compiles; the others take its result where their packages are the
# same, and compile where not. See inventories/ovs-dpdk-source.hcl.
#
# A guest with domain = false has a port and no machine of libvirt: who listens on its
# socket is another's affair.

include = ["lists/kernel.hcl", "lists/dpdk.hcl", "lists/dpdk-source.hcl", "lists/libvirt.hcl"]

variable "bridge" {
  description = "The bridge."
  type        = string
  default     = "ovsbr0"
}

variable "vlan" {
  description = "The VLAN of the guests."
  type        = number
  default     = 300
}

variable "trunks" {
  description = "All VLANs that the uplink carries."
  type        = list(number)
  default     = [11, 300, 301, 302, 303, 304]
}

variable "lacp" {
  description = "Of a bond of two uplinks or more. Where the switch speaks none: off, with bond_mode balance-slb or active-backup."
  type        = string
  default     = "active"
}

variable "bond_mode" {
  description = "How the members of the bond share the load."
  type        = string
  default     = "balance-tcp"
}

variable "at_a_time" {
  description = "How many hypervisors are away at a time: one boots, or gets another ovs-vswitchd."
  type        = number
  default     = 1
}

variable "image" {
  description = "Directory on the host that has vmlinuz and initrd."
  type        = string
  default     = "/srv/guest"
}

variable "sockets" {
  description = "Directory of the sockets between guests and Open vSwitch."
  type        = string
  default     = "/var/lib/vhost-user"
}

locals {
  packaged = [for h in role.hypervisor : h if !can(h.vars.sources)]
  built    = [for h in role.hypervisor : h if can(h.vars.sources)]
  builder  = slice(local.built, 0, min(1, length(local.built)))
}

play "kernel" {
  hosts  = [for h in role.hypervisor : h if can(h.vars.hugepages)]
  serial = var.at_a_time

  use "kernel" "self" {
    hugepages         = host.vars.hugepages
    addresses         = try(host.vars.dpdk, [])
    iommu             = try(host.vars.iommu, ["intel_iommu=on", "iommu=pt"])
    more_arguments    = try(host.vars.more_arguments, [])
    unsafe_interrupts = try(host.vars.unsafe_interrupts, false)
  }
}

play "packaged" {
  hosts  = local.packaged
  serial = var.at_a_time

  use "dpdk" "self" {
    config   = host.vars.other_config
    packages = try(host.vars.drivers, [])
    options  = try(host.vars.ovs_ctl_options, "")
  }
}

play "built" {
  hosts = local.builder

  use "dpdk-source" "self" {
    dpdk          = host.vars.sources.dpdk
    openvswitch   = host.vars.sources.openvswitch
    packages      = try(host.vars.sources.packages, [])
    config        = host.vars.other_config
    start_options = compact(split(" ", try(host.vars.ovs_ctl_options, "")))
  }
}

play "taken" {
  hosts  = slice(local.built, length(local.builder), length(local.built))
  serial = var.at_a_time

  use "dpdk-source" "self" {
    dpdk        = host.vars.sources.dpdk
    openvswitch = host.vars.sources.openvswitch
    packages    = try(host.vars.sources.packages, [])
    results = merge({}, [for b in local.builder : {
      dpdk        = { host = b.name, archive = hosts[b.name].step.dpdk_build["self/dpdk"].archive, sha256 = hosts[b.name].step.dpdk_build["self/dpdk"].sha256 }
      openvswitch = { host = b.name, archive = hosts[b.name].step.ovs_build["self/openvswitch"].archive, sha256 = hosts[b.name].step.ovs_build["self/openvswitch"].sha256 }
    }]...)
    config        = host.vars.other_config
    start_options = compact(split(" ", try(host.vars.ovs_ctl_options, "")))
  }
}

play "switch" {
  hosts = role.hypervisor

  # Virtual devices of the lab read the frames of NICs that the kernel has, too.
  step "net_link" "uplink" {
    for_each = toset(try(host.vars.virtual, []))
    name     = each.value
    up       = true
    persist  = true
  }

  step "ovs_bridge" "guests" {
    name          = var.bridge
    datapath_type = "netdev"
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_bond" "uplink" {
    when         = length(host.vars.uplinks) > 1
    name         = "bond0"
    bridge       = var.bridge
    members      = keys(host.vars.uplinks)
    interfaces   = { for name, device in host.vars.uplinks : name => { type = "dpdk", options = { dpdk-devargs = device } } }
    bond_mode    = var.bond_mode
    lacp         = var.lacp
    trunks       = var.trunks
    other_config = var.lacp == "off" ? {} : { lacp-time = "fast" }
  }

  step "ovs_port" "uplink" {
    for_each = { for name, device in host.vars.uplinks : name => device if length(host.vars.uplinks) == 1 }
    name     = each.key
    bridge   = var.bridge
    type     = "dpdk"
    options  = { dpdk-devargs = each.value }
    trunks   = var.trunks
  }

  step "ovs_port" "vhost" {
    for_each = host.vars.guests
    name     = "vh-${each.key}"
    bridge   = var.bridge
    type     = "dpdkvhostuserclient"
    options  = { vhost-server-path = "${var.sockets}/${each.key}.sock" }
    tag      = var.vlan
  }

  # The host itself in the guests' VLAN, to see that they answer.
  step "ovs_port" "gateway" {
    name      = "gw${var.vlan}"
    bridge    = var.bridge
    type      = "internal"
    tag       = var.vlan
    addresses = [host.vars.gateway]
    up        = true
    persist   = true
  }
}

play "guests" {
  hosts = [for h in role.hypervisor : h if length([for g in values(h.vars.guests) : g if try(g.domain, true)]) > 0]

  use "libvirt" "self" {}

  use "vhost" "guests" {
    sockets = var.sockets
  }

  # A guest that runs with other values than these goes on with them until its next
  # start, and the plan says so.
  step "libvirt_domain" "guest" {
    for_each = { for name, g in host.vars.guests : name => g if try(g.domain, true) }
    name     = each.key
    xml = templatefile("../templates/libvirt-vhost-guest.xml", {
      type      = try(host.vars.machine, "kvm")
      memory    = try(each.value.memory, try(host.vars.hugepages.size, "") == "1G" ? 1024 : 128) # no less than a page
      cpus      = try(each.value.cpus, 1)
      node      = try(each.value.node, -1)
      hugepages = try(host.vars.hugepages.size, "")
      image     = var.image
      arguments = "net=${each.value.mac}=${each.value.address} ${try(host.vars.guest_arguments, "")}"
      mac       = each.value.mac
      socket    = "${var.sockets}/${each.key}.sock"
    })
    running   = true
    autostart = true
  }
}

play "packets" {
  hosts = role.hypervisor

  step "probe_lacp" "bond0" {
    for_each = length(host.vars.uplinks) > 1 && var.lacp != "off" ? toset(["bond0"]) : toset([])
    tags     = ["probe"]
    bond     = each.value
    minimum  = 1
    timeout  = "1m"
  }

  # To the guests of all hypervisors: by the sockets of the own, by the DPDK ports
  # of the others.
  step "probe_ping" "guest" {
    for_each = merge([for h in role.hypervisor : h.vars.guests]...)
    tags     = ["probe"]
    target   = split("/", each.value.address)[0]
    timeout  = "5m"
  }

  step "probe_dpdk_port" "guest" {
    for_each = host.vars.guests
    tags     = ["probe"]
    port     = "vh-${each.key}"
    macs     = [each.value.mac]
  }

  step "probe_dpdk_port" "uplink" {
    for_each = host.vars.uplinks
    tags     = ["probe"]
    port     = each.key
    sent     = length(host.vars.uplinks) == 1 || var.lacp != "off" # a member that stands by sends nothing
    received = length(host.vars.uplinks) == 1 || var.lacp != "off"
    macs     = flatten([for h in role.hypervisor : [for g in values(h.vars.guests) : g.mac] if h.name != host.name])
  }
}
