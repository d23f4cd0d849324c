// Package system holds the kinds that every Linux host has: packages, systemd
// services, files, directories, kernel settings and commands.
//
// A kind is a file: its spec with the attributes of a playbook, the mistakes
// that can be seen without a machine (Validate), and the resource or step that
// reads and writes. A newcomer reads file.go first, which is the plain case,
// and then package.go, which is not.
package system

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{packageKind(), serviceKind(), fileKind(), directoryKind(), commandKind(), sysctlKind()}
}
