# What playbooks share that join a logical switch to a VLAN of the network outside:
# the VLAN, the guests, and the steps for the bridge at its trunk.

variable "vlan" {
  description = "The VLAN outside, an address that answers there, and what OVN calls the network."
  type        = object({ id = number, address = string, network = string })
  default     = { id = 301, address = "192.168.31.254", network = "physnet301" }
}

variable "trunks" {
  description = "The VLANs at the trunk."
  type        = list(number)
  default     = [300, 301]
}

variable "guests" {
  description = "Where each guest lives, and what it is called on the network."
  type        = map(object({ host = string, mac = string, address = string }))
  default = {
    vm1 = { host = "n1", mac = "02:ac:1f:00:00:01", address = "192.168.31.1" }
    vm2 = { host = "n2", mac = "02:ac:1f:00:00:02", address = "192.168.31.2" }
  }
}

variable "mtu" {
  description = "Of the guests: that of the underlay less 58 bytes of geneve."
  type        = number
  default     = 1442
}

locals {
  mine   = { for h in role.compute : h.name => { for name, g in var.guests : name => g if g.host == h.name } }
  others = { for name, g in var.guests : name => [for n, o in var.guests : o if n != name] }
}

# The bridge that a compute has at the trunk of the network outside.
steps "trunk" {
  param "bridge" {
    type    = string
    default = "br-ext"
  }
  param "outlet" {
    type = string
  }
  param "vlans" {
    type = list(number)
  }
  param "datapath" {
    type = string
  }

  step "ovs_bridge" "trunk" {
    name          = param.bridge
    datapath_type = param.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_port" "trunk" {
    name    = param.outlet
    bridge  = param.bridge
    trunks  = param.vlans
    up      = true
    persist = true
  }
}

# What stands in the lab for the network outside: a switch, and an address that
# answers in a VLAN.
steps "outside" {
  param "vlan" {
    type = number
  }
  param "address" {
    type = string # with its prefix length
  }
  param "datapath" {
    type = string
  }

  step "package" "openvswitch-switch" {
    data = ["/var/lib/openvswitch", "/var/log/openvswitch"]
  }

  step "ovs_bridge" "switch0" {
    datapath_type = param.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_port" "eth1" {
    bridge  = "switch0"
    up      = true
    persist = true
  }

  step "ovs_port" "gateway" {
    name      = "gw${param.vlan}"
    bridge    = "switch0"
    type      = "internal"
    tag       = param.vlan
    addresses = [param.address]
    persist   = true
  }
}

# The switch with its guests' ports.
steps "switch" {
  step "ovn_switch" "ls301" {}

  step "ovn_switch_port" "guest" {
    for_each      = var.guests
    name          = each.key
    switch        = "ls301"
    addresses     = ["${each.value.mac} ${each.value.address}"]
    port_security = ["${each.value.mac} ${each.value.address}"]
  }
}

# The guests of this host.
steps "guests" {
  step "fake_vm" "guest" {
    for_each  = local.mine[host.name]
    name      = each.key
    iface_id  = each.key
    mac       = each.value.mac
    addresses = ["${each.value.address}/24"]
    mtu       = var.mtu
  }
}

# They reach the world outside, and one another.
steps "reach" {
  step "probe_ping" "outside" {
    for_each  = local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    target    = var.vlan.address
  }

  step "probe_ping" "guest" {
    for_each  = local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    target    = local.others[each.key][0].address
  }
}
