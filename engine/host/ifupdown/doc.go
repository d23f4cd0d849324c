// Package ifupdown reads and edits what interfaces(5) describes: the files by
// which Debian's ifup configures the network at boot. Kinds that keep a change
// over a reboot write files of their own below /etc/network/interfaces.d
// ([Purpose], [CanPersist]); what the operator's files say of the same device must
// then not fight with them.
//
// A [Text] is a file, kept byte for byte. [Text.Release] takes from a device
// the addresses that its stanzas give, and nothing else: the method becomes
// manual, and lines that give addresses or routes become comments, each with a
// mark. What else stands there (a bridge's ports, an MTU, a script) stays in
// force. [Text.Restore] takes the marks away again, byte for byte, whatever
// another hand changed around them meanwhile:
//
//	auto eth0                             auto eth0
//	iface eth0 inet static                #weft 1 eth0= iface eth0 inet static
//	    address 192.0.2.5/24              iface eth0 inet manual
//	    mtu 1400                          #weft 1 eth0:     address 192.0.2.5/24
//	                                          mtu 1400
//
// The number counts releases: a restore takes back the last one alone.
package ifupdown
