# Moves virtual machines to the hypervisors where they shall live, while they work.
#
#     weft apply playbooks/vm-migrate.hcl -i inventories/libvirt-ovn.hcl
#
# For machines and hypervisors as playbooks/libvirt-ovn-attach.hcl makes them: give a
# machine its new host in the variable guests, apply this playbook, and then that one.
#
# The libvirtds let one another in by certificates, and so the central host, which tells
# OVN of both places before a machine moves, and of the new one afterwards. Applied
# again, this renews the certificates that near their end.

include = ["lists/libvirt-tls.hcl", "lists/guests.hcl"]

variable "lifetime" {
  description = "How long the certificate of a host lives. It is renewed in the last third."
  type        = string
  default     = "8760h"
}

play "keys" {
  hosts = concat(role.central, role.compute)

  use "libvirt-key" "tls" {}
}

play "qemu" {
  hosts = role.compute

  use "qemu-key" "qemu" {}

  # Its name in OVN.
  step "ovn_chassis" "self" {}
}

play "authority" {
  hosts = role.central[0]

  use "authorities" "hypervisors" {}

  # Whom each is for says the inventory, whatever a host asks for.
  step "tls_certificates" "libvirt" {
    authority = "/etc/hypervisor-authority/libvirt"
    issuer    = step.tls_authority["hypervisors/libvirt"].certificate
    lifetime  = var.lifetime
    subjects = {
      for name in distinct([for h in concat(role.central, role.compute) : h.name]) : name => {
        request   = hosts[name].step.tls_key["tls/key"].request
        addresses = [hosts[name].vars.underlay]
        names     = [name]
      }
    }
  }

  step "tls_certificates" "qemu" {
    authority = "/etc/hypervisor-authority/qemu"
    issuer    = step.tls_authority["hypervisors/qemu"].certificate
    lifetime  = var.lifetime
    subjects = {
      for h in role.compute : h.name => {
        request   = h.step.tls_key["qemu/key"].request
        addresses = [h.vars.underlay]
        names     = [h.name]
      }
    }
  }
}

play "certificates" {
  hosts = concat(role.central, role.compute)

  use "libvirt-certificate" "tls" {
    certificate = hosts[role.central[0].name].step.tls_certificates.libvirt.certificates[host.name]
    authority   = hosts[role.central[0].name].step.tls_authority["hypervisors/libvirt"].certificate
  }

  step "package" "libvirt-clients" {
    recommends = false
  }
}

play "hypervisors" {
  hosts = role.compute

  use "qemu-certificate" "qemu" {
    certificate = hosts[role.central[0].name].step.tls_certificates.qemu.certificates[host.name]
    authority   = hosts[role.central[0].name].step.tls_authority["hypervisors/qemu"].certificate
  }

  use "libvirt-listener" "tls" {}

  # It reads its certificates when it starts; the machines go on meanwhile.
  step "service" "libvirtd" {
    restart_on = [step.tls_certificate["tls/certificate"], step.file["tls/authority"]]
  }
}

play "move" {
  hosts = role.central[0]

  step "vm_migrate" "guest" {
    for_each = var.guests
    domain   = each.key
    to       = each.value.host
    hypervisors = {
      for h in role.compute : h.name => {
        uri     = "qemu+tls://${h.vars.underlay}/system"
        address = h.vars.underlay
        chassis = hosts[h.name].step.ovn_chassis.self.system_id
      }
    }
  }
}
