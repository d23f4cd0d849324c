# A service of its own user behind a firewall that lets nobody else in.

variable "services" {
  type    = list(string)
  default = ["ssh"]
}

play "service" {
  hosts = role.hypervisor

  step "package" "nftables" {}

  step "group" "keepers" {
    system = true
  }

  step "user" "keeper" {
    system = true
    groups = ["keepers"]
    home   = "/srv/keeper"
  }

  step "directory" "/srv/keeper" {
    owner = "keeper"
    mode  = "0750"
  }

  step "download" "/srv/keeper/hosts" {
    urls   = ["http://127.0.0.1:1/", "file:///etc/issue.net"]
    sha256 = sha256("weft\n")
    mode   = "0640"
  }

  step "ini_value" "Storage" {
    path    = "/etc/systemd/journald.conf"
    section = "Journal"
    value   = "volatile"
  }

  step "systemd_unit" "keeper" {
    content = <<-EOT
      [Service]
      User=keeper
      ExecStart=/bin/sleep infinity
      [Install]
      WantedBy=multi-user.target
    EOT
  }

  step "systemd_unit" "keeper-nice" {
    unit     = "keeper"
    override = <<-EOT
      [Service]
      Nice=5
    EOT
  }

  step "service" "keeper" {
    running = true
    enabled = true
  }
}

play "firewall" {
  hosts = role.hypervisor

  step "firewall" "mgmt" {
    services = var.services
    ports    = ["6642/tcp"]
    target   = "drop"
  }
}
