# Two hypervisors with OVS-DPDK as virtual machines, for playbooks/ovs-dpdk-hypervisor.hcl:
# two NUMA nodes, an IOMMU, huge pages, and two NICs that VFIO has. The guests are
# programs of DPDK (dpdk-testpmd, which answers pings): a machine in an emulated machine
# takes minutes to boot. The NICs are virtio's behind the IOMMU: Open vSwitch has NICs keep
# the checksum of a frame, which the e1000e of qemu 7.2 delivers as a frame of its own.

site = "lab"

lab "ovs-dpdk-vm" {
  repository = [
    "openvswitch-switch-dpdk", "ethtool", "librte-bus-pci23", "librte-mempool-ring23", "librte-net-virtio23",
  ]

  network "management" {
    cidr   = "10.127.53.128/25"
    access = true
  }
  network "leg1" {
    wire = true
  }
  network "leg2" {
    wire = true
  }
}

group "lab" {
  hosts = ["hyper1", "hyper2"]
  vars = {
    # Pages of 1G want a machine of 5 GiB; these are enough for the lab.
    hugepages = { size = "2M", count = 512 }
    dpdk      = ["0000:02:00.0", "0000:03:00.0"]
    uplinks   = { dpdk0 = "0000:02:00.0", dpdk1 = "0000:03:00.0" }
    drivers   = ["librte-bus-pci23", "librte-mempool-ring23", "librte-net-virtio23"]
    other_config = {
      dpdk-socket-mem     = "256,64"
      dpdk-lcore-mask     = "0x1"
      pmd-cpu-mask        = "0x2"
      pmd-maxsleep        = "500"
      vhost-iommu-support = "true"
    }
  }
}

host "hyper1" {
  address = "10.127.53.130"
  roles   = ["hypervisor"]
  vars = {
    gateway = "172.31.30.1/24"
    guests  = { t1 = { mac = "52:54:00:53:01:11", address = "172.31.30.11/24", domain = false } }
  }

  vm {
    memory     = 3072 # MiB
    cpus       = 2
    numa_nodes = 2
    iommu      = true
  }
  nic "eth0" {
    network = "management"
    address = "10.127.53.130/25"
  }
  nic "eth1" {
    network = "leg1"
    mac     = "02:ac:10:53:00:01"
  }
  nic "eth2" {
    network = "leg2"
    mac     = "02:ac:10:53:00:02"
  }
}

host "hyper2" {
  address = "10.127.53.131"
  roles   = ["hypervisor"]
  vars = {
    gateway = "172.31.30.2/24"
    guests  = { t2 = { mac = "52:54:00:53:01:22", address = "172.31.30.22/24", domain = false } }
  }

  vm {
    memory     = 3072 # MiB
    cpus       = 2
    numa_nodes = 2
    iommu      = true
  }
  nic "eth0" {
    network = "management"
    address = "10.127.53.131/25"
  }
  nic "eth1" {
    network = "leg1"
    mac     = "02:ac:10:53:00:03"
  }
  nic "eth2" {
    network = "leg2"
    mac     = "02:ac:10:53:00:04"
  }
}
