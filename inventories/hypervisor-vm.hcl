# Two hypervisors to be, as virtual machines: two NUMA nodes, an IOMMU, and beside
# the management NIC two more for DPDK. The first boots by a BIOS, the second by
# UEFI. The first half of scenario S3,
# playbooks/hypervisor-kernel.hcl, runs against it.

site = "lab"

lab "hypervisor-vm" {
  network "management" {
    cidr   = "10.127.5.0/24"
    access = true
  }
  network "datapath" {}
}

host "hyper1" {
  address = "10.127.5.2"
  roles   = ["hypervisor"]
  vars = {
    # Pages of 1G want a machine of 5 GiB; these are enough for the lab.
    hugepages = { size = "2M", count = 256 }
    dpdk_macs = ["02:ac:10:05:00:01", "02:ac:10:05:00:02"]
  }

  vm {
    memory     = 3072 # MiB
    cpus       = 2
    numa_nodes = 2
    iommu      = true
  }
  nic "eth0" {
    network = "management"
    address = "10.127.5.2/24"
  }
  nic "eth1" {
    network = "datapath"
    model   = "e1000e"
    mac     = "02:ac:10:05:00:01"
  }
  nic "eth2" {
    network = "datapath"
    model   = "e1000e"
    mac     = "02:ac:10:05:00:02"
  }
}

host "hyper2" {
  address = "10.127.5.3"
  roles   = ["hypervisor"]
  vars = {
    hugepages = { size = "2M", count = 256 }
    dpdk_macs = ["02:ac:10:05:00:03", "02:ac:10:05:00:04"]
  }

  vm {
    memory     = 3072 # MiB
    cpus       = 2
    numa_nodes = 2
    iommu      = true
    firmware   = "uefi"
  }
  nic "eth0" {
    network = "management"
    address = "10.127.5.3/24"
  }
  nic "eth1" {
    network = "datapath"
    model   = "e1000e"
    mac     = "02:ac:10:05:00:03"
  }
  nic "eth2" {
    network = "datapath"
    model   = "e1000e"
    mac     = "02:ac:10:05:00:04"
  }
}
