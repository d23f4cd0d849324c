# Three hosts for playbooks/ovs-tunnel-mesh.hcl: SSH goes over eth0, and eth1 is the
# underlay that the tunnels cross.

site = "lab"

lab "tunnel-mesh" {
  repository = ["openvswitch-switch", "ethtool"]

  network "management" {
    cidr   = "10.127.10.0/24"
    access = true
  }
  network "underlay" {}
}

group "lab" {
  hosts = ["compute1", "compute2", "compute3"]
  vars = {
    uplink   = "eth1"
    datapath = "netdev" # the lab's kernel has no openvswitch module
  }
}

host "compute1" {
  address = "10.127.10.2"
  roles   = ["compute"]
  vars    = { underlay = "192.0.2.1", guest = "172.31.1.11" }

  nic "eth0" {
    network = "management"
    address = "10.127.10.2/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "compute2" {
  address = "10.127.10.3"
  roles   = ["compute"]
  vars    = { underlay = "192.0.2.2", guest = "172.31.1.12" }

  nic "eth0" {
    network = "management"
    address = "10.127.10.3/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}

host "compute3" {
  address = "10.127.10.4"
  roles   = ["compute"]
  vars    = { underlay = "192.0.2.3", guest = "172.31.1.13" }

  nic "eth0" {
    network = "management"
    address = "10.127.10.4/24"
  }
  nic "eth1" {
    network = "underlay"
  }
}
