# One host for the kinds of modules/system and the firewall, from nothing.

site = "lab"

lab "system" {
  repository = ["nftables", "wget"]

  network "management" {
    cidr   = "10.127.26.0/24"
    access = true
  }
}

host "sys1" {
  address = "10.127.26.2"
  roles   = ["hypervisor"]

  nic "eth0" {
    network = "management"
    address = "10.127.26.2/24"
  }
}
