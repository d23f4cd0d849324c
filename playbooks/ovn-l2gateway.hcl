# A logical switch that one chassis joins to a VLAN of the network outside, by an
# l2gateway port. Part of scenario S2.
#
#     weft apply playbooks/ovn-l2gateway.hcl -i inventories/outside-vlan.hcl
#
# Only the gateway's bridge is at the trunk; guests elsewhere come to it by tunnels. The
# gateway has no stand-in: while it is down the VLAN is cut off. Never join one VLAN by
# an l2gateway and a localnet port: that is a loop.

include = ["lists/ovn.hcl", "lists/outside-vlan.hcl"]

variable "gateway" {
  description = "The compute that leads outside."
  type        = string
  default     = "n1"
}

play "underlay" {
  hosts = concat(role.central, role.compute)

  use "underlay" "self" {
    uplink   = host.vars.uplink
    address  = "${host.vars.underlay}/24"
    datapath = host.vars.datapath
  }
}

play "central" {
  hosts = role.central

  use "central" "ovn" {
    address = host.vars.underlay
  }
}

play "trunk" {
  hosts = hosts[var.gateway]

  use "trunk" "ext" {
    outlet   = host.vars.outlet
    vlans    = var.trunks
    datapath = host.vars.datapath
  }
}

play "chassis" {
  hosts = role.compute

  use "chassis" "ovn" {
    centrals = [for h in role.central : h.vars.underlay]
    address  = host.vars.underlay
    datapath = host.vars.datapath
    mappings = host.name == var.gateway ? { (var.vlan.network) = "br-ext" } : {}
  }
}

play "logical" {
  hosts = role.central[0]

  use "switch" "vlan" {}

  step "ovn_switch_port" "l2gwport" {
    switch    = "ls301"
    type      = "l2gateway"
    tag       = var.vlan.id
    addresses = ["unknown"]
    options = {
      network_name      = var.vlan.network
      l2gateway-chassis = hosts[var.gateway].step.ovn_chassis["ovn/chassis"].system_id
    }
  }
}

play "guests" {
  hosts = role.compute

  use "guests" "vlan" {}
}

play "outside" {
  hosts = role.outside

  use "outside" "vlan" {
    vlan     = var.vlan.id
    address  = "${var.vlan.address}/24"
    datapath = host.vars.datapath
  }
}

play "bound" {
  hosts = role.central[0]

  step "probe_ovn_port" "guest" {
    for_each   = var.guests
    tags       = ["probe"]
    port       = each.key
    chassis    = hosts[each.value.host].step.ovn_chassis["ovn/chassis"].system_id
    generation = true
  }

  step "probe_ovn_port" "l2gwport" {
    tags    = ["probe"]
    chassis = hosts[var.gateway].step.ovn_chassis["ovn/chassis"].system_id
  }
}

play "packets" {
  hosts = role.compute

  use "reach" "vlan" {}
}

# What guests elsewhere send out leaves by the gateway's trunk, with the VLAN's tag.
play "path" {
  hosts = role.compute

  step "probe_capture" "trunk" {
    when  = host.name == var.gateway
    tags  = ["probe"]
    link  = host.vars.outlet
    match = { vlan = var.vlan.id, source = [for g in var.guests : g.address if g.host != var.gateway][0], destination = var.vlan.address }
  }

  step "probe_ping" "by-the-gateway" {
    for_each  = host.name == var.gateway ? {} : local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    target    = var.vlan.address
    count     = 20
  }
}
