# DPDK and Open vSwitch with it, built from Debian's source packages and started.

include = ["../../../playbooks/lists/dpdk-source.hcl"]

variable "ovs_options" {
  description = "Arguments of Open vSwitch's configure."
  type        = list(string)
  default     = []
}

play "build" {
  hosts = role.builder

  use "dpdk-source" "self" {
    packages = ["openvswitch-source"]
    dpdk = {
      version = "22.11.11"
      urls    = ["file:///srv/repository/dpdk_22.11.11.orig.tar.xz"]
      sha256  = "27a3bb1f57e02eb68c7c0a6f8bbf9fb74ec198c5aab74ed602da5b71c492a476"
      drivers = ["bus/pci", "bus/vdev", "mempool/ring", "net/af_packet", "net/null", "net/virtio"]
    }
    openvswitch = {
      version = "3.1.0"
      urls    = ["file:///usr/src/openvswitch/openvswitch.tar.gz"]
      sha256  = "82dde6737921b63b284ad8399f95c7f1de94e1b96b2036dcf4a78c9f969ab03f"
      options = var.ovs_options
    }
    config        = { dpdk-extra = "--no-pci --no-huge --legacy-mem -m 512" }
    start_options = ["--no-mlockall"] # the lab has little memory
  }
}

play "bridge" {
  hosts = role.builder

  step "ovs_bridge" "br-dpdk" {
    datapath_type = "netdev"
  }
}
