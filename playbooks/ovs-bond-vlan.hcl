# A hypervisor at its switches, scenario S4: a bridge whose uplink is a bond of two
# NICs, with VLANs for guests that are tagged by their port, guests that tag
# themselves, and a port of the host.
#
#     weft apply playbooks/lab-switch.hcl    -i inventories/bond-vlan.hcl
#     weft apply playbooks/ovs-bond-vlan.hcl -i inventories/bond-vlan.hcl
#
# The first is for what stands in the lab for the physical switch.
#
# By default the bond speaks LACP. Against switch ports that form a channel
# without LACP, or none at all:
#
#     --var lacp=off --var bond_mode=active-backup
#
# balance-slb wants switch ports that are not channelled, balance-tcp wants LACP: it
# drops everything without, which weft refuses.

variable "bridge" {
  description = "The bridge."
  type        = string
  default     = "ovsbr0"
}

variable "members" {
  description = "The NICs of the bond."
  type        = list(string)
  default     = ["eth1", "eth2"]
}

variable "bond_mode" {
  description = "active-backup, balance-slb or balance-tcp."
  type        = string
  default     = "balance-tcp"
}

variable "lacp" {
  description = "off, passive or active."
  type        = string
  default     = "active"
}

variable "trunks" {
  description = "The VLANs that the uplink carries."
  type        = list(number)
  default     = [11, 300, 301, 302]
}

variable "guests" {
  description = "Guests whose port tags for them: VLAN, address, and who answers there."
  type        = map(object({ vlan = number, address = string, gateway = string }))
  default = {
    guest300 = { vlan = 300, address = "172.30.0.10/24", gateway = "172.30.0.1" }
    guest301 = { vlan = 301, address = "172.30.1.10/24", gateway = "172.30.1.1" }
  }
}

variable "trunk_guest" {
  description = "The VLANs that a guest tags itself: address, and who answers there."
  type        = map(object({ vlan = number, address = string, gateway = string }))
  default = {
    trunk301 = { vlan = 301, address = "172.30.1.20/24", gateway = "172.30.1.1" }
    trunk302 = { vlan = 302, address = "172.30.2.20/24", gateway = "172.30.2.1" }
  }
}

play "openvswitch" {
  hosts = role.compute

  step "package" "openvswitch-switch" {
    data = ["/var/lib/openvswitch", "/var/log/openvswitch"] # a rollback leaves no database
  }
}

play "uplink" {
  hosts = role.compute

  step "ovs_bridge" "uplink" {
    name          = var.bridge
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_bond" "bond0" {
    bridge    = var.bridge
    members   = var.members
    bond_mode = var.bond_mode
    lacp      = var.lacp
    trunks    = var.trunks
    up        = true
    persist   = true
    # A partner that is silent for three seconds is gone; with "slow" for ninety.
    other_config = { lacp-time = var.lacp == "off" ? absent : "fast" }
  }

  # A port of the host in VLAN 302 that software takes for a bridge: LXD offers
  # it to containers because of fake_bridge.
  step "ovs_port" "vlan302" {
    bridge       = var.bridge
    type         = "internal"
    tag          = 302
    fake_bridge  = true
    addresses    = ["172.30.2.10/24"]
    external_ids = { iface-id = "vlan302-${host.name}" }
    persist      = true
  }

  step "probe_lacp" "bond0" {
    for_each = var.lacp == "off" ? toset([]) : toset(["bond0"])
    tags     = ["probe"]
    bond     = each.value
    members  = var.members
  }
}

# Stand-ins for guests. One that tags itself is a bridge of its own behind a
# trunk port, with an access port for each of its VLANs.
play "guests" {
  hosts = role.compute

  step "fake_vm" "access" {
    for_each  = var.guests
    name      = each.key
    bridge    = var.bridge
    addresses = [each.value.address]
  }

  step "ovs_port" "access" {
    for_each = var.guests
    name     = each.key
    bridge   = var.bridge
    tag      = each.value.vlan
  }

  step "ovs_bridge" "trunk-guest" {
    name          = "guestbr0"
    datapath_type = host.vars.datapath
    persist       = true
  }

  step "ovs_patch" "trunk-guest" {
    near    = { bridge = var.bridge, port = "trunkguest", trunks = distinct([for g in var.trunk_guest : g.vlan]) }
    far     = { bridge = "guestbr0", port = "guestnic" }
    persist = true
  }

  step "fake_vm" "trunk" {
    for_each  = var.trunk_guest
    name      = each.key
    bridge    = "guestbr0"
    addresses = [each.value.address]
  }

  step "ovs_port" "trunk" {
    for_each = var.trunk_guest
    name     = each.key
    bridge   = "guestbr0"
    tag      = each.value.vlan
  }

  # Each VLAN's flow crosses the uplink with its tag, and the others hear none of it.
  step "probe_vlan" "access" {
    for_each = var.guests
    tags     = ["probe"]
    vlan     = each.value.vlan
    trunk    = var.members
    flow     = { namespace = each.key, target = each.value.gateway }
    others   = [for name, g in merge(var.guests, var.trunk_guest) : { namespace = name, target = g.gateway } if g.vlan != each.value.vlan]
  }

  step "probe_vlan" "trunk" {
    for_each = var.trunk_guest
    tags     = ["probe"]
    vlan     = each.value.vlan
    trunk    = var.members
    flow     = { namespace = each.key, target = each.value.gateway }
    others   = [for name, g in merge(var.guests, var.trunk_guest) : { namespace = name, target = g.gateway } if g.vlan != each.value.vlan]
  }

  step "probe_ping" "vlan302" {
    tags   = ["probe"]
    target = "172.30.2.1"
  }
}
