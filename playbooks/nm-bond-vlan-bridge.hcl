# Linux bonds, VLANs and bridges by NetworkManager, scenario S6: a bridge over a
# NIC, a bridge over a bond of two, and a bridge over a VLAN of that bond.
#
#     weft apply playbooks/lab-switch.hcl         -i inventories/nm-bond.hcl
#     weft apply playbooks/nm-bond-vlan-bridge.hcl -i inventories/nm-bond.hcl
#
# NetworkManager makes the devices, now and at boot: weft writes its profiles,
# has them activated, and looks at what came of it in the kernel. A bond that goes
# into a bridge is activated again, without which NetworkManager shows nothing of it.

variable "mode" {
  description = "Of the bond: 802.3ad, or balance-xor for a channel without LACP."
  type        = string
  default     = "802.3ad"
}

variable "members" {
  description = "The NICs of the bond."
  type        = list(string)
  default     = ["eth1", "eth2"]
}

variable "third" {
  description = "The NIC of the bridge beside."
  type        = string
  default     = "eth3"
}

variable "vlan" {
  description = "The VLAN with a bridge of its own."
  type        = number
  default     = 301
}

variable "addresses" {
  description = "Addresses of the bridges, by bridge."
  type        = map(list(string))
  default = {
    br0   = ["172.30.0.60/24"]
    br301 = ["172.30.1.60/24"]
  }
}

variable "answers" {
  description = "Who answers where, by bridge."
  type        = map(string)
  default     = { br0 = "172.30.0.1", br301 = "172.30.1.1" }
}

play "NetworkManager" {
  hosts = role.compute

  # Without this it would make a profile with DHCP for every NIC that it finds.
  step "directory" "/etc/NetworkManager" {}
  step "directory" "/etc/NetworkManager/conf.d" {}
  step "file" "no-auto-default" {
    path    = "/etc/NetworkManager/conf.d/no-auto-default.conf"
    content = "[main]\nno-auto-default=*\n"
  }
  step "package" "network-manager" {
    data = ["/var/lib/NetworkManager"]
  }
  step "service" "NetworkManager" {
    running = true
    enabled = true
  }
}

play "bridges" {
  hosts = role.compute

  step "net_bridge" "br1" {
    members    = [var.third]
    stp        = false
    persist    = true
    persist_by = "networkmanager"
  }

  step "net_bond" "bond0" {
    members          = var.members
    mode             = var.mode
    miimon           = 100
    lacp_rate        = var.mode == "802.3ad" ? "fast" : absent
    xmit_hash_policy = "layer2+3"
    persist          = true
    persist_by       = "networkmanager"
  }

  step "net_bridge" "br0" {
    members    = ["bond0"]
    stp        = false
    persist    = true
    persist_by = "networkmanager"
  }

  step "net_vlan" "vlan" {
    name       = "bond0.${var.vlan}"
    link       = "bond0"
    id         = var.vlan
    persist    = true
    persist_by = "networkmanager"
  }

  step "net_bridge" "br-vlan" {
    name       = "br${var.vlan}"
    members    = ["bond0.${var.vlan}"]
    stp        = false
    persist    = true
    persist_by = "networkmanager"
  }

  step "net_address" "bridge" {
    for_each   = var.addresses
    name       = each.key
    addresses  = each.value
    persist    = true
    persist_by = "networkmanager"
  }

  step "probe_lacp" "bond0" {
    for_each = var.mode == "802.3ad" ? toset(["bond0"]) : toset([])
    tags     = ["probe"]
    bond     = each.value
    members  = var.members
  }

  step "probe_ping" "bridge" {
    for_each = var.answers
    tags     = ["probe"]
    target   = each.value
  }
}
