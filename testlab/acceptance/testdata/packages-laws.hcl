# A host for the laws of packages: one of Debian that may have rpm and dnf too.

site = "lab"

lab "packages-laws" {
  repository = ["rpm", "dnf", "createrepo-c", "dnf-plugins-core"]

  network "management" {
    cidr   = "10.127.51.0/24"
    access = true
  }
}

host "laws1" {
  address = "10.127.51.2"

  nic "eth0" {
    network = "management"
    address = "10.127.51.2/24"
  }
}
