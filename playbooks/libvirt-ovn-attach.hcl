# Virtual machines of libvirt on a logical switch of OVN, on several hypervisors.
#
#     weft apply playbooks/libvirt-ovn-attach.hcl -i inventories/libvirt-ovn.hcl
#
# A network card is plugged into br-int, and found by its machine and MAC. What Open
# vSwitch calls it (iface-id) is an output of that step, read where the machine runs;
# the central host makes the logical port of that name. No name is typed twice.
#
# A machine that shall live elsewhere is given its new host in the variable guests, and
# moved by playbooks/vm-migrate.hcl before this playbook is applied again: this one
# would start a second machine there.

include = ["lists/ovn.hcl", "lists/libvirt.hcl", "lists/guests.hcl"]

variable "image" {
  description = "Directory on the hosts that has vmlinuz and initrd."
  type        = string
  default     = "/srv/guest"
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
    for_each = local.here[host.name]
    name     = each.key
    xml = templatefile("../templates/libvirt-guest.xml", {
      type      = host.vars.machine
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
    name          = hosts[each.value.host].step.libvirt_interface.lan[each.key].interface_id
    switch        = "ls1"
    addresses     = ["${hosts[each.value.host].step.libvirt_interface.lan[each.key].mac} ${each.value.address}"]
    port_security = ["${each.value.mac} ${each.value.address}"]
    # By this `weft gc` finds the port once the machine is no more.
    external_ids = { weft-vm = "${each.value.host}/${hosts[each.value.host].step.libvirt_domain.guest[each.key].uuid}" }
  }

  step "ovn_switch_port" "observer" {
    name      = "ls1-observer"
    switch    = "ls1"
    addresses = ["${var.observer.mac} ${var.observer.address}"]
  }

  step "probe_ovn_port" "guest" {
    tags     = ["probe"]
    for_each = var.guests
    port     = hosts[each.value.host].step.libvirt_interface.lan[each.key].interface_id
    chassis  = hosts[each.value.host].step.ovn_chassis["ovn/chassis"].system_id
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
