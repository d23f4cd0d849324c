# What ovs-dpdk-build.hcl left, taken away.

play "stop" {
  hosts = role.builder

  step "service" "weft-ovs-vswitchd" {
    running = false
    enabled = false
  }

  step "service" "weft-ovsdb-server" {
    running = false
    enabled = false
  }

  step "ovs_build" "openvswitch" { state = "absent" }
  step "dpdk_build" "dpdk" { state = "absent" }
}
