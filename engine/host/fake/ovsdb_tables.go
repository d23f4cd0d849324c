package fake

// The tables of ovs-vswitchd.conf.db(5), as far as weft reads or writes them.
const openVSwitchTables = `
root table Open_vSwitch max 1
  bridges set strong:Bridge
  manager_options set strong:Manager
  ssl optional strong:SSL
  other_config map string string
  external_ids map string string
  next_cfg integer daemon
  cur_cfg integer daemon
  statistics map string string daemon
  ovs_version optional string
  db_version optional string
  system_type optional string
  system_version optional string
  datapath_types set string
  iface_types set string
  dpdk_initialized boolean
  dpdk_version optional string

table Bridge
  index name
  name string immutable
  datapath_type string
  datapath_version string daemon
  datapath_id optional string daemon
  stp_enable boolean
  rstp_enable boolean
  mcast_snooping_enable boolean
  ports set strong:Port
  mirrors set strong:Mirror
  netflow optional strong:NetFlow
  sflow optional strong:sFlow
  ipfix optional strong:IPFIX
  controller set strong:Controller
  protocols set string OpenFlow10|OpenFlow11|OpenFlow12|OpenFlow13|OpenFlow14|OpenFlow15
  fail_mode optional string standalone|secure
  status map string string daemon
  rstp_status map string string daemon
  other_config map string string
  external_ids map string string
  flood_vlans set integer 0..4095
  flow_tables map integer strong:Flow_Table
  auto_attach optional strong:AutoAttach

table Port
  index name
  name string immutable
  interfaces some strong:Interface
  trunks set integer 0..4095
  cvlans set integer 0..4095
  tag optional integer 0..4095
  vlan_mode optional string trunk|access|native-tagged|native-untagged|dot1q-tunnel
  qos optional strong:QoS
  mac optional string
  bond_mode optional string balance-tcp|balance-slb|active-backup
  lacp optional string active|passive|off
  bond_updelay integer
  bond_downdelay integer
  bond_active_slave optional string
  bond_fake_iface boolean
  fake_bridge boolean
  status map string string daemon
  rstp_status map string string daemon
  protected boolean
  other_config map string string
  external_ids map string string

table Interface
  index name
  name string immutable
  type string
  options map string string
  ingress_policing_rate integer 0..2147483647
  ingress_policing_burst integer 0..2147483647
  mac_in_use optional string daemon
  mac optional string
  ifindex optional integer daemon
  external_ids map string string
  ofport optional integer daemon
  ofport_request optional integer 1..65279
  bfd map string string
  bfd_status map string string daemon
  lldp map string string
  other_config map string string
  status map string string daemon
  statistics map string integer daemon
  admin_state optional string up|down daemon
  link_state optional string up|down daemon
  mtu optional integer daemon
  mtu_request optional integer 1..2147483647
  error optional string daemon

table Manager
  index target
  target string
  max_backoff optional integer 1000..2147483647
  inactivity_probe optional integer
  connection_mode optional string in-band|out-of-band
  other_config map string string
  external_ids map string string
  is_connected boolean daemon
  status map string string daemon

table Controller
  type optional string primary|service
  target string
  max_backoff optional integer 1000..2147483647
  inactivity_probe optional integer
  connection_mode optional string in-band|out-of-band
  local_ip optional string
  local_netmask optional string
  local_gateway optional string
  enable_async_messages optional boolean
  controller_rate_limit optional integer 100..2147483647
  controller_burst_limit optional integer 25..2147483647
  other_config map string string
  external_ids map string string
  is_connected boolean daemon
  role optional string other|master|slave daemon
  status map string string daemon

table SSL max 1
  private_key string
  certificate string
  ca_cert string
  bootstrap_ca_cert boolean
  external_ids map string string

table Mirror
  name string
  select_all boolean
  select_dst_port set weak:Port
  select_src_port set weak:Port
  select_vlan set integer 0..4095
  output_port optional weak:Port
  output_vlan optional integer 1..4095
  snaplen optional integer 14..65535
  statistics map string integer daemon
  external_ids map string string

root table QoS
  type string
  queues map integer strong:Queue
  other_config map string string
  external_ids map string string

root table Queue
  dscp optional integer 0..63
  other_config map string string
  external_ids map string string

table NetFlow
  targets some string
  engine_type optional integer 0..255
  engine_id optional integer 0..255
  add_id_to_interface boolean
  active_timeout integer -1..2147483647
  external_ids map string string

table sFlow
  agent optional string
  header optional integer
  polling optional integer
  sampling optional integer
  targets some string
  external_ids map string string

table IPFIX
  targets set string
  sampling optional integer 1..2147483647
  obs_domain_id optional integer 0..2147483647
  obs_point_id optional integer 0..2147483647
  other_config map string string
  external_ids map string string

root table Flow_Sample_Collector_Set
  index id bridge
  id integer 0..2147483647
  bridge strong:Bridge
  ipfix optional strong:IPFIX
  external_ids map string string

table Flow_Table
  name optional string
  flow_limit optional integer 0..2147483647
  overflow_policy optional string refuse|evict
  groups set string
  external_ids map string string

table AutoAttach
  system_name string
  system_description string
  mappings map integer integer
`

// The tables of ovn-nb(5), as far as weft reads or writes them.
const northboundTables = `
root table NB_Global max 1
  name string
  nb_cfg integer daemon
  nb_cfg_timestamp integer daemon
  sb_cfg integer daemon
  sb_cfg_timestamp integer daemon
  hv_cfg integer daemon
  hv_cfg_timestamp integer daemon
  external_ids map string string
  connections set strong:Connection
  ssl optional strong:SSL
  options map string string
  ipsec boolean

table Connection
  index target
  target string
  max_backoff optional integer 1000..2147483647
  inactivity_probe optional integer
  other_config map string string
  external_ids map string string
  is_connected boolean daemon
  status map string string daemon

table SSL max 1
  private_key string
  certificate string
  ca_cert string
  bootstrap_ca_cert boolean
  ssl_protocols string
  ssl_ciphers string
  external_ids map string string

root table Logical_Switch
  name string
  ports set strong:Logical_Switch_Port
  acls set strong:ACL
  qos_rules set strong:QoS
  load_balancer set weak:Load_Balancer
  dns_records set weak:DNS
  other_config map string string
  external_ids map string string

table Logical_Switch_Port
  index name
  name string
  type string
  options map string string
  parent_name optional string
  tag_request optional integer 0..4095
  tag optional integer 1..4095
  addresses set string
  dynamic_addresses optional string daemon
  port_security set string
  up optional boolean daemon
  enabled optional boolean
  dhcpv4_options optional weak:DHCP_Options
  dhcpv6_options optional weak:DHCP_Options
  ha_chassis_group optional strong:HA_Chassis_Group
  external_ids map string string

table ACL
  name optional string
  priority integer 0..32767
  direction string from-lport|to-lport
  match string
  action string allow|allow-related|allow-stateless|drop|reject
  log boolean
  severity optional string alert|warning|notice|info|debug
  meter optional string
  label integer 0..4294967295
  options map string string
  external_ids map string string

table QoS
  priority integer 0..32767
  direction string from-lport|to-lport
  match string
  external_ids map string string

root table Address_Set
  index name
  name string
  addresses set string
  external_ids map string string

root table Port_Group
  index name
  name string
  ports set weak:Logical_Switch_Port
  acls set strong:ACL
  external_ids map string string

root table Load_Balancer
  name string
  vips map string string
  protocol optional string tcp|udp|sctp
  health_check set strong:Load_Balancer_Health_Check
  ip_port_mappings map string string
  selection_fields set string eth_src|eth_dst|ip_src|ip_dst|tp_src|tp_dst
  options map string string
  external_ids map string string

table Load_Balancer_Health_Check
  vip string
  options map string string
  external_ids map string string

root table DNS
  records map string string
  external_ids map string string

root table DHCP_Options
  cidr string
  options map string string
  external_ids map string string

root table Logical_Router
  name string
  ports set strong:Logical_Router_Port
  static_routes set strong:Logical_Router_Static_Route
  policies set strong:Logical_Router_Policy
  enabled optional boolean
  nat set strong:NAT
  load_balancer set weak:Load_Balancer
  options map string string
  external_ids map string string

table Logical_Router_Port
  index name
  name string
  gateway_chassis set strong:Gateway_Chassis
  ha_chassis_group optional strong:HA_Chassis_Group
  options map string string
  networks some string
  mac string
  peer optional string
  enabled optional boolean
  ipv6_ra_configs map string string
  ipv6_prefix set string
  external_ids map string string

table Logical_Router_Static_Route
  route_table string
  ip_prefix string
  policy optional string src-ip|dst-ip
  nexthop string
  output_port optional string
  options map string string
  external_ids map string string

table Logical_Router_Policy
  priority integer 0..32767
  match string
  action string allow|drop|reroute
  nexthop optional string
  nexthops set string
  options map string string
  external_ids map string string

table NAT
  external_ip string
  external_mac optional string
  external_port_range string
  logical_ip string
  logical_port optional string
  type string dnat|snat|dnat_and_snat
  allowed_ext_ips optional strong:Address_Set
  exempted_ext_ips optional strong:Address_Set
  gateway_port optional weak:Logical_Router_Port
  options map string string
  external_ids map string string

table Gateway_Chassis
  index name
  name string
  chassis_name string
  priority integer 0..32767
  options map string string
  external_ids map string string

table HA_Chassis
  chassis_name string
  priority integer 0..32767
  external_ids map string string

root table HA_Chassis_Group
  index name
  name string
  ha_chassis set strong:HA_Chassis
  external_ids map string string
`

// The tables of ovn-sb(5), as far as weft reads or writes them.
const southboundTables = `
root table SB_Global max 1
  nb_cfg integer daemon
  external_ids map string string
  connections set strong:Connection
  ssl optional strong:SSL
  options map string string
  ipsec boolean

table Connection
  index target
  target string
  max_backoff optional integer 1000..2147483647
  inactivity_probe optional integer
  read_only boolean
  role string
  other_config map string string
  external_ids map string string
  is_connected boolean daemon
  status map string string daemon

table SSL max 1
  private_key string
  certificate string
  ca_cert string
  bootstrap_ca_cert boolean
  ssl_protocols string
  ssl_ciphers string
  external_ids map string string

root table Chassis
  index name
  name string
  hostname string
  encaps some strong:Encap
  vtep_logical_switches set string
  nb_cfg integer daemon
  external_ids map string string
  other_config map string string
  transport_zones set string

root table Chassis_Private
  index name
  name string
  chassis optional weak:Chassis
  nb_cfg integer daemon
  nb_cfg_timestamp integer daemon
  external_ids map string string

table Encap
  index type ip
  type string geneve|stt|vxlan
  options map string string
  ip string
  chassis_name string

root table Datapath_Binding
  index tunnel_key
  tunnel_key integer 1..16777215
  external_ids map string string

root table Port_Binding
  index datapath tunnel_key
  index logical_port
  logical_port string
  type string
  options map string string
  datapath strong:Datapath_Binding
  tunnel_key integer 1..32767
  parent_port optional string
  tag optional integer 1..4095
  virtual_parent optional string
  chassis optional weak:Chassis
  additional_chassis set weak:Chassis
  encap optional weak:Encap
  mac set string
  port_security set string
  nat_addresses set string
  up optional boolean
  external_ids map string string
  requested_chassis optional weak:Chassis
  requested_additional_chassis set weak:Chassis
`
