# A host of NetworkManager with a kernel of its own, and what stands for its
# switch, for scenario S6: two cables make the bond, a third goes into a bridge of
# its own.

site = "lab"

lab "nm-bond" {
  repository = ["network-manager", "openvswitch-switch", "ethtool"]

  network "management" {
    cidr   = "10.127.9.0/24"
    access = true
  }
  network "leg1" {
    wire = true
  }
  network "leg2" {
    wire = true
  }
  network "third" {
    wire = true
  }
}

host "hyper1" {
  address = "10.127.9.2"
  roles   = ["compute"]

  # The kernel's bonds and VLANs want a kernel with their modules. These cards
  # say how fast they are, which LACP asks for; virtio's do not.
  vm {}
  nic "eth0" {
    network = "management"
    address = "10.127.9.2/24"
  }
  nic "eth1" {
    network = "leg1"
    model   = "e1000e"
  }
  nic "eth2" {
    network = "leg2"
    model   = "e1000e"
  }
  nic "eth3" {
    network = "third"
    model   = "e1000e"
  }
}

host "switch1" {
  address = "10.127.9.3"
  roles   = ["switch"]
  vars = {
    datapath = "netdev" # the lab's kernel has no openvswitch module
    gateways = { "0" = "172.30.0.1/24", "301" = "172.30.1.1/24" }
    beside   = ["eth3"]
  }

  nic "eth0" {
    network = "management"
    address = "10.127.9.3/24"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
  nic "eth3" {
    network = "third"
  }
}
