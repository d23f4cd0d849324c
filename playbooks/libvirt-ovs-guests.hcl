# Virtual machines of libvirt on a bridge of Open vSwitch, with a network whose
# groups of ports put them into VLANs: one guest on an access port, one that tags
# itself on a trunk, and a second network card that is plugged into the first
# while it runs.
#
#     weft apply playbooks/libvirt-ovs-guests.hcl -i inventories/libvirt-guests.hcl
#
# The guests boot a kernel and an initrd that are on the host (var.image). Their
# addresses are on their kernel's command line, by MAC, where the image of the lab
# looks for them; an image of your own has them from DHCP, or from cloud-init.
#
include = ["lists/libvirt.hcl"]

variable "image" {
  description = "Directory on the host that has vmlinuz and initrd."
  type        = string
  default     = "/srv/guest"
}

variable "bridge" {
  description = "The bridge."
  type        = string
  default     = "ovsbr0"
}

variable "gateways" {
  description = "Who answers in each VLAN: a port of the host, with its address."
  type        = map(string)
  default     = { "300" = "172.31.0.1/24", "301" = "172.31.1.1/24", "302" = "172.31.2.1/24" }
}

variable "guests" {
  description = "The guests: MAC, group of ports, and addresses by MAC, or by MAC/VLAN where the guest tags."
  type        = map(object({ mac = string, portgroup = string, addresses = map(string) }))
  default = {
    access = {
      mac       = "52:54:00:14:00:10"
      portgroup = "vlan300"
      addresses = {
        "52:54:00:14:00:10" = "172.31.0.10/24"
        "52:54:00:14:02:10" = "172.31.2.10/24" # the card that is plugged in
      }
    }
    trunk = {
      mac       = "52:54:00:14:00:20"
      portgroup = "trunk"
      addresses = {
        "52:54:00:14:00:20"     = "172.31.1.20/24" # the native VLAN
        "52:54:00:14:00:20/302" = "172.31.2.20/24"
      }
    }
  }
}

play "packages" {
  hosts = role.compute

  step "package" "openvswitch-switch" {
    data = ["/var/lib/openvswitch", "/var/log/openvswitch"] # a rollback leaves no database
  }

  use "libvirt" "self" {}
}

play "network" {
  hosts = role.compute

  step "ovs_bridge" "guests" {
    name          = var.bridge
    datapath_type = host.vars.datapath
    fail_mode     = "standalone"
    persist       = true
  }

  step "ovs_port" "gateway" {
    for_each  = var.gateways
    name      = "gw${each.key}"
    bridge    = var.bridge
    type      = "internal"
    tag       = tonumber(each.key)
    addresses = [each.value]
    up        = true
    persist   = true
  }

  step "libvirt_network" "ovsnw" {
    bridge      = var.bridge
    virtualport = "openvswitch"
    autostart   = true
    portgroups = {
      untag   = { default = true }
      vlan300 = { tag = 300 }
      vlan302 = { tag = 302 }
      trunk   = { trunks = [301, 302], native = 301 }
    }
  }
}

play "guests" {
  hosts = role.compute

  step "libvirt_domain" "guest" {
    for_each = var.guests
    name     = each.key
    xml = templatefile("../templates/libvirt-guest.xml", {
      type      = host.vars.machine
      memory    = 128
      image     = var.image
      arguments = join(" ", [for card, address in each.value.addresses : "net=${card}=${address}"])
      cards     = [{ mac = each.value.mac, network = "ovsnw", portgroup = each.value.portgroup }]
    })
    running   = true
    autostart = true
  }

  # Pings cross the access port, the native VLAN and a tag of the guest's own.
  step "probe_ping" "guest" {
    for_each = { access = "172.31.0.10", native = "172.31.1.20", tagged = "172.31.2.20" }
    tags     = ["probe"]
    target   = each.value
    timeout  = "5m"
  }

  # Once its kernel is up: a guest without one would not see the card.
  step "libvirt_interface" "second" {
    domain    = "access"
    mac       = "52:54:00:14:02:10"
    network   = "ovsnw"
    portgroup = "vlan302"
    model     = "virtio"
  }

  step "probe_ping" "second" {
    tags    = ["probe"]
    target  = "172.31.2.10"
    timeout = "1m"
  }
}
