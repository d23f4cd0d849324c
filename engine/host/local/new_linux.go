package local

import "weft/engine/host"

// New returns the doors of this machine. Put [host.Observe] before it, which
// empties the memo at every effect.
func New() host.Host {
	c := commands{}
	return host.Host{
		Files:    &files{accounts: &accounts{}},
		Kernel:   kernel{},
		Commands: c,
		Units:    &units{commands: c},
		Links:    links{},
		OVSDB:    NewOVSDB(Sockets()),
		Packets:  packets{},
		Memo:     &host.Memo{},
	}
}
