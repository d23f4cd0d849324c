// Package acceptance runs weft as its users do: the binary that was built,
// against the lab, with the playbooks and inventories of this repository. It
// compares what is on the hosts with what should be there, by the tools of
// Open vSwitch, OVN, dpkg and systemd, never by weft's own word.
//
// The tests need root and what `weft lab` needs, and bin/weft as `make build`
// makes it; `make lab-test` sees to both. Most share one lab, in order; after them those
// with labs of their own run two at a time.
package acceptance
