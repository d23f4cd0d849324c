package local

import (
	"os"

	"weft/engine/host"
)

// New returns the doors of this machine. Put [host.Observe] before it, which
// empties the memo at every effect.
func New() host.Host {
	c := commands{}
	self, err := os.Executable()
	if err != nil {
		self = "" // only without /proc, where nothing else works either
	}
	return host.Host{
		Files:    &files{accounts: &accounts{}},
		Kernel:   kernel{},
		Commands: c,
		Units:    &units{commands: c},
		Links:    links{},
		OVSDB:    NewOVSDB(Sockets()),
		Libvirt:  NewLibvirt(LibvirtSockets()),
		Packets:  packets{},
		Frames:   frames{},
		Daemons:  Daemons{Dirs: []string{"/run/openvswitch", "/var/run/openvswitch"}},
		Disks:    disks{},
		Memo:     &host.Memo{},
		Self:     self,
		Kept:     "/var/lib/weft/kept",
	}
}
