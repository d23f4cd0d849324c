# Two hypervisors with OVS-DPDK and a guest on each, for playbooks/ovs-dpdk-hypervisor.hcl:
# DPDK's own drivers and threads, over virtual devices where a hypervisor has NICs, and
# memory without huge pages. Two cables between them make the bond. The guests are
# emulated: where they boot within a second on hardware, they take half a minute here.

site = "lab"

lab "ovs-dpdk" {
  repository = [
    "openvswitch-switch-dpdk", "ethtool", "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86",
    "librte-bus-vdev23", "librte-mempool-ring23", "librte-net-af-packet23",
  ]

  network "management" {
    cidr   = "10.127.53.0/26"
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
    drivers = ["librte-bus-vdev23", "librte-mempool-ring23", "librte-net-af-packet23"]
    virtual = ["eth1", "eth2"]
    uplinks = {
      dpdk0 = "eth_af_packet0,iface=eth1"
      dpdk1 = "eth_af_packet1,iface=eth2"
    }
    # An idle thread that polls sleeps, for the processors of the lab have other things to do.
    other_config = {
      dpdk-extra      = "--no-pci --no-huge --legacy-mem -m 1024"
      pmd-cpu-mask    = "0x2"
      per-port-memory = "true" # pools as large as ports want them, not as large as fits
      pmd-maxsleep    = "500"
    }
    ovs_ctl_options = "--no-mlockall"
    machine         = "qemu"
    guest_arguments = "pci=nomsi" # the emulator has no interrupts by messages for vhost-user
  }
}

host "hyper1" {
  address = "10.127.53.2"
  roles   = ["hypervisor"]
  vars = {
    gateway = "172.31.30.1/24"
    guests  = { g1 = { mac = "52:54:00:53:00:11", address = "172.31.30.11/24" } }
  }

  nic "eth0" {
    network = "management"
    address = "10.127.53.2/26"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
}

host "hyper2" {
  address = "10.127.53.3"
  roles   = ["hypervisor"]
  vars = {
    gateway = "172.31.30.2/24"
    guests  = { g2 = { mac = "52:54:00:53:00:22", address = "172.31.30.22/24" } }
  }

  nic "eth0" {
    network = "management"
    address = "10.127.53.3/26"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
}
