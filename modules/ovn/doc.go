// Package ovn is the kinds that build an OVN network: the listeners of its two
// databases, the identity of a chassis, logical switches and their ports, and
// the probes that say whether all of it is in force.
//
//	ovn_connection        a listener (or peer) of a northbound or southbound database
//	ovn_chassis           what ovn-controller is told in Open_vSwitch.external_ids
//	ovn_bridge_mapping    a bridge by which OVN reaches a physical network
//	ovn_switch            a Logical_Switch
//	ovn_switch_port       a Logical_Switch_Port
//	ovn_router            a Logical_Router
//	ovn_router_port       a Logical_Router_Port, with its gateway chassis
//	ovn_nat               a NAT rule of a router
//	ovn_static_route      a Logical_Router_Static_Route
//	ovn_dhcp_options      what guests are answered by DHCP
//	ovn_address_set       a named set of addresses, for matches
//	ovn_port_group        a named group of ports, for matches and ACLs
//	ovn_acl               a rule of a switch or a port group
//	ovn_load_balancer     virtual addresses, and their endpoints
//	ovn_dns               records that guests are answered with
//	ovn_ha_chassis_group  the chassis that take over from one another
//	ovn_stale_chassis     the chassis that reinstalled hosts left behind, removed
//	ovn_stale_ports       the logical ports of guests that are no more, removed
//	vm_migrate            where a guest of libvirt runs, moved with its ports
//	probe_ovn_port        where a logical port is bound, and whether it is up
//	probe_ovn_chassis     whether a chassis is registered and keeps up
//	probe_ovn_remote      whether a chassis is connected to the southbound database
//
// Everything is a JSON-RPC transaction over a local socket, one a step. The
// northbound database belongs to many, so each row that weft makes carries its
// owner in external_ids (the key weft-owner), and a row of another owner is
// refused unless the step adopts it. A change of the northbound database adds
// one to NB_Global.nb_cfg in the same transaction, as `ovn-nbctl --wait` does:
// ovn-northd and each ovn-controller copy the number once they have done the
// work, and the probes wait for it.
//
// vm_migrate is here since a move concerns OVN and libvirt at once: it begins and ends
// with the logical ports of the guest, and between the two asks the hypervisors by
// virsh(1).
//
// The words are those of ovn-nb(5), ovn-sb(5) and ovn-controller(8).
package ovn

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{
		connectionKind(), chassisKind(), bridgeMappingKind(), switchKind(), switchPortKind(),
		routerKind(), routerPortKind(), natKind(), staticRouteKind(), dhcpOptionsKind(),
		addressSetKind(), portGroupKind(), aclKind(), haChassisGroupKind(), dnsKind(), loadBalancerKind(),
		staleChassisKind(), stalePortsKind(), migrateKind(),
		probePortKind(), probeChassisKind(), probeRemoteKind(),
	}
}
