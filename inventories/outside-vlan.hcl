# A central, two computes and a host on VLAN 301 outside, for
# playbooks/ovn-l2gateway.hcl and playbooks/ovn-localnet.hcl. SSH goes over eth0,
# tunnels over eth1, and eth2 is at the trunk of the network outside.

site = "lab"

lab "outside-vlan" {
  repository = ["openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool"]

  network "management" {
    cidr   = "10.127.14.0/24"
    access = true
  }
  network "underlay" {}
  network "outside" {}
}

group "lab" {
  hosts = ["c0", "n1", "n2", "outside"]
  vars = {
    uplink   = "eth1"
    outlet   = "eth2"
    datapath = "netdev" # the lab's kernel has no openvswitch module
  }
}

host "c0" {
  address = "10.127.14.2"
  roles   = ["central"]
  vars    = { underlay = "192.168.30.101" }

  nic "eth0" {
    network = "management"
    address = "10.127.14.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "n1" {
  address = "10.127.14.3"
  roles   = ["compute"]
  vars    = { underlay = "192.168.30.102" }

  nic "eth0" {
    network = "management"
    address = "10.127.14.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
  nic "eth2" {
    network = "outside"
  }
}

host "n2" {
  address = "10.127.14.4"
  roles   = ["compute"]
  vars    = { underlay = "192.168.30.103" }

  nic "eth0" {
    network = "management"
    address = "10.127.14.4/24"
  }
  nic "eth1" {
    network = "underlay"
  }
  nic "eth2" {
    network = "outside"
  }
}

host "outside" {
  address = "10.127.14.5"
  roles   = ["outside"]

  nic "eth0" {
    network = "management"
    address = "10.127.14.5/24"
  }
  nic "eth1" {
    network = "outside"
  }
}
