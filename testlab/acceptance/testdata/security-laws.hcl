# One host for the laws of firewalls and of what confines programs. Its kernel has
# neither SELinux nor AppArmor.

site = "lab"

lab "security-laws" {
  repository = [
    "nftables", "firewalld", "apparmor", "policycoreutils", "policycoreutils-python-utils", "selinux-policy-default",
  ]

  network "management" {
    cidr   = "10.127.52.0/24"
    access = true
  }
}

host "laws2" {
  address = "10.127.52.2"
  roles   = ["compute"]

  nic "eth0" {
    network = "management"
    address = "10.127.52.2/24"
  }
}
