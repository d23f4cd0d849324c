# Two hypervisors whose virtual machines are on one logical switch, for
# playbooks/libvirt-ovn-attach.hcl. The first is OVN's central host, too.

site = "lab"

lab "libvirt-ovn" {
  repository = [
    "openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump",
    "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86",
  ]

  network "management" {
    cidr   = "10.127.22.0/24"
    access = true
  }
  network "underlay" {}
}

group "lab" {
  hosts = ["hyper1", "hyper2"]
  vars = {
    uplink   = "eth1"
    datapath = "netdev" # the lab's kernel has neither an openvswitch module nor KVM
    machine  = "qemu"
  }
}

host "hyper1" {
  address = "10.127.22.2"
  roles   = ["central", "compute"]
  vars    = { underlay = "10.127.0.2" }

  nic "eth0" {
    network = "management"
    address = "10.127.22.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "hyper2" {
  address = "10.127.22.3"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.3" }

  nic "eth0" {
    network = "management"
    address = "10.127.22.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}
