// Package build is the kinds that make programs from their source and install them,
// out of the way of packaged files.
//
//	source_build  anything that configure, meson or make builds
//	dpdk_build    DPDK
//	ovs_build     Open vSwitch, with DPDK or without
//
// All three are one core, [recipe]: what is built, of what, and where it goes.
//
// A result is a tree of its own, /opt/NAME-VERSION-KEY, and /opt/NAME is a symlink to it:
// so an upgrade is the swap of one link, what runs from the old tree goes on, and an undo
// swaps back. KEY is the digest of all that went in ([inputs]). The programs in
// /usr/local/bin are links that lead through /opt/NAME, and so are units.
//
//	inputs.go    what goes in, and its digest
//	manifest.go  what a tree holds, in the tree itself; where it has drifted
//	parts.go     the paths on the host that a build touches, and how each stands
//	check.go     what is to be done about the tree; around.go: about what leads to it
//	choose.go    where a tree comes from
//	compile.go   unpack, configure, make, install into a staging directory, pack
//	handover.go  what is root's and what is the build user's
//	place.go     apply, and each part made as it should be; tree.go: the tree
//	undo.go      each part made as it was found
//
// What is compiled is packed into an archive, /var/cache/weft/builds/NAME-KEY.tar, and
// the tree is unpacked from it. So a tree that drifted is repaired without a compiler, and
// another host takes the archive instead of building.
//
// A build under way lies in /var/cache/weft/builds/NAME-KEY, a directory that notes which
// phases are done. It is made before anything else and removed after everything else:
// where it is, a build was cut, and goes on there.
package build

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind { return []step.Kind{sourceKind(), dpdkKind(), ovsKind()} }
