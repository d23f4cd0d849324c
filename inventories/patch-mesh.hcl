# One host for scenario S11, playbooks/ovs-patch-mesh.hcl.

site = "lab"

lab "patch-mesh" {
  repository = ["openvswitch-switch", "ethtool"]

  network "management" {
    cidr   = "10.127.7.0/24"
    access = true
  }
}

host "ubuntu1" {
  address = "10.127.7.2"
  roles   = ["compute"]
  vars    = { datapath = "netdev" } # the lab's kernel has no openvswitch module

  nic "eth0" {
    network = "management"
    address = "10.127.7.2/24"
  }
}
