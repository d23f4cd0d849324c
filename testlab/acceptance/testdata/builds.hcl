# A host that builds DPDK and Open vSwitch from Debian's source packages, and one
# that takes what it built.

site = "lab"

lab "builds" {
  repository = [
    "src:dpdk", "openvswitch-source",
    "gcc", "make", "meson", "ninja-build", "pkgconf", "python3", "python3-pyelftools", "libnuma-dev", "libc6-dev",
    "libssl-dev", "libcap-ng-dev", "uuid-runtime", "xz-utils", "file",
  ]

  network "management" {
    cidr   = "10.127.50.0/24"
    access = true
  }
}


host "builder1" {
  address = "10.127.50.2"
  roles   = ["builder"]
  nic "eth0" {
    network = "management"
    address = "10.127.50.2/24"
  }
}

host "builder2" {
  address = "10.127.50.3"
  roles   = ["taker"]
  nic "eth0" {
    network = "management"
    address = "10.127.50.3/24"
  }
}
