# What stands in the lab for the physical switch of scenario S6: a channel whose
# untagged frames belong to one network and VLAN 301 to another. Apply it before
# playbooks/nm-bond-vlan-bridge.hcl.

variable "lacp" {
  description = "off, or passive, as a switch often is."
  type        = string
  default     = "passive"
}

variable "bond_mode" {
  type    = string
  default = "balance-tcp"
}

variable "gateways" {
  description = "Who answers, by VLAN; 0 is without a tag."
  type        = map(string)
  default     = { "0" = "172.30.0.1/24", "301" = "172.30.1.1/24" }
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
    trunks       = [for vlan, address in var.gateways : tonumber(vlan)]
    up           = true
    persist      = true
    other_config = { lacp-time = var.lacp == "off" ? absent : "fast" }
  }

  # The third cable ends in a bridge of its own.
  step "ovs_bridge" "switch1" {
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_port" "third" {
    name    = "eth3"
    bridge  = "switch1"
    up      = true
    persist = true
  }

  step "ovs_port" "gateway" {
    for_each  = var.gateways
    name      = "gw${each.key}"
    bridge    = "switch0"
    type      = "internal"
    tag       = tonumber(each.key)
    addresses = [each.value]
    persist   = true
  }
}
