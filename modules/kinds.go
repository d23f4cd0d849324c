// Package modules is the one table of kinds: what a step can be.
package modules

import (
	"weft/engine/step"
	"weft/modules/build"
	"weft/modules/libvirt"
	"weft/modules/machine"
	"weft/modules/network"
	"weft/modules/ovn"
	"weft/modules/ovs"
	"weft/modules/packages"
	"weft/modules/security"
	"weft/modules/system"
	"weft/modules/tls"
)

// Kinds assembles the families.
func Kinds() step.Table {
	return step.NewTable(
		system.Kinds(),
		packages.Kinds(),
		network.Kinds(),
		machine.Kinds(),
		security.Kinds(),
		ovs.Kinds(),
		ovn.Kinds(),
		libvirt.Kinds(),
		tls.Kinds(),
		build.Kinds(),
	)
}
