# Logical switches joined by a router, with DHCP for their guests and a way out by a
# gateway, scenario S10.
#
#     weft apply playbooks/ovn-router-gateway.hcl -i inventories/router-gateway.hcl
#
# lr1 joins ls1 and ls2, where guests are, and ls3, which a localnet port joins to the
# network outside. What goes between guests takes the shortest way: each chassis
# routes by itself. What goes out leaves by one chassis, which var.gateways ranks; where
# that dies the next takes over, if it still sees another: one that sees no other
# chassis at all takes itself for the one that is cut off. So there are three.
#
# Guests get addresses by DHCP and DHCPv6, and their IPv6 route by advertisements of
# the router: DHCPv6 gives none.

include = ["lists/ovn.hcl"]

variable "gateways" {
  description = "The chassis that lead outside, with their ranks: the highest that lives has the way."
  type        = map(number)
  default     = { h1 = 20, h0 = 10 }
}

variable "guests" {
  description = "Where each guest lives, and what it is called on the network."
  type        = map(object({ host = string, switch = string, mac = string, address = string, address6 = string }))
  default = {
    v0 = { host = "h2", switch = "ls1", mac = "02:ac:10:01:00:10", address = "172.16.1.10", address6 = "fd00:1::10" }
    v1 = { host = "h1", switch = "ls2", mac = "02:ac:10:02:00:11", address = "172.16.2.11", address6 = "fd00:2::11" }
  }
}

variable "switches" {
  description = "The switches of guests: the router has the address that ends in 254, and in fe."
  type        = map(object({ network = string, router = string, network6 = string, router6 = string, mac = string }))
  default = {
    ls1 = { network = "172.16.1.0/24", router = "172.16.1.254", network6 = "fd00:1::/64", router6 = "fd00:1::fe", mac = "02:ac:10:01:00:fe" }
    ls2 = { network = "172.16.2.0/24", router = "172.16.2.254", network6 = "fd00:2::/64", router6 = "fd00:2::fe", mac = "02:ac:10:02:00:fe" }
  }
}

variable "outside" {
  description = "The network outside: the router's address there, that of the next router, and an address behind it."
  type        = object({ router = string, next = string, beyond = string })
  default     = { router = "172.16.3.254", next = "172.16.3.253", beyond = "198.51.100.1" }
}

variable "mtu" {
  description = "Of the guests: that of the underlay less 58 bytes of geneve."
  type        = number
  default     = 1442
}

locals {
  mine   = { for h in role.compute : h.name => { for name, g in var.guests : name => g if g.host == h.name } }
  others = { for name, g in var.guests : name => [for n, o in var.guests : o if n != name] }
  # The gateway that has the way out, while it lives.
  first = [for name, rank in var.gateways : name if rank == max(values(var.gateways)...)][0]
}

play "underlay" {
  hosts = role.compute

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

play "chassis" {
  hosts = role.compute

  # The bridge that leads outside, on gateways. ovn-controller joins it to br-int by
  # patch ports of its own, as soon as a localnet port names the network.
  step "ovs_bridge" "br-out" {
    when          = contains(keys(var.gateways), host.name)
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_port" "outlet" {
    when    = contains(keys(var.gateways), host.name)
    name    = try(host.vars.outlet, "none")
    bridge  = "br-out"
    up      = true
    persist = true
  }

  use "chassis" "ovn" {
    centrals = [for h in role.central : h.vars.underlay]
    address  = host.vars.underlay
    datapath = host.vars.datapath
    mappings = contains(keys(var.gateways), host.name) ? { outNet = "br-out" } : {}
  }
}

play "logical" {
  hosts = role.central[0]

  step "ovn_switch" "guests" {
    for_each     = var.switches
    name         = each.key
    other_config = { subnet = each.value.network, ipv6_prefix = each.value.network6, exclude_ips = each.value.router }
  }

  step "ovn_dhcp_options" "v4" {
    for_each = var.switches
    name     = "${each.key}-v4"
    cidr     = each.value.network
    options = {
      server_id  = each.value.router
      server_mac = each.value.mac
      lease_time = "3600"
      router     = each.value.router
      mtu        = tostring(var.mtu)
    }
  }

  step "ovn_dhcp_options" "v6" {
    for_each = var.switches
    name     = "${each.key}-v6"
    cidr     = each.value.network6
    options  = { server_id = each.value.mac }
  }

  step "ovn_switch_port" "guest" {
    for_each       = var.guests
    name           = each.key
    switch         = each.value.switch
    addresses      = ["${each.value.mac} ${each.value.address} ${each.value.address6}"]
    port_security  = ["${each.value.mac} ${each.value.address} ${each.value.address6}"]
    dhcpv4_options = "${each.value.switch}-v4"
    dhcpv6_options = "${each.value.switch}-v6"
  }

  step "ovn_router" "lr1" {}

  step "ovn_router_port" "guests" {
    for_each        = var.switches
    name            = "lr1-${each.key}"
    router          = "lr1"
    mac             = each.value.mac
    networks        = ["${each.value.router}/24", "${each.value.router6}/64"]
    ipv6_ra_configs = { address_mode = "dhcpv6_stateful", send_periodic = "true", mtu = tostring(var.mtu) }
  }

  step "ovn_switch_port" "router" {
    for_each  = var.switches
    name      = "${each.key}-lr1"
    switch    = each.key
    type      = "router"
    addresses = ["router"]
    options   = { router-port = "lr1-${each.key}" }
  }
}

play "gateway" {
  hosts = role.central[0]

  step "ovn_switch" "ls3" {}

  step "ovn_switch_port" "outside" {
    switch    = "ls3"
    type      = "localnet"
    addresses = ["unknown"]
    options   = { network_name = "outNet" }
  }

  step "ovn_router_port" "lr1-ls3" {
    router          = "lr1"
    mac             = "02:ac:10:03:00:fe"
    networks        = ["${var.outside.router}/24"]
    gateway_chassis = [for name, rank in var.gateways : { chassis_name = hosts[name].step.ovn_chassis["ovn/chassis"].system_id, priority = rank }]
  }

  step "ovn_switch_port" "ls3-lr1" {
    switch    = "ls3"
    type      = "router"
    addresses = ["router"]
    options   = { router-port = "lr1-ls3" }
  }

  step "ovn_static_route" "default" {
    router    = "lr1"
    ip_prefix = "0.0.0.0/0"
    nexthop   = var.outside.next
  }
}

play "guests" {
  hosts = role.compute

  step "fake_vm" "guest" {
    for_each  = local.mine[host.name]
    name      = each.key
    iface_id  = each.key
    mac       = each.value.mac
    addresses = ["${each.value.address}/24", "${each.value.address6}/64"]
    gateway   = var.switches[each.value.switch].router
    mtu       = var.mtu
  }
}

# What stands in the lab for the network outside: a router that knows the way in.
play "outside" {
  hosts = role.outside

  step "net_address" "eth1" {
    addresses = ["${var.outside.next}/24", "${var.outside.beyond}/32"]
    routes    = [for s in var.switches : { to = s.network, via = var.outside.router }]
    persist   = true
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

  # The router's port outside is on one of the chassis that may have it.
  step "probe_ovn_port" "cr-lr1-ls3" {
    tags = ["probe"]
  }
}

play "packets" {
  hosts = role.compute

  # What a guest is offered that asks, as it would at its boot.
  step "probe_dhcp" "lease" {
    for_each  = local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    link      = "eth0"
    expect = {
      address    = each.value.address
      router     = var.switches[each.value.switch].router
      server     = var.switches[each.value.switch].router
      mtu        = var.mtu
      lease_time = "1h"
    }
  }

  step "probe_dhcp" "lease6" {
    for_each  = local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    link      = "eth0"
    family    = "ipv6"
    expect    = { address = each.value.address6, managed = true }
  }

  # From switch to switch, by the router.
  step "probe_ping" "across" {
    for_each  = local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    target    = local.others[each.key][0].address
  }

  # The next router, and what is behind it.
  step "probe_ping" "next" {
    for_each  = local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    target    = var.outside.next
  }

  step "probe_ping" "out" {
    for_each  = local.mine[host.name]
    tags      = ["probe", "out"]
    namespace = each.key
    target    = var.outside.beyond
  }
}

# What guests elsewhere send out is seen at the outlet of the gateway.
play "path" {
  hosts = role.compute

  step "probe_capture" "outlet" {
    when  = host.name == local.first
    tags  = ["probe"]
    link  = try(host.vars.outlet, "none")
    match = { source = [for g in var.guests : g.address if g.host != local.first][0], destination = var.outside.beyond, protocol = "icmp" }
  }

  step "probe_ping" "by-the-gateway" {
    for_each  = host.name == local.first ? {} : local.mine[host.name]
    tags      = ["probe"]
    namespace = each.key
    target    = var.outside.beyond
    count     = 20
  }
}

play "in" {
  hosts = role.outside

  step "probe_ping" "in" {
    for_each = var.guests
    tags     = ["probe"]
    target   = each.value.address
    source   = var.outside.next
  }
}
