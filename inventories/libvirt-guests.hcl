# One hypervisor with virtual machines of libvirt on Open vSwitch, for
# playbooks/libvirt-ovs-guests.hcl. Its guests are emulated: where they boot
# within a second on hardware, they take half a minute here.

site = "lab"

lab "libvirt-guests" {
  repository = ["openvswitch-switch", "ethtool", "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86"]

  network "management" {
    cidr   = "10.127.20.0/24"
    access = true
  }
}

host "hyper1" {
  address = "10.127.20.2"
  roles   = ["compute"]
  vars    = { datapath = "netdev", machine = "qemu" } # the lab's kernel has neither an openvswitch module nor KVM

  nic "eth0" {
    network = "management"
    address = "10.127.20.2/24"
  }
}
