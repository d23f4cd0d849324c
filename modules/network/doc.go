// Package network is the kinds that make and set the kernel's network devices
// (net_link, net_address, net_bond, net_vlan, net_bridge), put guests on a network
// and send packets through it: fake_vm, a network namespace with a port on a bridge
// of Open vSwitch, and the probes that say whether the network does what it should:
//
//	probe_ping     an address answers, or is silent
//	probe_tcp      bytes arrive whole
//	probe_mtu      packets of a size pass, or where they stay
//	probe_mesh     the same to every other end of a mesh
//	probe_lacp     a bond has negotiated, with one partner
//	probe_vlan     a flow has its tag on the trunk, and other VLANs hear nothing
//	probe_dhcp     a guest is offered the right address, by the right server
//	probe_capture  frames that match are seen on a link, or none
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
		probeCaptureKind(), probeDHCPKind(), probeLACPKind(), probeMeshKind(), probeMTUKind(), probePingKind(), probeTCPKind(), probeVLANKind(),
	}
}
