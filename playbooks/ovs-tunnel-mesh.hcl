# A network over hosts that share no switch, without OVN: on each a bridge, a VXLAN
# tunnel to each other host, a guest whose traffic is policed and scheduled, and a
# mirror that lets an analyser see what the guest sends and gets.
#
#     weft apply playbooks/ovs-tunnel-mesh.hcl -i inventories/tunnel-mesh.hcl
#
# Every host has a tunnel to every other, so a frame never needs two: the tunnels'
# ports are protected, which means that none goes from one into another, and a
# broadcast does not go round.

include = ["lists/ovn.hcl"]

variable "bridge" {
  description = "The bridge."
  type        = string
  default     = "br-tun"
}

variable "vni" {
  description = "The virtual network."
  type        = number
  default     = 5001
}

variable "mtu" {
  description = "Of the underlay; guests have less by the 50 bytes that VXLAN takes."
  type        = number
  default     = 1500
}

variable "rate" {
  description = "What a guest may send, kbit/s."
  type        = number
  default     = 100000
}

locals {
  ends   = { for h in role.compute : h.name => h.vars.underlay }
  guests = { for h in role.compute : h.name => h.vars.guest }
}

play "underlay" {
  hosts = role.compute

  use "underlay" "self" {
    uplink   = host.vars.uplink
    address  = "${host.vars.underlay}/24"
    datapath = host.vars.datapath
  }
}

play "mesh" {
  hosts = role.compute

  step "ovs_bridge" "mesh" {
    name          = var.bridge
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_tunnel" "to" {
    for_each  = { for name, address in local.ends : name => address if name != host.name }
    name      = "vx-${each.key}"
    bridge    = var.bridge
    type      = "vxlan"
    remote_ip = each.value
    local_ip  = host.vars.underlay
    key       = tostring(var.vni)
    protected = true
    bfd       = { enable = "true", min_rx = "1000", min_tx = "1000" }
    persist   = true
  }
}

play "guests" {
  hosts = role.compute

  step "fake_vm" "guest" {
    name      = "guest"
    bridge    = var.bridge
    addresses = ["${host.vars.guest}/24"]
    mtu       = var.mtu - 50
  }

  step "ovs_port" "guest" {
    bridge                 = var.bridge
    ingress_policing_rate  = var.rate
    ingress_policing_burst = var.rate / 10
  }

  # Where the datapath is the kernel's, linux-htb and queues would stand here.
  step "ovs_qos" "guest" {
    type = "linux-noop"
  }

  step "fake_vm" "analyser" {
    name   = "analyser"
    bridge = var.bridge
  }

  step "ovs_mirror" "guest" {
    bridge          = var.bridge
    select_src_port = ["guest"]
    select_dst_port = ["guest"]
    output_port     = "analyser"
  }
}

play "packets" {
  hosts = role.compute

  # Each pair of tunnel ends passes whole packets of the underlay, and has its tunnel.
  step "probe_mesh" "underlay" {
    tags    = ["probe", "underlay"]
    timeout = "15s"
    peers   = local.ends
    tunnels = ["vxlan"]
    mtu     = var.mtu
  }

  step "probe_mtu" "guests" {
    for_each  = { for name, address in local.guests : name => address if name != host.name }
    tags      = ["probe"]
    namespace = "guest"
    target    = each.value
    mtu       = var.mtu - 50
  }

  step "probe_capture" "tunnel" {
    for_each = { for name, address in local.guests : name => address if name != host.name }
    tags     = ["probe"]
    link     = host.vars.uplink
    match    = { protocol = "udp", port = 4789, vni = var.vni, destination = local.ends[each.key] }
    inner    = { source = host.vars.guest, destination = each.value }
    traffic  = { namespace = "guest", target = each.value }
  }

  step "probe_capture" "analyser" {
    for_each  = { for name, address in local.guests : name => address if name != host.name }
    tags      = ["probe"]
    namespace = "analyser"
    link      = "eth0"
    match     = { source = each.value, destination = host.vars.guest, protocol = "icmp" }
    traffic   = { namespace = "guest", target = each.value }
  }
}
