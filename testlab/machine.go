package testlab

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
)

// consoleFileName is what a host and its supervisor wrote, in the host's directory.
const consoleFileName = "console.log"

// machine is all that a host's supervisor knows: machine.json in the host's directory.
type machine struct {
	Lab, Name  string
	Image      string // directory of the image's root
	Repository string // directory of the repository, empty for none
	Disk       int64  // bytes; 0: as much as the machine has
	Links      []machineLink
	Files      []machineFile
	VM         *vmMachine // nil for a host in namespaces
}

// vmMachine is what the supervisor of a virtual machine knows beside.
type vmMachine struct {
	Shape    shape
	Snapshot string // directory of the snapshot that its first boot goes on from; empty for none
}

// machineLink is a NIC as it is plugged in at boot.
type machineLink struct {
	Name, Network, MAC string
	MTU                int    // bytes
	Wire               bool   // the network is one
	Model              string // of a virtual machine's card
}

// machineFile is a file that makes the host this host and no other. It is written once, before the first boot.
type machineFile struct {
	Path    string // absolute, in the host
	Mode    fs.FileMode
	Owner   int // uid
	Content string
}

// firstUser is the uid of the first of imageUsers; the others follow.
const firstUser = 1000

// newMachine describes a host to its supervisor. hostKey is its own SSH key, login the public half of the lab's.
func newMachine(s Spec, h Host, r record, hostKey keyPair, login string) machine {
	m := machine{Lab: s.Name, Name: h.Name, Image: r.Image, Repository: r.Repository}
	for _, nic := range h.NICs {
		network, _ := s.network(nic.Network)
		m.Links = append(m.Links, machineLink{Name: nic.Name, Network: nic.Network, MAC: s.mac(h, nic), MTU: nic.mtu(), Wire: network.Wire, Model: nic.Model})
	}
	id := make([]byte, 16)
	rand.Read(id) // it never fails: crypto/rand
	m.Files = []machineFile{
		{Path: "/etc/hostname", Mode: 0o644, Content: h.Name + "\n"},
		{Path: "/etc/hosts", Mode: 0o644, Content: renderHosts(h.Name)},
		{Path: "/etc/machine-id", Mode: 0o444, Content: hex.EncodeToString(id) + "\n"},
		{Path: "/etc/network/interfaces.d/lab", Mode: 0o644, Content: renderInterfaces(s, h)},
		{Path: "/etc/ssh/ssh_host_ed25519_key", Mode: 0o600, Content: string(hostKey.Private)},
		{Path: "/etc/ssh/ssh_host_ed25519_key.pub", Mode: 0o644, Content: hostKey.Public + "\n"},
		{Path: "/root/.ssh/authorized_keys", Mode: 0o600, Content: login + "\n"},
	}
	for i, user := range imageUsers() {
		m.Files = append(m.Files, machineFile{Path: "/home/" + user + "/.ssh/authorized_keys", Mode: 0o600,
			Owner: firstUser + i, Content: login + "\n"})
	}
	if h.VM != nil {
		m.Files = append(m.Files, machineFile{Path: "/etc/udev/rules.d/70-lab.rules", Mode: 0o644, Content: renderNICRules(m.Links)})
	}
	return m
}

// renderNICRules writes udev(7) rules that give network cards the names and MTUs of the inventory. A card that was given
// to another driver and comes back gets them again. Where it lost its name to another while udev had not come to it yet,
// there is no add for it any more, but a move.
func renderNICRules(links []machineLink) string {
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintf(&b, `SUBSYSTEM=="net", SUBSYSTEMS=="pci", ACTION=="add|move", ATTR{address}=="%s", `, strings.ToLower(l.MAC))
		fmt.Fprintf(&b, `PROGRAM="%s %s %d", NAME="%s"`+"\n", nameNICPath, l.Name, l.MTU, l.Name)
	}
	return b.String()
}

// renderHosts writes hosts(5): the host knows itself, as sudo wants.
func renderHosts(name string) string {
	return "127.0.0.1 localhost\n127.0.1.1 " + name + "\n::1 localhost ip6-localhost ip6-loopback\n"
}

// renderInterfaces writes interfaces(5): a stanza for each NIC with an address. A NIC without one has no stanza: what
// becomes of it is for the playbook to say.
func renderInterfaces(s Spec, h Host) string {
	var b strings.Builder
	for _, nic := range h.NICs {
		if !nic.Address.IsValid() {
			continue
		}
		fmt.Fprintf(&b, "auto %s\n", nic.Name)
		stanza(&b, nic.Name, nic.Address)
		network, _ := s.network(nic.Network)
		if v6, ok := s.ipv6(network, nic.Address.Addr()); ok {
			stanza(&b, nic.Name, v6)
		}
	}
	return b.String()
}

func stanza(b *strings.Builder, nic string, a netip.Prefix) {
	family, more := "inet", ""
	if a.Addr().Is6() {
		family, more = "inet6", "\tdad-attempts 0\n\taccept_ra 0\n"
	}
	fmt.Fprintf(b, "iface %s %s static\n\taddress %s\n%s\n", nic, family, a, more)
}
