# A logical switch that every chassis joins to a VLAN of the network outside, by a
# localnet port. Part of scenario S2; ovn-l2gateway.hcl is the other way.
#
#     weft apply playbooks/ovn-localnet.hcl -i inventories/outside-vlan.hcl
#
# Each compute has a bridge at the trunk, and its guests leave by that: also those that
# talk to one another, for with a localnet port OVN uses no tunnels. So the VLAN must be
# trunked to all of them. Never join one VLAN by a localnet and an l2gateway port: that is a
# loop.

include = ["lists/ovn.hcl", "lists/outside-vlan.hcl"]

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
  hosts = role.compute

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
    mappings = { (var.vlan.network) = "br-ext" }
  }
}

play "logical" {
  hosts = role.central[0]

  use "switch" "vlan" {}

  step "ovn_switch_port" "physnet301" {
    switch    = "ls301"
    type      = "localnet"
    tag       = var.vlan.id
    addresses = ["unknown"]
    options   = { network_name = var.vlan.network }
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
}

play "packets" {
  hosts = role.compute

  use "reach" "vlan" {}

  # By the trunk, with the VLAN's tag, and by no tunnel.
  step "probe_capture" "trunk" {
    for_each = local.mine[host.name]
    tags     = ["probe"]
    link     = host.vars.outlet
    match    = { vlan = var.vlan.id, source = each.value.address, destination = local.others[each.key][0].address }
    traffic  = { namespace = each.key, target = local.others[each.key][0].address }
  }
}
