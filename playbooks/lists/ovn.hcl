# Steps that playbooks with OVN or other tunnels share.

# The bridge that carries the tunnels. A userspace datapath answers for the
# tunnel address only where that lies on a bridge that holds the NIC.
steps "underlay" {
  param "bridge" {
    type    = string
    default = "br-phy"
  }
  param "uplink" {
    type = string
  }
  param "address" {
    type = string # with its prefix length
  }
  param "datapath" {
    type = string
  }

  step "package" "openvswitch-switch" {
    data = ["/var/lib/openvswitch", "/var/log/openvswitch"]
  }

  step "service" "ovs-vswitchd" {
    running = true
  }

  # The kernel sees the frames of a NIC that a userspace datapath reads by a socket,
  # and would answer ARP for the bridge's address with the NIC's: the other end would
  # send its tunnel there, where nothing takes it.
  step "sysctl" "net.ipv4.conf.all.arp_ignore" {
    when  = param.datapath == "netdev"
    value = "1"
  }

  step "ovs_bridge" "underlay" {
    name          = param.bridge
    datapath_type = param.datapath
    addresses     = [param.address]
    persist       = true
  }

  step "ovs_port" "uplink" {
    name    = param.uplink
    bridge  = param.bridge
    up      = true
    persist = true
  }
}
