# The overlay's three hosts once more, for the laws: they go beside other labs.

site = "lab"

lab "laws" {
  # Hosts run the release of this machine; image = "debian-12" asks for another.

  # What the lab's own apt repository offers. Hosts boot without these packages: the
  # playbook installs them.
  repository = [
    "openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump",
  ]

  network "management" {
    cidr   = "10.127.16.0/24"
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
  address = "10.127.16.2"
  roles   = ["central"]
  vars    = { underlay = "10.127.0.2" }

  nic "eth0" {
    network = "management"
    address = "10.127.16.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "ubuntu2" {
  address = "10.127.16.3"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.3" }

  nic "eth0" {
    network = "management"
    address = "10.127.16.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "ubuntu3" {
  address = "10.127.16.4"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.4" }

  nic "eth0" {
    network = "management"
    address = "10.127.16.4/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}
