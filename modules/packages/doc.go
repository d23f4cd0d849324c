// Package packages holds the kinds that bring software by the distribution's
// package managers: package, package_repository and rpm_build.
//
// Each speaks to two families: Debian's (dpkg and apt) and Red Hat's (rpm, and dnf
// or yum above it). Which one a host is of says its os-release (family.go). What is
// installed is read without the manager above: from dpkg's files (dpkg.go), and by
// one rpm -qa (rpm.go), which every step of a host shares. The manager is called
// once, and only where something changes (apt.go, dnf.go).
//
// The undo of a package step works from two tables, of before and of now
// (apt_undo.go, rpm_undo.go), not from the manager's own history: that is written
// after the act, knows nothing of a half-made one, and refuses as soon as anybody
// touched one package since. See docs/decisions/0029.
package packages

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{packageKind(), repositoryKind(), buildKind()}
}
