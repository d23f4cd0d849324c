# Steps for the certificates by which hypervisors let one another in, and whoever
# migrates guests. libvirt and qemu look for them in /etc/pki, each under names of
# their own: https://libvirt.org/kbase/tlscerts.html.
#
# Who has a certificate of libvirt's authority is root of all hypervisors. qemu's
# certificates are of another authority, since a guest that breaks out of qemu has them.

# The two authorities, on the host that this is used on.
steps "authorities" {
  step "directory" "pki" {
    path = "/etc/hypervisor-authority"
    mode = "0700"
  }

  step "directory" "authority" {
    for_each = toset(["libvirt", "qemu"])
    path     = "/etc/hypervisor-authority/${each.key}"
    mode     = "0700"
  }

  step "tls_authority" "libvirt" {
    directory   = "/etc/hypervisor-authority/libvirt"
    common_name = "libvirt of this site"
  }

  step "tls_authority" "qemu" {
    directory   = "/etc/hypervisor-authority/qemu"
    common_name = "qemu of this site"
  }
}

# The directories, and the key by which a host is known to libvirtds.
steps "libvirt-key" {
  step "directory" "pki" {
    for_each = toset(["", "/CA", "/libvirt"])
    path     = "/etc/pki${each.key}"
  }

  step "directory" "private" {
    path = "/etc/pki/libvirt/private"
    mode = "0700"
  }

  step "tls_key" "key" {
    path = "/etc/pki/libvirt/private/clientkey.pem"
  }
}

# What a host shows to libvirtds, and whom it trusts.
steps "libvirt-certificate" {
  param "certificate" {
    type = string
  }
  param "authority" {
    type = string # its certificate
  }

  step "tls_certificate" "certificate" {
    path        = "/etc/pki/libvirt/clientcert.pem"
    key         = "/etc/pki/libvirt/private/clientkey.pem"
    certificate = param.certificate
  }

  step "file" "authority" {
    path    = "/etc/pki/CA/cacert.pem"
    content = param.authority
    mode    = "0644"
  }
}

# qemu's key. The package that makes its user must be there.
steps "qemu-key" {
  step "directory" "qemu" {
    path = "/etc/pki/qemu"
  }

  step "tls_key" "key" {
    path  = "/etc/pki/qemu/server-key.pem"
    group = "libvirt-qemu"
  }
}

# What qemu shows when it sends or takes a guest's memory.
steps "qemu-certificate" {
  param "certificate" {
    type = string
  }
  param "authority" {
    type = string # its certificate
  }

  step "tls_certificate" "certificate" {
    path        = "/etc/pki/qemu/server-cert.pem"
    key         = "/etc/pki/qemu/server-key.pem"
    certificate = param.certificate
  }

  step "file" "client" {
    for_each = { "client-cert.pem" = "server-cert.pem", "client-key.pem" = "server-key.pem" }
    path     = "/etc/pki/qemu/${each.key}"
    target   = each.value
  }

  step "file" "authority" {
    path    = "/etc/pki/qemu/ca-cert.pem"
    content = param.authority
    mode    = "0644"
  }
}

# libvirtd listens for who has a certificate, on all addresses of the host.
steps "libvirt-listener" {
  step "file" "server" {
    for_each = {
      "servercert.pem"        = "clientcert.pem"
      "private/serverkey.pem" = "clientkey.pem"
    }
    path   = "/etc/pki/libvirt/${each.key}"
    target = each.value
  }

  step "service" "libvirtd-tls.socket" {
    running = true
    enabled = true
  }
}
