# Takes the logical network and its fake VMs away again; the chassis stay.

play "guests" {
  hosts = role.compute

  step "fake_vm" "gone" {
    for_each = toset(["vm1", "vm2", "vm3", "mallory"])
    name     = each.key
    state    = "absent"
  }
}

play "logical" {
  hosts = role.central[0]

  step "ovn_switch_port" "gone" {
    for_each = toset(["vm1", "vm2", "vm3", "mallory"])
    name     = "ls1-${each.key}"
    switch   = "ls1"
    adopt    = true # other playbooks made them
    state    = "absent"
  }

  step "ovn_switch" "ls1" {
    adopt = true
    state = "absent"
  }
}
