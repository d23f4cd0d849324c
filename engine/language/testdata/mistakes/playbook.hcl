# Each step of this playbook has one mistake; mistakes.golden has what is said.
variable "encap" {
  type    = string
  default = "geneve"
}

variable "token" {
  sensitive = true
  default   = "hunter2-canary"
}

locals {
  port = 6642
}

play "chassis" {
  hosts     = role.compute
  serail    = 10
  step "ovn_chasis" "typo-in-kind" {}

  step "ovs_port" "typo-in-attribute" {
    bridge  = "br-ext"
    optoins = {}
  }

  step "ovs_port" "missing" {}

  step "ovs_port" "wrong-type" {
    bridge = "br-ext"
    tag    = "three hundred"
  }

  step "ovn_chassis" "self" {
    remote     = [for h in role.central : "tcp:${h.vars.underlay}:${local.prot}"]
    encap_type = var.encap
    encap_ip   = host.vars.underly
  }

  step "ovn_chassis" "enum" {
    remote     = ["tcp:${hosts["ubuntu1"].vars.underlay}:6642"]
    encap_type = "genev"
    encap_ip   = host.vars.underlay
  }

  step "file" "/etc/one" {
    content = step.file.later.path
  }

  step "file" "/etc/two" {
    content = upperr(var.encap)
  }

  step "file" "/etc/three" {
    content = var.encpa
  }

  step "file" "/etc/four" {
    content = templatefile("templates/conf.tmpl", { name = host.name, port = 1 })
  }

  step "file" "/etc/five" {
    content = cidrhost(var.token, 1)
  }

  step "file" "/etc/six" {
    content = step.ovn_chassis.self.sytem_id
  }

  step "package" "ovn-host" {
    version = 1.10
  }

  step "package" "ovn-host" {}

  step "file" "later" {
    for_each = ["a", "b"]
    path     = each.key
    mode     = absent
  }

  step "file" "/etc/seven" {
    content = step.file.later.path
  }

  step "service" "ovn-controller" {
    restart_on = ["file.later"]
    guard      = "60"
  }

  step "ovs_port" "mac" {
    bridge = "br-ext"
    mac    = "02:00"
  }

  step "ovn_switch_port" "shared" {
    switch = "ls1"
  }
}

play "gateway" {
  hosts      = role.central
  time_limit = "-1m"
  on_failure = "rolback"
  reboot     = "sometimes"

  step "ovn_switch_port" "l2gw" {
    switch = "ls1"
    options = {
      chassis = hosts["ubuntu22"].step.ovn_chassis.self.system_id
      peer    = hosts["ubuntu1"].step.ovn_chassis.self.system_id
    }
  }

  step "file" "/etc/eight" {
    content = host.facts.hostnmae
  }

  step "file" "/etc/nine" {
    content = hots.name
  }

  step "file" "ten" {
    for_each = ["a", "c"]
    path     = each.key
    content  = hosts["ubuntu2"].step.file.later[each.key].digest
  }
}

play "compute" {
  hosts = role.computes
  use "base" "all" {}
}
