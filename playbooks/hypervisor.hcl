# A new hypervisor, from first contact to a guest on a logical switch: what the other
# playbooks do one by one, in the order that it takes. A host with uplinks of DPDK gets
# OVS-DPDK, and its guests vhost-user ports; the others the Open vSwitch of their kernel
# or in user space, and their guests taps. Tunnels of OVN join them.
#
#     weft preflight playbooks/hypervisor.hcl -i inventories/hypervisor.hcl
#     weft apply     playbooks/hypervisor.hcl -i inventories/hypervisor.hcl
#     weft apply     playbooks/hypervisor.hcl -i inventories/hypervisor.hcl -l hyper7   # the new one alone
#
# The host has an sshd, and nothing else. Its role is compute, and the inventory says
#
#     vars = {
#       underlay     = "10.127.0.3"                                # its end of tunnels
#       uplink       = "eth1"                                      # the NIC for it, or with DPDK:
#       hugepages    = { size = "1G", count = 16 }                 # for OVS and for guests
#       dpdk         = ["0000:08:00.0"]                            # NICs to take from the kernel
#       uplinks      = { dpdk0 = "0000:08:00.0" }                  # dpdk-devargs by port
#       other_config = { dpdk-socket-mem = "1024,1024", pmd-cpu-mask = "0x33" }
#     }

include = ["lists/kernel.hcl", "lists/dpdk.hcl", "lists/ovn.hcl", "lists/libvirt.hcl", "lists/guests.hcl"]

variable "image" {
  description = "Directory on the hosts that has vmlinuz and initrd."
  type        = string
  default     = "/srv/guest"
}

variable "sockets" {
  description = "Directory of the sockets between guests and Open vSwitch."
  type        = string
  default     = "/var/lib/vhost-user"
}

variable "at_a_time" {
  description = "How many hypervisors are away at a time: one boots, or gets another ovs-vswitchd."
  type        = number
  default     = 1
}

variable "observer" {
  description = "A fake machine on the same switch that looks whether guests answer."
  type        = object({ host = string, mac = string, address = string })
  default     = { host = "hyper2", mac = "02:ac:10:16:00:99", address = "172.16.22.99" }
}

locals {
  polled = [for h in role.compute : h if can(h.vars.uplinks)]
  plain  = [for h in role.compute : h if !can(h.vars.uplinks)]
}

play "kernel" {
  hosts  = [for h in role.compute : h if can(h.vars.hugepages)]
  serial = var.at_a_time

  use "kernel" "self" {
    hugepages         = host.vars.hugepages
    addresses         = try(host.vars.dpdk, [])
    iommu             = try(host.vars.iommu, ["intel_iommu=on", "iommu=pt"])
    more_arguments    = try(host.vars.more_arguments, [])
    unsafe_interrupts = try(host.vars.unsafe_interrupts, false)
  }
}

play "underlay" {
  hosts = local.plain

  use "underlay" "self" {
    uplink   = host.vars.uplink
    address  = "${host.vars.underlay}/25"
    datapath = try(host.vars.datapath, "system")
  }
}

play "underlay-dpdk" {
  hosts  = local.polled
  serial = var.at_a_time

  use "dpdk" "self" {
    config   = host.vars.other_config
    packages = try(host.vars.drivers, [])
    options  = try(host.vars.ovs_ctl_options, "")
  }

  step "sysctl" "net.ipv4.conf.all.arp_ignore" {
    value = "1"
  }

  step "net_link" "uplink" {
    for_each = toset(try(host.vars.virtual, []))
    name     = each.value
    up       = true
    persist  = true
  }

  step "ovs_bridge" "underlay" {
    name          = "br-phy"
    datapath_type = "netdev"
    addresses     = ["${host.vars.underlay}/25"]
    persist       = true
  }

  # Two NICs to one switch are a bond, or a loop.
  step "ovs_bond" "uplink" {
    when         = length(host.vars.uplinks) > 1
    name         = "bond0"
    bridge       = "br-phy"
    members      = keys(host.vars.uplinks)
    interfaces   = { for name, device in host.vars.uplinks : name => { type = "dpdk", options = { dpdk-devargs = device } } }
    bond_mode    = try(host.vars.bond_mode, "balance-tcp")
    lacp         = try(host.vars.lacp, "active")
    other_config = try(host.vars.lacp, "active") == "off" ? {} : { lacp-time = "fast" }
  }

  step "ovs_port" "uplink" {
    for_each = { for name, device in host.vars.uplinks : name => device if length(host.vars.uplinks) == 1 }
    name     = each.key
    bridge   = "br-phy"
    type     = "dpdk"
    options  = { dpdk-devargs = each.value }
  }
}

play "central" {
  hosts = role.central

  use "central" "ovn" {
    address = host.vars.underlay
  }
}

play "chassis" {
  hosts = role.compute

  use "chassis" "ovn" {
    centrals = [for h in role.central : h.vars.underlay]
    address  = host.vars.underlay
    datapath = can(host.vars.uplinks) ? "netdev" : try(host.vars.datapath, "system")
  }

  use "libvirt" "self" {}

  use "vhost" "guests" {
    sockets = var.sockets
  }
}

# A guest with a tap: libvirt plugs it in, and says how the port is called.
play "guests" {
  hosts = local.plain

  step "libvirt_domain" "guest" {
    for_each = local.here[host.name]
    name     = each.key
    xml = templatefile("../templates/libvirt-guest.xml", {
      type      = try(host.vars.machine, "kvm")
      memory    = 128
      image     = var.image
      arguments = "net=${each.value.mac}=${each.value.address}/24"
      cards     = []
    })
    running   = true
    autostart = true
  }

  step "libvirt_interface" "lan" {
    for_each    = local.here[host.name]
    domain      = each.key
    mac         = each.value.mac
    bridge      = "br-int"
    virtualport = "openvswitch"
    model       = "virtio"
    mtu         = 1442
  }

  step "fake_vm" "observer" {
    when      = host.name == var.observer.host
    iface_id  = "ls1-observer"
    mac       = var.observer.mac
    addresses = ["${var.observer.address}/24"]
    mtu       = 1442
  }
}

# A guest with a vhost-user port: Open vSwitch has the port, under the name that OVN
# knows it by, and libvirt has nothing to do with it but the guest's end.
play "guests-dpdk" {
  hosts = local.polled

  step "ovs_port" "vhost" {
    for_each     = local.here[host.name]
    name         = "vh-${each.key}"
    bridge       = "br-int"
    type         = "dpdkvhostuserclient"
    options      = { vhost-server-path = "${var.sockets}/${each.key}.sock" }
    external_ids = { iface-id = "ls1-${each.key}", attached-mac = each.value.mac }
  }

  step "libvirt_domain" "guest" {
    for_each = local.here[host.name]
    name     = each.key
    xml = templatefile("../templates/libvirt-vhost-guest.xml", {
      type      = try(host.vars.machine, "kvm")
      memory    = try(each.value.memory, try(host.vars.hugepages.size, "") == "1G" ? 1024 : 128) # no less than a page
      cpus      = 1
      node      = -1
      hugepages = try(host.vars.hugepages.size, "")
      image     = var.image
      arguments = "net=${each.value.mac}=${each.value.address}/24 ${try(host.vars.guest_arguments, "")}"
      mac       = each.value.mac
      socket    = "${var.sockets}/${each.key}.sock"
    })
    running   = true
    autostart = true
  }
}

play "logical" {
  hosts = role.central[0]

  step "ovn_switch" "ls1" {}

  step "ovn_switch_port" "guest" {
    for_each      = { for name, g in var.guests : name => g if !can(hosts[g.host].vars.uplinks) }
    name          = hosts[each.value.host].step.libvirt_interface.lan[each.key].interface_id
    switch        = "ls1"
    addresses     = ["${each.value.mac} ${each.value.address}"]
    port_security = ["${each.value.mac} ${each.value.address}"]
    external_ids  = { weft-vm = "${each.value.host}/${hosts[each.value.host].step.libvirt_domain.guest[each.key].uuid}" }
  }

  step "ovn_switch_port" "vhost" {
    for_each      = { for name, g in var.guests : name => g if can(hosts[g.host].vars.uplinks) }
    name          = "ls1-${each.key}"
    switch        = "ls1"
    addresses     = ["${each.value.mac} ${each.value.address}"]
    port_security = ["${each.value.mac} ${each.value.address}"]
  }

  step "ovn_switch_port" "observer" {
    name      = "ls1-observer"
    switch    = "ls1"
    addresses = ["${var.observer.mac} ${var.observer.address}"]
  }
}

play "packets" {
  hosts = [for h in role.compute : h if h.name == var.observer.host]

  step "probe_ping" "guest" {
    tags      = ["probe"]
    for_each  = var.guests
    namespace = "observer"
    target    = each.value.address
    timeout   = "5m"
  }
}

play "ports" {
  hosts = local.polled

  step "probe_dpdk_port" "guest" {
    for_each = local.here[host.name]
    tags     = ["probe"]
    port     = "vh-${each.key}"
  }

  step "probe_dpdk_port" "uplink" {
    for_each = host.vars.uplinks
    tags     = ["probe"]
    port     = each.key
  }
}
