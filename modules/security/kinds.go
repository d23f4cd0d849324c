// Package security holds the kinds that say what a host lets through and what its
// programs may do: its firewall, SELinux and AppArmor.
//
// firewall is one kind over two worlds: firewalld where that is at work, else
// nftables. firewall.go has the spec and finds out which it is; firewalld.go and
// nftables.go are the two resources. A firewall change can cut the way that weft came
// by, so it names the links it may cut, and the engine arms a guard.
package security

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{firewallKind(), selinuxKind(), apparmorKind()}
}
