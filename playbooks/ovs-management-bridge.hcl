# The management NIC moves into an Open vSwitch bridge, with the address that
# SSH comes by on an internal port beside it: one NIC carries the management
# and whatever VLANs the bridge is given later.
#
# Nothing here asks for a guard. weft finds out that the change cuts the way by
# which it came, and arms one by itself: a host that cannot be reached over a new
# connection in time (--guard-time, a minute where it is left out) takes the
# whole play back, also after a power cut.

variable "nic" {
  description = "The NIC that carries SSH."
  type        = string
  default     = "eth0"
}

variable "bridge" {
  description = "The bridge that it moves into."
  type        = string
  default     = "br-mgmt"
}

variable "native_vlan" {
  description = "The VLAN, inside the bridge, of frames that are untagged on the wire."
  type        = number
  default     = 10
}

variable "vlan" {
  description = "The VLAN of the host's own address. The native one where the switch expects it untagged."
  type        = number
  default     = 10
}

play "openvswitch" {
  hosts = role.compute

  step "package" "openvswitch-switch" {
    tags = ["prepare"]
  }
}

play "management" {
  hosts  = role.compute
  serial = 1 # a mistake is made on one host

  step "ovs_bridge" "br-mgmt" {
    name          = var.bridge
    datapath_type = host.vars.datapath
    persist       = true
  }

  step "ovs_port" "nic" {
    name      = var.nic
    bridge    = var.bridge
    vlan_mode = "native-untagged"
    tag       = var.native_vlan
    persist   = true
  }

  step "ovs_port" "mgmt0" {
    bridge  = var.bridge
    type    = "internal"
    tag     = var.vlan
    up      = true
    persist = true
  }

  step "net_address" "mgmt0" {
    from    = var.nic
    persist = true
  }
}
