site = "lab"

host "ubuntu1" {
  roles = ["central"]
  vars  = { underlay = "10.127.0.2" }
}

host "ubuntu2" {
  roles = ["compute"]
  vars  = { underlay = "10.127.0.3" }
}

host "ubuntu3" {
  roles = ["compute"]
  vars  = { underlay = "10.127.0.4" }
}

group "racked" {
  hosts = ["ubuntu2", "ubuntu33"]
}
