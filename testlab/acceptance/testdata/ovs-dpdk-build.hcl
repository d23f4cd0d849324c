# DPDK and Open vSwitch with it, built from Debian's source packages and started.

variable "state" {
  description = "present, or absent: all that was built goes."
  type        = string
  default     = "present"
}

variable "ovs_options" {
  description = "Arguments of Open vSwitch's configure."
  type        = list(string)
  default     = []
}

variable "packages" {
  description = "What they are built with."
  type        = list(string)
  default     = ["gcc", "libc6-dev", "libcap-ng-dev", "libnuma-dev", "libssl-dev", "meson", "ninja-build"]
}

play "build" {
  hosts = role.builder

  step "package" "tools" {
    names = concat(var.packages, ["make", "openvswitch-source", "pkgconf", "python3-pyelftools", "uuid-runtime", "xz-utils"])
  }

  step "command" "build user" {
    argv  = ["useradd", "--system", "weft-build"]
    check = ["id", "weft-build"]
    undo  = ["userdel", "weft-build"]
  }

  step "dpdk_build" "dpdk" {
    version  = "22.11.11"
    source   = "/srv/repository/dpdk_22.11.11.orig.tar.xz"
    sha256   = "27a3bb1f57e02eb68c7c0a6f8bbf9fb74ec198c5aab74ed602da5b71c492a476"
    drivers  = ["bus/pci", "bus/vdev", "mempool/ring", "net/af_packet", "net/null", "net/virtio"]
    packages = var.packages
    programs = ["bin/dpdk-devbind.py"]
    user     = "weft-build"
    state    = var.state
  }

  step "ovs_build" "openvswitch" {
    version       = "3.1.0"
    source        = "/usr/src/openvswitch/openvswitch.tar.gz"
    sha256        = "82dde6737921b63b284ad8399f95c7f1de94e1b96b2036dcf4a78c9f969ab03f"
    dpdk          = step.dpdk_build.dpdk.tree
    options       = var.ovs_options
    packages      = var.packages
    user          = "weft-build"
    start_options = ["--no-mlockall"] # the lab has little memory
    state         = var.state
  }
}

play "start" {
  hosts = role.builder

  step "service" "weft-ovsdb-server" {
    running    = true
    enabled    = true
    restart_on = [step.ovs_build.openvswitch]
  }

  step "service" "weft-ovs-vswitchd" {
    running    = true
    enabled    = true
    restart_on = [step.ovs_build.openvswitch]
  }

  step "ovs_config" "dpdk" {
    other_config = {
      dpdk-init  = "true"
      dpdk-extra = "--no-pci --no-huge --legacy-mem -m 512"
    }
  }

  step "ovs_bridge" "br-dpdk" {
    datapath_type = "netdev"
    after_needs   = ["ovs-vswitchd.service"]
  }
}
