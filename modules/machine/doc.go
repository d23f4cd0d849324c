// Package machine holds the kinds of the machine below the network: what its
// kernel is started with and holds loaded, which memory and which processors
// are set aside, what is mounted, and which drivers its PCI devices have.
//
// Most of it has two halves, what is in force now and what a boot will bring,
// and a kind looks at both. Where only a boot brings what is asked for, the
// finding needs a reboot ([step.Reboot]) and the kind says how to see that it
// was enough. The second half is always a small file of its own with weft in
// its name; a newcomer reads hugepages.go first, and conf.go, which is how such
// files are read among those of other hands.
//
// The kernel's arguments have one writer, kernel_cmdline. The other kinds look
// at them and say which are missing.
package machine

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{cmdlineKind(), hugepagesKind(), kernelModuleKind(), mountKind(), cpuIsolationKind(), pciDriverKind()}
}
