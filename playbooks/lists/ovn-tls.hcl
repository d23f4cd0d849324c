# Steps for TLS between OVN's databases and those who connect to them. They share
# places: the authority lies in /etc/ovn-authority on its host, and what a host shows
# of itself in /etc/ovn-tls.

# The authority, on the host that this is used on.
steps "authority" {
  param "name" {
    type = string
  }
  param "lifetime" {
    type    = string
    default = "87600h"
  }

  step "directory" "authority" {
    path = "/etc/ovn-authority"
    mode = "0700"
  }

  step "tls_authority" "authority" {
    directory   = "/etc/ovn-authority"
    common_name = param.name
    lifetime    = param.lifetime
  }
}

# A host's own key, which the host never tells.
steps "key" {
  step "directory" "tls" {
    path = "/etc/ovn-tls"
    mode = "0755"
  }

  step "tls_key" "key" {
    path = "/etc/ovn-tls/host.key"
  }
}

# What a host shows, and whom it trusts: its certificate and that of the authority.
steps "shown" {
  param "certificate" {
    type = string
  }
  param "authority" {
    type = string # its certificate
  }
  param "databases" {
    type = list(string) # that are told of it: northbound, southbound, open_vswitch
  }

  step "tls_certificate" "certificate" {
    path        = "/etc/ovn-tls/host.crt"
    key         = "/etc/ovn-tls/host.key"
    certificate = param.certificate
  }

  step "file" "authority" {
    path    = "/etc/ovn-tls/authority.crt"
    content = param.authority
    mode    = "0644"
  }

  step "ovsdb_ssl" "ssl" {
    for_each          = toset(param.databases)
    database          = each.key
    private_key       = "/etc/ovn-tls/host.key"
    certificate       = "/etc/ovn-tls/host.crt"
    ca_cert           = "/etc/ovn-tls/authority.crt"
    bootstrap_ca_cert = false
  }
}
