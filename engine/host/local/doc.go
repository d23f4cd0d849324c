// Package local is the Linux machine that this process runs on, as the doors
// of package host. The runner works through it, as root.
//
//	Files     one rename(2) a change, synced before and after
//	Kernel    plain reads and writes below /proc and /sys
//	Commands  a process group of its own for each program
//	Units     systemd's private socket, D-Bus without a bus daemon
//	Links     rtnetlink and /run/netns
//	OVSDB     JSON-RPC over the local sockets
//	Packets   raw ICMP sockets and TCP
//
// An effect that has begun is not broken off when its context is cancelled: a
// half-installed package is worse than a late answer. It ends by itself or by
// its own time-out. A cancelled context keeps an effect from beginning.
//
// A network namespace is entered by a thread that enters it for a moment; the
// process as a whole stays in the host's own.
//
// The package needs Linux; elsewhere New panics.
package local
