# Three chassis, the first of which is central as well, and a host outside, for
# scenario S10. SSH goes over eth0, tunnels over eth1, and eth2 of the first two leads
# outside.

site = "lab"

lab "router-gateway" {
  repository = ["openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump"]

  network "management" {
    cidr   = "10.127.12.0/24"
    access = true
  }
  network "underlay" {}
  network "outside" {}
}

group "lab" {
  hosts = ["h0", "h1", "h2"]
  vars = {
    uplink   = "eth1"
    datapath = "netdev" # the lab's kernel has no openvswitch module
  }
}

host "h0" {
  address = "10.127.12.2"
  roles   = ["central", "compute"]
  vars    = { underlay = "177.1.1.1", outlet = "eth2" }

  nic "eth0" {
    network = "management"
    address = "10.127.12.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
  nic "eth2" {
    network = "outside"
  }
}

host "h1" {
  address = "10.127.12.3"
  roles   = ["compute"]
  vars    = { underlay = "177.1.1.2", outlet = "eth2" }

  nic "eth0" {
    network = "management"
    address = "10.127.12.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
  nic "eth2" {
    network = "outside"
  }
}

host "h2" {
  address = "10.127.12.4"
  roles   = ["compute"]
  vars    = { underlay = "177.1.1.3" }

  nic "eth0" {
    network = "management"
    address = "10.127.12.4/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "outside" {
  address = "10.127.12.5"
  roles   = ["outside"]

  nic "eth0" {
    network = "management"
    address = "10.127.12.5/24"
  }
  nic "eth1" {
    network = "outside"
  }
}
