// Package network is the kinds that put guests on a network and send packets
// through it: fake_vm, a network namespace with a port on a bridge of Open
// vSwitch, and the probes probe_ping and probe_tcp.
//
// A fake VM is to OVN what a virtual machine is: an OVS interface whose
// external_ids:iface-id is the name of a logical port. It costs no memory and
// lives until the host reboots.
package network

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{fakeVMKind(), netAddressKind(), netLinkKind(), probePingKind(), probeTCPKind()}
}
