// Package ovs has the kinds of Open vSwitch: its configuration (ovs_config), its
// bridges (ovs_bridge), and what is in a bridge: ports, bonds, pairs of patch
// ports, tunnels, mirrors, and the queues of a port (ovs_qos). ovs_bridge_ports
// says what else may be in one, and ovs_stale_ports removes what guests left.
//
// All read the database in one transaction of selects, which a run
// remembers until its next effect, and write in one transaction: guarded by
// what was read, with next_cfg raised, and done when ovs-vswitchd answers with
// cur_cfg. What the database cannot hold (the addresses of a bridge's own port,
// whether a device is up) goes through netlink, and what a boot needs into the
// files of what configures the host's network (package netconf).
//
// Success is what ovs-vswitchd says it did: an interface without an error and
// with an OpenFlow port number. Anything else is a difference of the path
// "error".
//
// A bridge or port that is removed is recorded with every column and every row
// that lives through it, and undo inserts those rows again.
package ovs

import "weft/engine/step"

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	return []step.Kind{
		configKind(), bridgeKind(), portKind(),
		bondKind(), patchKind(),
		tunnelKind(), mirrorKind(), qosKind(), bridgePortsKind(), stalePortsKind(), probeDPDKPortKind(),
	}
}
