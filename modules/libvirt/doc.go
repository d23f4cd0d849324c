// Package libvirt is the kinds that manage libvirt's networks and virtual
// machines, over libvirtd's socket:
//
//	libvirt_network    a network over a bridge, with groups of ports by VLAN
//	libvirt_domain     a virtual machine: its definition, whether it runs
//	libvirt_interface  a network card of one
//	vm_interface       one that another plugged in, told to other steps
//	libvirt_domains    all virtual machines, told to other steps
//
// libvirt has two of everything: what is defined, which the next start goes by,
// and what runs. Each kind says which of them it converges. Definitions are XML,
// to which libvirt adds much by itself; they are compared by what a step names
// (see [parts]), and changed in place, so that the rest stays.
//
// What a step defines carries its owner in the metadata of the definition (the
// element owner of the namespace urn:weft:1), and what another defined is
// refused unless the step adopts it.
//
// The words are those of https://libvirt.org/format.html and virsh(1).
package libvirt

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{networkKind(), domainKind(), interfaceKind(), cardKind(), domainsKind()}
}
