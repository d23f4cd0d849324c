# A hypervisor and what stands for its switch, for scenario S4: two cables between
# them make the bond.

site = "lab"

lab "bond-vlan" {
  repository = ["openvswitch-switch", "ethtool", "tcpdump"]

  network "management" {
    cidr   = "10.127.8.0/24"
    access = true
  }
  # A cable, not a switch: LACP goes from end to end, and both ends lose their
  # carrier where one is pulled out.
  network "leg1" {
    wire = true
  }
  network "leg2" {
    wire = true
  }
}

group "lab" {
  hosts = ["hyper1", "switch1"]
  vars  = { datapath = "netdev" } # the lab's kernel has no openvswitch module
}

host "hyper1" {
  address = "10.127.8.2"
  roles   = ["compute"]

  nic "eth0" {
    network = "management"
    address = "10.127.8.2/24"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
}

host "switch1" {
  address = "10.127.8.3"
  roles   = ["switch"]
  vars = {
    gateways = {
      "11"  = "172.30.11.1/24"
      "300" = "172.30.0.1/24"
      "301" = "172.30.1.1/24"
      "302" = "172.30.2.1/24"
    }
  }

  nic "eth0" {
    network = "management"
    address = "10.127.8.3/24"
  }
  nic "eth1" {
    network = "leg1"
  }
  nic "eth2" {
    network = "leg2"
  }
}
