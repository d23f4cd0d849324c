# Open vSwitch as RPMs, built from its release tarball by a user of their own and
# installed from a repository of the host, scenario S5.
#
#     weft apply playbooks/ovs-rpm-build.hcl -i inventories/rpm-build.hcl
#
# The tarball lies on the host. The host's variables may name another: tarball, spec,
# name, packages, service, tools, defines. SELinux and firewalld stay switched on.

variable "tarball" {
  description = "The release tarball, on the host."
  type        = string
  default     = "/usr/src/openvswitch-3.1.0.tar.gz"
}

variable "build_user" {
  description = "Who builds: root must not, and rpmbuild says \"bad owner\" where it does."
  type        = string
  default     = "builder"
}

variable "without" {
  description = "Conditions of the spec that are switched off. The tests of Open vSwitch take longer than its build."
  type        = list(string)
  default     = ["check"]
}

play "build" {
  hosts = role.builder

  step "package" "tools" {
    names = try(host.vars.tools, ["rpm-build", "createrepo_c", "dnf-plugins-core"])
  }

  step "user" "build-user" {
    user   = var.build_user
    system = true
    shell  = "/sbin/nologin"
  }

  step "rpm_build" "switch" {
    name     = try(host.vars.name, "openvswitch")
    sources  = [try(host.vars.tarball, var.tarball)]
    spec     = try(host.vars.spec, "rhel/openvswitch-fedora.spec")
    user     = var.build_user
    builddep = true
    without  = var.without
    defines  = try(host.vars.defines, {})
  }
}

play "install" {
  hosts = role.builder

  step "package_repository" "switch" {
    name        = "${try(host.vars.name, "openvswitch")}-local"
    description = "Built on this host"
    uris        = ["file://${step.rpm_build.switch.directory}"]
    enabled     = false # for this installation alone
    gpgcheck    = false # nobody signed them
  }

  step "package" "switch" {
    names               = try(host.vars.packages, ["openvswitch"])
    versions            = { for name in try(host.vars.packages, ["openvswitch"]) : name => step.rpm_build.switch.version }
    enable_repositories = ["${try(host.vars.name, "openvswitch")}-local"]
    data                = ["/var/lib/openvswitch", "/var/log/openvswitch"]
  }

  step "service" "switch" {
    unit    = try(host.vars.service, "openvswitch")
    running = true
    enabled = true
  }
}
