# Virtual machines of libvirt on a logical switch of OVN, on several hypervisors.
#
#     weft apply playbooks/libvirt-ovn-attach.hcl -i inventories/libvirt-ovn.hcl
#
# A network card is plugged into br-int, and found by its machine and MAC. What Open
# vSwitch calls it (iface-id) is an output of that step, read where the machine runs;
# the central host makes the logical port of that name. No name is typed twice.

include = ["lists/ovn.hcl", "lists/libvirt.hcl"]

variable "image" {
  description = "Directory on the hosts that has vmlinuz and initrd."
  type        = string
  default     = "/srv/guest"
}

variable "guests" {
  description = "The machine of each hypervisor: its name, MAC and address."
  type        = map(object({ name = string, mac = string, address = string }))
  default = {
    hyper1 = { name = "g1", mac = "52:54:00:16:00:11", address = "172.16.22.11" }
    hyper2 = { name = "g2", mac = "52:54:00:16:00:22", address = "172.16.22.22" }
  }
}

variable "observer" {
  description = "A fake machine on the same switch that looks whether they answer."
  type        = object({ host = string, mac = string, address = string })
  default     = { host = "hyper1", mac = "02:ac:10:16:00:99", address = "172.16.22.99" }
}

variable "mtu" {
  description = "MTU of the machines: that of the underlay less 58 bytes of geneve."
  type        = number
  default     = 1442
}

play "underlay" {
  hosts = role.compute

  use "underlay" "self" {
    uplink   = host.vars.uplink
    address  = "${host.vars.underlay}/25"
    datapath = host.vars.datapath
  }
}

play "central" {
  hosts = role.central

  use "central" "ovn" {
    address = host.vars.underlay
  }
}

play "hypervisors" {
  hosts = role.compute

  use "chassis" "ovn" {
    centrals = [for h in role.central : h.vars.underlay]
    address  = host.vars.underlay
    datapath = host.vars.datapath
  }

  use "libvirt" "self" {}
}

play "machines" {
  hosts = role.compute

  step "libvirt_domain" "guest" {
    name = var.guests[host.name].name
    xml = templatefile("../templates/libvirt-guest.xml", {
      type      = host.vars.machine
      memory    = 128
      image     = var.image
      arguments = "net=${var.guests[host.name].mac}=${var.guests[host.name].address}/24"
      cards     = []
    })
    running   = true
    autostart = true
  }

  step "libvirt_interface" "lan" {
    domain      = var.guests[host.name].name
    mac         = var.guests[host.name].mac
    bridge      = "br-int"
    virtualport = "openvswitch"
    model       = "virtio"
    mtu         = var.mtu
  }

  step "fake_vm" "observer" {
    when      = host.name == var.observer.host
    iface_id  = "ls1-observer"
    mac       = var.observer.mac
    addresses = ["${var.observer.address}/24"]
    mtu       = var.mtu
  }
}

play "logical" {
  hosts = role.central[0]

  step "ovn_switch" "ls1" {}

  step "ovn_switch_port" "guest" {
    for_each      = var.guests
    name          = hosts[each.key].step.libvirt_interface.lan.interface_id
    switch        = "ls1"
    addresses     = ["${hosts[each.key].step.libvirt_interface.lan.mac} ${each.value.address}"]
    port_security = ["${each.value.mac} ${each.value.address}"]
    # By this `weft gc` finds the port once the machine is no more.
    external_ids = { weft-vm = "${each.key}/${hosts[each.key].step.libvirt_domain.guest.uuid}" }
  }

  step "ovn_switch_port" "observer" {
    name      = "ls1-observer"
    switch    = "ls1"
    addresses = ["${var.observer.mac} ${var.observer.address}"]
  }

  step "probe_ovn_port" "guest" {
    tags     = ["probe"]
    for_each = var.guests
    port     = hosts[each.key].step.libvirt_interface.lan.interface_id
    chassis  = hosts[each.key].step.ovn_chassis["ovn/chassis"].system_id
  }
}

play "packets" {
  hosts = [for h in role.compute : h if h.name == var.observer.host]

  step "probe_ping" "guest" {
    tags      = ["probe"]
    for_each  = var.guests
    namespace = "observer"
    target    = each.value.address
    timeout   = "3m"
  }
}
