# What stands in the lab for the physical switch of scenarios S4 and S6: a bridge
# whose two ports to the hypervisor form a channel, and an address that answers in
# each VLAN. The inventory says which VLANs: host.vars.gateways has who answers, by
# VLAN, where 0 is without a tag; each NIC in host.vars.beside is in a bridge of its
# own.

variable "bond_mode" {
  type    = string
  default = "balance-tcp"
}

variable "lacp" {
  description = "off, or passive, as a switch often is."
  type        = string
  default     = "passive"
}

play "openvswitch" {
  hosts = role.switch

  step "package" "openvswitch-switch" {
    data = ["/var/lib/openvswitch", "/var/log/openvswitch"] # a rollback leaves no database
  }
}

play "switch" {
  hosts = role.switch

  step "ovs_bridge" "switch0" {
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_bond" "channel1" {
    bridge       = "switch0"
    members      = ["eth1", "eth2"]
    bond_mode    = var.bond_mode
    lacp         = var.lacp
    trunks       = [for vlan, address in host.vars.gateways : tonumber(vlan)]
    up           = true
    persist      = true
    other_config = { lacp-time = var.lacp == "off" ? absent : "fast" }
  }

  step "ovs_port" "gateway" {
    for_each  = host.vars.gateways
    name      = "gw${each.key}"
    bridge    = "switch0"
    type      = "internal"
    tag       = tonumber(each.key)
    addresses = [each.value]
    persist   = true
  }

  step "ovs_bridge" "beside" {
    for_each      = toset(try(host.vars.beside, []))
    name          = "br-${each.key}"
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_port" "beside" {
    for_each = toset(try(host.vars.beside, []))
    name     = each.key
    bridge   = "br-${each.key}"
    up       = true
    persist  = true
  }
}
