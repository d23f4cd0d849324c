// Package host is the contract between a module and the machine it works on.
//
// A module never opens a file, dials a socket or starts a process by itself.
// It goes through doors: small interfaces, each with a reading half and a
// writing half. A [View] holds the reading halves and is all that a check is
// given, so a check that changes the machine does not compile. A [Host] holds
// both and is what applying and undoing are given.
//
//	Files     whole files, links and directories, written atomically
//	Kernel    values under /proc and /sys, written in place
//	Commands  programs by argv, never a shell
//	Units     systemd's units
//	Links     network namespaces, links, addresses and routes
//	OVSDB     databases of Open vSwitch and OVN, as JSON-RPC transactions
//	Packets   packets sent, answered and captured, for probes (it has no writing half)
//	Libvirt   libvirtd's domains and networks
//	Frames    frames sent and heard on a link as they are, for probes (no writing half)
//	Daemons   what the daemons of Open vSwitch say of themselves (no writing half)
//	Disks     room on file systems (no writing half either)
//	Elsewhere the file of another host that a step copies
//
// Every call of a writing half is an [Effect] with a name. [Observe] puts a
// function in front of each of them: the runner's journal stands there, and so
// do the tests that kill a step between any two effects.
//
// The real doors are in package local, which needs Linux; the doors of package
// fake hold the state of a whole machine in memory, and run anywhere.
package host

import "errors"

// ErrNotReady says that what stands behind a door is not there: the database's
// socket, the system manager, the program of a package that is not installed.
// An earlier step of the same host may still bring it.
var ErrNotReady = errors.New("not there yet")

// A View has the reading halves of all doors. Nothing reached through it
// changes the machine.
type View struct {
	Files    FileReader
	Kernel   KernelReader
	Commands CommandReader
	Units    UnitReader
	Links    LinkReader
	OVSDB    OVSDBReader
	Libvirt  LibvirtReader
	Packets  Packets
	Frames   Frames
	Daemons  Daemons
	Disks    Disks

	// Memo keeps what many steps ask (the package table, the facts) until
	// the next effect. It may be nil, and then keeps nothing.
	Memo *Memo
	// Self is the path of the program at work, the runner, which has verbs
	// that a step may start as a service of its own.
	Self string
}

// A Host has both halves of all doors.
type Host struct {
	Files    Files
	Kernel   Kernel
	Commands Commands
	Units    Units
	Links    Links
	OVSDB    OVSDB
	Libvirt  Libvirt
	Packets  Packets
	Frames   Frames
	Daemons  Daemons
	Disks    Disks
	Memo     *Memo
	Self     string

	// Elsewhere is nil where nothing can be brought from other hosts: while
	// something is taken back.
	Elsewhere Elsewhere
	// Kept is the directory for what an undo needs and is too large for a
	// journal: a file by the sha256 of its content. What no change in force has
	// in its Before is removed. It may not be there yet.
	Kept string

	// Told is where Tell goes; nil where nobody listens.
	Told func(how string)
}

// Tell says how far a step is that takes long: "compiled 120 of 348". It is for
// people who wait, is kept nowhere, and may be called as often as one likes.
func (h Host) Tell(how string) {
	if h.Told != nil {
		h.Told(how)
	}
}

// View returns the reading halves of h.
func (h Host) View() View {
	return View{
		Files: h.Files, Kernel: h.Kernel, Commands: h.Commands, Units: h.Units,
		Links: h.Links, OVSDB: h.OVSDB, Libvirt: h.Libvirt, Packets: h.Packets, Frames: h.Frames, Daemons: h.Daemons, Disks: h.Disks,
		Memo: h.Memo, Self: h.Self,
	}
}
