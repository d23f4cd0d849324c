# Two machines that kernel arguments try to kill: one boots by a BIOS, the other by
# UEFI.

lab "boots" {
  repository = ["linux-image-cloud-amd64"]
  network "management" {
    cidr   = "10.127.6.0/24"
    access = true
  }
  network "datapath" {}
}

host "bios" {
  address = "10.127.6.2"
  roles   = ["hypervisor"]

  vm {
    memory     = 5120 # a page of 1G wants a GiB that nothing else is in
    cpus       = 2
    numa_nodes = 2
    iommu      = true
  }
  nic "eth0" {
    network = "management"
    address = "10.127.6.2/24"
  }
  nic "eth1" {
    network = "datapath"
    model   = "e1000e"
  }
}

host "uefi" {
  address = "10.127.6.3"
  roles   = ["hypervisor"]

  vm {
    memory     = 5120 # a page of 1G wants a GiB that nothing else is in
    cpus       = 2
    numa_nodes = 2
    iommu      = true
    firmware   = "uefi"
  }
  nic "eth0" {
    network = "management"
    address = "10.127.6.3/24"
  }
  nic "eth1" {
    network = "datapath"
    model   = "e1000e"
  }
}
