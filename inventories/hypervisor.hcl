# Two hypervisors for playbooks/hypervisor.hcl, one with OVS-DPDK over a virtual device
# and one without, whose guests are on one logical switch. The second is OVN's central
# host, too.

site = "lab"

lab "hypervisor" {
  repository = [
    "openvswitch-switch-dpdk", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump",
    "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86",
    "librte-bus-vdev23", "librte-mempool-ring23", "librte-net-af-packet23",
  ]

  network "management" {
    cidr   = "10.127.53.64/26"
    access = true
  }
  network "underlay" {}
}

host "hyper1" {
  address = "10.127.53.66"
  roles   = ["compute"]
  vars = {
    underlay = "10.127.0.2"
    virtual  = ["eth1"]
    uplinks  = { dpdk0 = "eth_af_packet0,iface=eth1" }
    drivers  = ["librte-bus-vdev23", "librte-mempool-ring23", "librte-net-af-packet23"]
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

  nic "eth0" {
    network = "management"
    address = "10.127.53.66/26"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "hyper2" {
  address = "10.127.53.67"
  roles   = ["central", "compute"]
  vars = {
    underlay = "10.127.0.3"
    uplink   = "eth1"
    datapath = "netdev" # the lab's kernel has neither an openvswitch module nor KVM
    machine  = "qemu"
  }

  nic "eth0" {
    network = "management"
    address = "10.127.53.67/26"
  }
  nic "eth1" {
    network = "underlay"
  }
}
