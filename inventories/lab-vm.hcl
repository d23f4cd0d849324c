# Scenario S1 on the kernel datapath: ubuntu1 is central, in namespaces of this
# machine; ubuntu2 and ubuntu3 are chassis and virtual machines, with a kernel of
# their own that has openvswitch and geneve. SSH goes over eth0; eth1 is the
# underlay that the tunnels cross.

site = "lab"

lab "overlay-vm" {
  # Hosts run the release of this machine; image = "debian-12" asks for another.

  # What the lab's own apt repository offers. Hosts boot without these packages: the
  # playbook installs them.
  repository = [
    "openvswitch-switch", "ovn-common", "ovn-central", "ovn-host", "ethtool", "tcpdump",
  ]

  network "management" {
    cidr   = "10.127.3.0/24"
    access = true
  }
  network "underlay" {}
}

group "lab" {
  hosts = ["ubuntu1", "ubuntu2", "ubuntu3"]
  vars  = { uplink = "eth1" }
}

group "chassis" {
  hosts = ["ubuntu2", "ubuntu3"]
  vars  = { datapath = "system" }
}

host "ubuntu1" {
  address = "10.127.3.2"
  roles   = ["central"]
  vars = {
    underlay = "10.127.0.2"
    datapath = "netdev" # this machine's kernel may have no openvswitch module
  }

  nic "eth0" {
    network = "management"
    address = "10.127.3.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "ubuntu2" {
  address = "10.127.3.3"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.3" }

  vm {
    memory = 1024 # MiB
  }
  nic "eth0" {
    network = "management"
    address = "10.127.3.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "ubuntu3" {
  address = "10.127.3.4"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.4" }

  vm {
    memory = 1024 # MiB
  }
  nic "eth0" {
    network = "management"
    address = "10.127.3.4/24"
  }
  nic "eth1" {
    network = "underlay"
    model   = "e1000e"
  }
}
