# Three hosts on one machine, for `weft lab` and for scenario S1: ubuntu1 is
# central, ubuntu2 and ubuntu3 are chassis. SSH goes over eth0; eth1 is the
# underlay that the tunnels cross.

site = "lab"

lab "overlay" {
  # Hosts run the release of this machine; image = "debian-12" asks for another.

  # What the lab's own apt repository offers. Hosts boot without these packages: the
  # playbook installs them.
  repository = [
    "openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump",
  ]

  network "management" {
    cidr   = "10.127.1.0/24"
    access = true
  }
  network "underlay" {}
}

group "lab" {
  hosts = ["ubuntu1", "ubuntu2", "ubuntu3"]
  vars = {
    uplink   = "eth1"
    datapath = "netdev" # the lab's kernel has no openvswitch module
  }
}

host "ubuntu1" {
  address = "10.127.1.2"
  roles   = ["central"]
  vars    = { underlay = "10.127.0.2" }

  nic "eth0" {
    network = "management"
    address = "10.127.1.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "ubuntu2" {
  address = "10.127.1.3"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.3" }

  nic "eth0" {
    network = "management"
    address = "10.127.1.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "ubuntu3" {
  address = "10.127.1.4"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.4" }

  nic "eth0" {
    network = "management"
    address = "10.127.1.4/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}
