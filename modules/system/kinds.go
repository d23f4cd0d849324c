// Package system holds the kinds that every Linux host has: systemd services and
// unit files, files and single settings of files, downloads, directories, users and groups,
// kernel settings and commands.
//
// A kind is a file: its spec with the attributes of a playbook, the mistakes
// that can be seen without a machine (Validate), and the resource or step that
// reads and writes. A newcomer reads file.go first, which is the plain case,
// and then service.go, which is not.
package system

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{serviceKind(), systemdUnitKind(), fileKind(), iniValueKind(), fileCopyKind(), downloadKind(),
		directoryKind(), userKind(), groupKind(), alternativeKind(), commandKind(), sysctlKind()}
}
