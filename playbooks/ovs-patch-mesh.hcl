# Bridges that are joined in a triangle by pairs of patch ports, scenario S11:
# every bridge reaches every other by two ways, and STP keeps the loop from
# becoming a storm. (RSTP would be faster, but ovs-vswitchd aborts where its frames
# cross a patch port; weft refuses that.)
#
#     weft apply playbooks/ovs-patch-mesh.hcl -i inventories/patch-mesh.hcl
#
# A pair is one step: both ports, each with the other as its peer, are made in one
# transaction. A peer that is gone leaves a port that looks healthy (it keeps its
# number, and has no error), so both ends are looked at. The plan names the loop
# that a pair closes, unless the bridges have a spanning tree.

variable "bridges" {
  description = "The bridges, in their order."
  type        = list(string)
  default     = ["ovsbr0", "ovsbr1", "ovsbr2"]
}

variable "controllers" {
  description = "OpenFlow controllers of bridges, by name: { ovsbr0 = [\"tcp:192.0.2.1:6653\"] }. A bridge that is left out has none."
  type        = map(list(string))
  default     = {}
}

variable "replaces" {
  description = "Ports that joined two bridges before and go as the patch ports come, by pair: { \"0-1\" = [\"veth0-1\", \"veth1-0\"] }."
  type        = map(list(string))
  default     = {}
}

variable "others" {
  description = "What becomes of ports that nobody asked for: \"report\" or \"remove\"."
  type        = string
  default     = "report"
}

locals {
  numbers = range(length(var.bridges))
  # Every two bridges, once: "0-1", "0-2", "1-2".
  pairs = merge([for a in local.numbers : { for b in local.numbers : "${a}-${b}" => { near = a, far = b } if a < b }]...)
  ports = { for n in local.numbers : var.bridges[n] => [for m in local.numbers : "patch${n}-${m}" if m != n] }
}

play "openvswitch" {
  hosts = role.compute

  step "package" "openvswitch-switch" {
    data = ["/var/lib/openvswitch", "/var/log/openvswitch"] # a rollback leaves no database
  }
}

play "mesh" {
  hosts = role.compute

  step "ovs_bridge" "bridge" {
    for_each      = toset(var.bridges)
    name          = each.value
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    stp_enable    = true
    # The shortest times that IEEE 802.1D allows: a port passes frames after eight
    # seconds instead of thirty.
    other_config = { stp-forward-delay = "4", stp-max-age = "6", stp-hello-time = "1" }
    controllers  = [for target in try(var.controllers[each.value], []) : { target = target }]
    persist      = true
  }

  step "ovs_patch" "pair" {
    for_each = local.pairs
    near     = { bridge = var.bridges[each.value.near], port = "patch${each.value.near}-${each.value.far}" }
    far      = { bridge = var.bridges[each.value.far], port = "patch${each.value.far}-${each.value.near}" }
    replaces = try(var.replaces[each.key], [])
    persist  = true
  }
}

# One guest on each bridge: packets between them cross the patch ports.
play "guests" {
  hosts = role.compute

  step "fake_vm" "vm" {
    for_each  = { for n in local.numbers : "vm${n}" => n }
    name      = each.key
    bridge    = var.bridges[each.value]
    addresses = ["172.31.0.${each.value + 10}/24"]
  }

  # Frames that go in circles would be heard at the guests, and pings would be
  # answered twice or not at all.
  step "probe_ping" "across" {
    for_each  = local.pairs
    tags      = ["probe"]
    namespace = "vm${each.value.near}"
    target    = "172.31.0.${each.value.far + 10}"
  }

  # Last, so that what was made above is known to be asked for.
  step "ovs_bridge_ports" "only" {
    for_each = local.ports
    bridge   = each.key
    ports    = concat(each.value, ["vm*"])
    others   = var.others
  }
}
