# A central and a compute for playbooks/ovn-tls.hcl: SSH goes over eth0, and eth1 is
# the underlay that the databases and the tunnels use.

site = "lab"

lab "ovn-tls" {
  repository = ["openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool"]

  network "management" {
    cidr   = "10.127.30.0/24"
    access = true
  }
  network "underlay" {}
}

group "lab" {
  hosts = ["central1", "compute1"]
  vars = {
    uplink   = "eth1"
    datapath = "netdev" # the lab's kernel has no openvswitch module
  }
}

host "central1" {
  address = "10.127.30.2"
  roles   = ["central"]
  vars    = { underlay = "192.0.2.2" }

  nic "eth0" {
    network = "management"
    address = "10.127.30.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "compute1" {
  address = "10.127.30.3"
  roles   = ["compute"]
  vars    = { underlay = "192.0.2.3" }

  nic "eth0" {
    network = "management"
    address = "10.127.30.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}
