# OVN's databases with TLS alone: an authority on the first central, a key on each
# host, and listeners that let in who has a certificate of the authority.
#
#     weft apply playbooks/ovn-tls.hcl -i inventories/ovn-tls.hcl
#
# Applied again, it renews what nears its end: have a timer do so every week.

include = ["lists/ovn.hcl", "lists/ovn-tls.hcl"]

variable "underlay_prefix" {
  description = "Prefix length of the underlay."
  type        = number
  default     = 24
}

variable "lifetime" {
  description = "How long the certificate of a host lives. It is renewed in the last third."
  type        = string
  default     = "8760h"
}

play "underlay" {
  hosts = concat(role.central, role.compute)

  use "underlay" "self" {
    uplink   = host.vars.uplink
    address  = "${host.vars.underlay}/${var.underlay_prefix}"
    datapath = host.vars.datapath
  }

  use "key" "tls" {}
}

play "authority" {
  hosts = role.central[0]

  use "authority" "ovn" {
    name = "OVN of this site"
  }

  # Whom each is for says the inventory, whatever a host asks for.
  step "tls_certificates" "hosts" {
    authority = "/etc/ovn-authority"
    issuer    = step.tls_authority["ovn/authority"].certificate
    lifetime  = var.lifetime
    subjects = {
      for h in concat(role.central, role.compute) : h.name => {
        request   = h.step.tls_key["tls/key"].request
        addresses = [h.vars.underlay]
      }
    }
  }
}

play "central" {
  hosts = role.central

  step "package" "ovn-central" {
    names = ["ovn-common", "ovn-central"]
    data  = ["/var/lib/ovn", "/var/log/ovn"] # a rollback leaves no databases
  }

  step "service" "ovn-ovsdb-server-nb" { running = true }
  step "service" "ovn-ovsdb-server-sb" { running = true }
  step "service" "ovn-northd" { running = true }

  use "shown" "tls" {
    certificate = hosts[role.central[0].name].step.tls_certificates.hosts.certificates[host.name]
    authority   = hosts[role.central[0].name].step.tls_authority["ovn/authority"].certificate
    databases   = ["southbound"]
  }

  # A chassis may change what is its own, and nothing else: its name is that of its
  # certificate. The northbound database knows no such rules, so it has no listener
  # here: whoever has a certificate of this authority could change the network.
  step "ovn_connection" "southbound" {
    database = "southbound"
    target   = "pssl:6642:${host.vars.underlay}"
    role     = "ovn-controller"
  }
}

play "chassis" {
  hosts = role.compute

  use "shown" "tls" {
    certificate = hosts[role.central[0].name].step.tls_certificates.hosts.certificates[host.name]
    authority   = hosts[role.central[0].name].step.tls_authority["ovn/authority"].certificate
    databases   = ["open_vswitch"]
  }

  step "ovn_chassis" "self" {
    system_id            = host.name
    remote               = [for h in role.central : "ssl:${h.vars.underlay}:6642"]
    encap_type           = "geneve"
    encap_ip             = host.vars.underlay
    bridge_datapath_type = host.vars.datapath
  }

  step "ovs_bridge" "br-int" {
    datapath_type = host.vars.datapath
    fail_mode     = "secure"
  }

  step "package" "ovn-host" {
    names = ["ovn-common", "ovn-host"]
    data  = ["/var/lib/ovn", "/var/log/ovn"]
  }

  step "service" "ovn-controller" { running = true }

  step "probe_ovn_remote" "southbound" {
    tags = ["probe"]
  }
}

play "bound" {
  hosts = role.central[0]

  step "probe_ovn_chassis" "connected" {
    for_each = { for h in role.compute : h.name => h }
    tags     = ["probe"]
    chassis  = hosts[each.key].step.ovn_chassis.self.system_id
    encap_ip = each.value.vars.underlay
  }
}
