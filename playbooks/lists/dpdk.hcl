# Open vSwitch with DPDK from packages of Debian or Ubuntu, DPDK at work in it, and
# where guests' sockets lie.

steps "dpdk" {
  param "config" {
    type = map(string) # keys of other_config beside dpdk-init
  }
  param "packages" {
    type    = list(string) # drivers of DPDK that Open vSwitch does not pull in
    default = []
  }
  param "options" {
    type    = string # of ovs-ctl(8)
    default = ""
  }

  step "package" "openvswitch" {
    names      = concat(["openvswitch-switch-dpdk"], param.packages)
    recommends = false
    data       = ["/var/lib/openvswitch", "/var/log/openvswitch"] # a rollback leaves no database
  }

  # The package brings a second ovs-vswitchd, of lower priority.
  step "alternative" "ovs-vswitchd" {
    path = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
  }

  step "file" "ovs-ctl" {
    when    = param.options != ""
    path    = "/etc/default/openvswitch-switch"
    content = "OVS_CTL_OPTS='${param.options}'\n"
  }

  step "ovs_config" "dpdk" {
    other_config = merge({ dpdk-init = "true" }, param.config)
  }

  # Here, and once, ovs-vswitchd restarts, where ovs_config asks for it or its options
  # changed: all ports are away for seconds. Where guests run on them, weft wants
  # --allow-disruption.
  step "service" "ovs-vswitchd" {
    running    = true
    restart_on = [step.file["ovs-ctl"]]
  }
}

# qemu listens, as its own user, and ovs-vswitchd, which is root, dials: a guest
# survives its restart.
steps "vhost" {
  param "sockets" {
    type    = string # the directory
    default = "/var/lib/vhost-user"
  }
  param "qemu" {
    type    = object({ user = string, group = string })
    default = { user = "libvirt-qemu", group = "kvm" }
  }

  # As whom qemu runs. Said aloud, since the directory below is its.
  step "ini_value" "qemu-user" {
    path  = "/etc/libvirt/qemu.conf"
    key   = "user"
    value = "\"${param.qemu.user}\""
  }

  step "ini_value" "qemu-group" {
    path  = "/etc/libvirt/qemu.conf"
    key   = "group"
    value = "\"${param.qemu.group}\""
  }

  step "service" "libvirtd" {
    restart_on = [step.ini_value["qemu-user"], step.ini_value["qemu-group"]]
  }

  step "directory" "sockets" {
    path  = param.sockets
    owner = param.qemu.user
    group = param.qemu.group
    mode  = "0755"
  }
}
