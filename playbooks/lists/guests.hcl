# Which virtual machines there are, and where each lives.

variable "guests" {
  description = "The machines by name: where each lives, its MAC and address."
  type        = map(object({ host = string, mac = string, address = string }))
  default = {
    g1 = { host = "hyper1", mac = "52:54:00:16:00:11", address = "172.16.22.11" }
    g2 = { host = "hyper2", mac = "52:54:00:16:00:22", address = "172.16.22.22" }
  }
}

locals {
  here = { for h in role.compute : h.name => { for name, g in var.guests : name => g if g.host == h.name } }
}
