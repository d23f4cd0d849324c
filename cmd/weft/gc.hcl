# What `weft gc` does: the ports that dead guests left in a bridge and on logical
# switches, and the chassis that reinstalled hosts left in the southbound database.
#
# A host that cannot be asked is left alone, and so is what only it could prove
# dead.

variable "bridge" {
  description = "The integration bridge of the computes."
  type        = string
  default     = "br-int"
}

variable "after" {
  description = "How long after a port was first seen dead it may be removed."
  type        = string
  default     = "1m"
}

variable "hypervisors" {
  description = "Names of the computes that may have guests of libvirt; empty: all of them. Ports of guests go only where all of these could be asked."
  type        = list(string)
  default     = []
}

locals {
  hypervisors = length(var.hypervisors) > 0 ? var.hypervisors : [for h in role.compute : h.name]
}

play "ports" {
  hosts        = role.compute
  max_failures = length(role.compute)
  continue     = true

  # Who the host is: its name and its ends of tunnels.
  step "ovn_chassis" "self" {}

  step "ovs_stale_ports" "guests" {
    bridge = var.bridge
    after  = var.after
  }

  # Which guests the host has: null where no libvirtd answers.
  step "libvirt_domains" "guests" {}
}

play "chassis" {
  hosts = slice(role.central, 0, min(1, length(role.central))) # none is no mistake here

  step "ovn_stale_chassis" "reinstalled" {
    chassis = {
      for h in role.compute : h.name => {
        system_id   = hosts[h.name].step.ovn_chassis.self.system_id
        encap_types = hosts[h.name].step.ovn_chassis.self.encap_types
        encap_ips   = hosts[h.name].step.ovn_chassis.self.encap_ips
      } if hosts[h.name].step.ovn_chassis.self.known
    }
  }
}

play "guests" {
  hosts = slice(role.central, 0, min(1, length(role.central)))

  step "ovn_stale_ports" "gone" {
    hosts = local.hypervisors
    guests = {
      for name in local.hypervisors : name => hosts[name].step.libvirt_domains.guests.known ? hosts[name].step.libvirt_domains.guests.uuids : null
    }
  }
}
