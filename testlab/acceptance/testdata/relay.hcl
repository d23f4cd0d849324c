# Three hosts with nothing on them, for a file that goes from one to the others.

site = "lab"

lab "relay" {
  network "management" {
    cidr   = "10.127.54.0/24"
    access = true
  }
}

host "builder" {
  address = "10.127.54.2"
  nic "eth0" {
    network = "management"
    address = "10.127.54.2/24"
  }
}

host "one" {
  address = "10.127.54.3"
  roles   = ["hypervisor"]
  nic "eth0" {
    network = "management"
    address = "10.127.54.3/24"
  }
}

host "two" {
  address = "10.127.54.4"
  roles   = ["hypervisor"]
  nic "eth0" {
    network = "management"
    address = "10.127.54.4/24"
  }
}
