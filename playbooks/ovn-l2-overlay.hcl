# An OVN layer-2 overlay: one central, some chassis, a logical switch, and a
# fake VM on each chassis that reaches the others through geneve tunnels.

include = ["lists/ovn.hcl"]

variable "vms" {
  description = "The fake VMs: where each lives, its MAC and its address."
  type = map(object({
    host    = string
    mac     = string
    address = string
  }))
  default = {
    vm1 = { host = "ubuntu2", mac = "02:ac:10:ff:00:11", address = "172.16.255.11" }
    vm2 = { host = "ubuntu3", mac = "02:ac:10:ff:00:22", address = "172.16.255.22" }
  }
}

variable "underlay_prefix" {
  description = "Prefix length of the underlay."
  type        = number
  default     = 25
}

variable "vm_prefix" {
  description = "Prefix length of the logical switch's addresses."
  type        = number
  default     = 24
}

variable "mtu" {
  description = "MTU of the fake VMs: that of the underlay less 58 bytes of geneve."
  type        = number
  default     = 1442
}

locals {
  # One that lies about its MAC: port security must keep it silent.
  mallory = { host = "ubuntu2", mac = "02:ac:10:ff:00:44", lie = "02:ac:10:ff:00:66", address = "172.16.255.44" }

  # From each fake VM to those on other hosts, by the host it starts from.
  pairs = {
    for h in distinct([for vm in var.vms : vm.host]) : h => merge([
      for a, from in var.vms : {
        for b, to in var.vms : "${a}-${b}" => { from = a, to = to.address } if from.host == h && to.host != h
      }
    ]...)
  }
}

play "underlay" {
  hosts = concat(role.central, role.compute)

  use "underlay" "self" {
    uplink   = host.vars.uplink
    address  = "${host.vars.underlay}/${var.underlay_prefix}"
    datapath = host.vars.datapath
  }
}

play "central" {
  hosts = role.central

  step "package" "ovn-central" {
    names = ["ovn-common", "ovn-central", "ovn-host"]
    data  = ["/var/lib/ovn", "/var/log/ovn"] # a rollback leaves no databases
  }

  step "service" "ovn-ovsdb-server-nb" { running = true }
  step "service" "ovn-ovsdb-server-sb" { running = true }
  step "service" "ovn-northd" { running = true }

  step "ovn_connection" "southbound" {
    database = "southbound"
    target   = "ptcp:6642:${host.vars.underlay}"
  }
}

play "chassis" {
  hosts = role.compute

  # Before ovn-host, which starts ovn-controller at once: a br-int that was made
  # with another datapath never works.
  step "ovn_chassis" "self" {
    remote               = [for h in role.central : "tcp:${h.vars.underlay}:6642"]
    encap_type           = "geneve"
    encap_ip             = host.vars.underlay
    bridge_datapath_type = host.vars.datapath
  }

  step "ovs_bridge" "br-int" {
    datapath_type = host.vars.datapath
    fail_mode     = "secure"
  }

  step "package" "ovn-host" {
    names = ["ovn-common", "ovn-host"]
    data  = ["/var/lib/ovn", "/var/log/ovn"]
  }

  step "service" "ovn-controller" { running = true }

  step "probe_ovn_remote" "southbound" {
    tags = ["probe"]
  }
}

# A host that was installed anew has its old address and a new name. It cannot
# register while its old chassis is there.
play "identity" {
  hosts = role.central[0]

  step "ovn_stale_chassis" "reinstalled" {
    chassis = {
      for h in role.compute : h.name => {
        system_id   = hosts[h.name].step.ovn_chassis.self.system_id
        encap_types = hosts[h.name].step.ovn_chassis.self.encap_types
        encap_ips   = hosts[h.name].step.ovn_chassis.self.encap_ips
      } if hosts[h.name].step.ovn_chassis.self.known # one that is lost proves nothing
    }
  }
}

play "logical" {
  hosts = role.central[0]

  step "ovn_switch" "ls1" {}

  step "ovn_switch_port" "vm" {
    for_each      = var.vms
    name          = "ls1-${each.key}"
    switch        = "ls1"
    addresses     = ["${each.value.mac} ${each.value.address}"]
    port_security = ["${each.value.mac} ${each.value.address}"]
  }

  step "ovn_switch_port" "mallory" {
    name          = "ls1-mallory"
    switch        = "ls1"
    addresses     = ["${local.mallory.mac} ${local.mallory.address}"]
    port_security = ["${local.mallory.mac} ${local.mallory.address}"]
  }
}

play "guests" {
  hosts = role.compute

  step "fake_vm" "vm" {
    for_each  = { for name, vm in var.vms : name => vm if vm.host == host.name }
    name      = each.key
    iface_id  = "ls1-${each.key}"
    mac       = each.value.mac
    addresses = ["${each.value.address}/${var.vm_prefix}"]
    mtu       = var.mtu
    listen    = 7
  }

  step "fake_vm" "mallory" {
    when      = host.name == local.mallory.host
    iface_id  = "ls1-mallory"
    mac       = local.mallory.lie
    addresses = ["${local.mallory.address}/${var.vm_prefix}"]
    mtu       = var.mtu
  }
}

play "bound" {
  hosts = role.central[0]

  step "probe_ovn_chassis" "connected" {
    for_each = { for h in role.compute : h.name => h }
    tags     = ["probe"]
    chassis  = hosts[each.key].step.ovn_chassis.self.system_id
    encap_ip = each.value.vars.underlay

    generation = true # its row alone may be stale
  }

  step "probe_ovn_port" "vm" {
    tags       = ["probe"]
    for_each   = var.vms
    port       = "ls1-${each.key}"
    chassis    = hosts[each.value.host].step.ovn_chassis.self.system_id
    generation = true
  }
}

play "packets" {
  hosts = role.compute

  # Every fake VM of this host reaches every one elsewhere: small packets, the
  # largest that fit the tunnel, and a megabyte over TCP. A host without fake VMs
  # has no pairs.
  step "probe_ping" "reach" {
    tags      = ["probe"]
    for_each  = try(local.pairs[host.name], {})
    namespace = each.value.from
    target    = each.value.to
  }

  step "probe_ping" "full_size" {
    tags          = ["probe"]
    for_each      = try(local.pairs[host.name], {})
    namespace     = each.value.from
    target        = each.value.to
    size          = var.mtu - 28 # less the headers of IPv4 and ICMP
    dont_fragment = true
  }

  step "probe_tcp" "megabyte" {
    tags      = ["probe"]
    for_each  = try(local.pairs[host.name], {})
    namespace = each.value.from
    target    = "${each.value.to}:7"
    bytes     = 1000000
  }

  # The same switch, the same target, a MAC that is not the port's: silence,
  # while an honest neighbour is answered before and after.
  step "probe_ping" "spoof" {
    tags      = ["probe"]
    for_each  = host.name == local.mallory.host ? try(local.pairs[host.name], {}) : {}
    namespace = "mallory"
    target    = each.value.to
    expect    = "silence"
    control = {
      namespace = each.value.from
      target    = each.value.to
    }
  }
}
