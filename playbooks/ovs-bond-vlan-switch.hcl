# What stands in the lab for the physical switch of scenario S4: a bridge whose
# ports to the hypervisor form a channel, and an address that answers in each VLAN.
# Apply it before playbooks/ovs-bond-vlan.hcl.

variable "bond_mode" {
  type    = string
  default = "balance-tcp"
}

variable "lacp" {
  description = "off, or passive, as a switch often is."
  type        = string
  default     = "passive"
}

variable "gateways" {
  description = "Who answers, by VLAN."
  type        = map(string)
  default = {
    "11"  = "172.30.11.1/24"
    "300" = "172.30.0.1/24"
    "301" = "172.30.1.1/24"
    "302" = "172.30.2.1/24"
  }
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
