// Package netconf keeps what steps do to the network over a boot, in the files
// of whatever configures the network of a host:
//
//	Ifupdown        interfaces(5): files of our own below /etc/network/interfaces.d
//	NetworkManager  nm-settings-keyfile(5): keys of *.nmconnection
//	Scripts         network-scripts: keys of ifcfg-*, and route-*, route6-*
//	Netplan         netplan(5): files /etc/netplan/90-weft-*.yaml of our own
//
// A [Part] is what one step keeps of one device: its MTU, its addresses, the
// members of a bond, a port of Open vSwitch. Several steps keep parts of one
// device, and hands write the same files. So a family does one thing, which is
// pure: it makes of all files that the host reads at boot those files with the
// part in them ([Family.Keep]) or out of them ([Family.Drop]), and whatever says
// nothing of the part stays byte for byte. Files that already mean the part stay
// as they are, however they are spelt.
//
// A step has a [Wish], by which [Look] reads the files and works out that goal.
// The [State] it returns goes on record, and [State.Back] takes the change out of a file that others changed
// meanwhile, as a three-way merge of lines does.
//
// Which tools read the files of a family at boot is not this package's business,
// nor is the running state: a module converges that, by the kernel or by
// [Activate] where a daemon would take it back.
package netconf
