# One host for the laws of libvirt's kinds. Its machines have nothing to boot.

site = "lab"

lab "libvirt-laws" {
  repository = ["openvswitch-switch", "ethtool", "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86"]

  network "management" {
    cidr   = "10.127.21.0/24"
    access = true
  }
}

host "laws1" {
  address = "10.127.21.2"
  roles   = ["compute"]

  nic "eth0" {
    network = "management"
    address = "10.127.21.2/24"
  }
}
