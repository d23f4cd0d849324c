# A third fake VM on the overlay, and its migration: apply it with vm3_host set
# to one host, then to the other. Its port stays, its chassis changes, and it is
# reached from the other side each time.

variable "vm3_host" {
  description = "The chassis that vm3 lives on."
  type        = string
  default     = "ubuntu3"
}

variable "mtu" {
  type    = number
  default = 1442
}

locals {
  mac     = "02:ac:10:ff:00:33"
  address = "172.16.255.33"
  # Who is reached from where: always the one on the other host.
  peers = { ubuntu2 = "172.16.255.22", ubuntu3 = "172.16.255.11" }
}

play "port" {
  hosts = role.central[0]

  step "ovn_switch_port" "ls1-vm3" {
    switch        = "ls1"
    addresses     = ["${local.mac} ${local.address}"]
    port_security = ["${local.mac} ${local.address}"]
  }
}

play "leave" {
  hosts = [for h in role.compute : h if h.name != var.vm3_host]

  step "fake_vm" "vm3" {
    state = "absent"
  }
}

play "arrive" {
  hosts = hosts[var.vm3_host]

  step "fake_vm" "vm3" {
    iface_id  = "ls1-vm3"
    mac       = local.mac
    addresses = ["${local.address}/24"]
    mtu       = var.mtu
  }

  step "probe_ping" "remote" {
    namespace = "vm3"
    target    = local.peers[host.name]
  }

  step "ovn_chassis" "self" {} # for its output
}

play "bound" {
  hosts = role.central[0]

  step "probe_ovn_port" "ls1-vm3" {
    chassis = hosts[var.vm3_host].step.ovn_chassis.self.system_id
  }
}
