# Two hypervisors with OVS-DPDK that is built from Debian's source packages, for
# playbooks/ovs-dpdk-hypervisor.hcl: hyper1 compiles, hyper2 takes its result. Devices
# and memory are as in ovs-dpdk.hcl.

site = "lab"

lab "ovs-dpdk-source" {
  repository = [
    "src:dpdk", "openvswitch-source", "ethtool", "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86",
    "gcc", "libc6-dev", "libcap-ng-dev", "libnuma-dev", "libssl-dev", "make", "meson", "ninja-build", "pkgconf",
    "python3-pyelftools", "uuid-runtime", "xz-utils",
  ]

  network "management" {
    cidr   = "10.127.56.0/26"
    access = true
  }
  network "leg1" {
    wire = true
  }
  network "leg2" {
    wire = true
  }
}

group "lab" {
  hosts = ["hyper1", "hyper2"]
  vars = {
    sources = {
      packages = ["openvswitch-source"] # brings a tarball
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
      }
    }
    virtual = ["eth1", "eth2"]
    uplinks = {
      dpdk0 = "eth_af_packet0,iface=eth1"
      dpdk1 = "eth_af_packet1,iface=eth2"
    }
    other_config = {
      dpdk-extra      = "--no-pci --no-huge --legacy-mem -m 1024"
      pmd-cpu-mask    = "0x2"
      per-port-memory = "true"
      pmd-maxsleep    = "500"
    }
    ovs_ctl_options = "--no-mlockall"
    machine         = "qemu"
    guest_arguments = "pci=nomsi"
  }
}

host "hyper1" {
  address = "10.127.56.2"
  roles   = ["hypervisor"]
  vars = {
    gateway = "172.31.30.1/24"
    guests  = { g1 = { mac = "52:54:00:53:02:11", address = "172.31.30.11/24" } }
  }

  nic "eth0" {
    network = "management"
    address = "10.127.56.2/26"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
}

host "hyper2" {
  address = "10.127.56.3"
  roles   = ["hypervisor"]
  vars = {
    gateway = "172.31.30.2/24"
    guests  = { g2 = { mac = "52:54:00:53:02:22", address = "172.31.30.22/24" } }
  }

  nic "eth0" {
    network = "management"
    address = "10.127.56.3/26"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
}
