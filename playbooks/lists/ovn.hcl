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

# The two databases of OVN and ovn-northd, on a host that does all three.
steps "central" {
  param "address" {
    type = string # that chassis connect to
  }

  step "package" "ovn-central" {
    names = ["ovn-common", "ovn-central"]
    data  = ["/var/lib/ovn", "/var/log/ovn"] # a rollback leaves no databases
  }

  step "service" "ovn-ovsdb-server-nb" { running = true }
  step "service" "ovn-ovsdb-server-sb" { running = true }
  step "service" "ovn-northd" { running = true }

  step "ovn_connection" "southbound" {
    database = "southbound"
    target   = "ptcp:6642:${param.address}"
  }
}

# A chassis: what ovn-controller is told, and it.
steps "chassis" {
  param "centrals" {
    type = list(string) # their addresses
  }
  param "address" {
    type = string # of its end of tunnels
  }
  param "datapath" {
    type = string
  }
  param "mappings" {
    type    = map(string) # bridges by the networks that they lead to
    default = {}
  }

  # Before ovn-host, which starts ovn-controller at once: a br-int that was made
  # with another datapath never works.
  step "ovn_chassis" "chassis" {
    remote               = [for a in param.centrals : "tcp:${a}:6642"]
    encap_type           = "geneve"
    encap_ip             = param.address
    bridge_datapath_type = param.datapath
    bridge_mappings      = param.mappings
  }

  step "ovs_bridge" "br-int" {
    datapath_type = param.datapath
    fail_mode     = "secure"
  }

  step "package" "ovn-host" {
    names = ["ovn-common", "ovn-host"]
    data  = ["/var/lib/ovn", "/var/log/ovn"]
  }

  step "service" "ovn-controller" { running = true }

  step "probe_ovn_remote" "southbound" {
    tags = ["probe"]
  }
}
