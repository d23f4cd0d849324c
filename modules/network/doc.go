// Package network is the kinds that make and set the kernel's network devices
// (net_link, net_address, net_bond, net_vlan, net_bridge), put guests on a network
// and send packets through it: fake_vm, a network namespace with a port on a bridge
// of Open vSwitch, and the probes probe_ping and probe_tcp.
//
// A bond, a VLAN and a bridge share one resource, see madeDevices.
//
// A fake VM is to OVN what a virtual machine is: an OVS interface whose
// external_ids:iface-id is the name of a logical port. It costs no memory and
// lives until the host reboots.
package network

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{
		fakeVMKind(), netAddressKind(), netBondKind(), netBridgeKind(), netLinkKind(), netVLANKind(),
		probePingKind(), probeTCPKind(),
	}
}
