package testlab

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Spec describes a lab: what an inventory says of it.
type Spec struct {
	// Name is the lab's name on this machine: lower-case letters, digits and dashes, at most 32.
	Name string
	// Image is a distribution and its release, as in "debian-12" or "ubuntu-24.04". Empty means the release that this
	// machine runs itself.
	Image string
	// Repository lists the packages that the lab's local apt repository offers; their dependencies come with them. Of
	// "src:NAME" the files of the source package lie there too.
	Repository []string
	Networks   []Network
	Hosts      []Host
}

// Network is one switch that hosts plug their NICs into.
type Network struct {
	Name string
	// CIDR is the network's prefix. It may be the zero value where no NIC on this network has an address.
	CIDR netip.Prefix
	// Access says that this machine joins the network, as its first address. At least one network needs it.
	Access bool
	// Wire says that it is no switch but a cable between two NICs: it passes what a bridge keeps to itself too (LACP, LLDP,
	// spanning trees), and where one end is pulled out the other loses its carrier.
	Wire bool
}

// Host is one machine of the lab.
type Host struct {
	Name string
	// User is who the ssh_config logs in as; empty means root. The image has root, "operator" (sudo with the password
	// "weft", which is its login password too) and "deploy" (sudo without one); the lab's key opens all three.
	User string
	NICs []NIC
	// VM makes it a virtual machine; nil leaves it in namespaces of this machine.
	VM *VM
}

// NIC is one network interface of a host.
type NIC struct {
	// Name is the interface's name inside the host, as in "eth0".
	Name string
	// Network is the name of the network it is plugged into.
	Network string
	// Address with its prefix length is configured at boot, by ifupdown. The zero value leaves the interface down and bare.
	Address netip.Prefix
	// MAC is the hardware address; empty means one derived from the names of lab, host and NIC: always the same.
	MAC string
	// MTU in bytes; 0 means 1500.
	MTU int
	// Model is the network card of a virtual machine, "virtio" or "e1000e"; empty means virtio.
	Model string
}

// sourcePrefix is before the name of a source package, as Debian's tools spell it.
const sourcePrefix = "src:"

var (
	labelPattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	packagePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	interfacePattern = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,14}$`)
)

const (
	defaultMTU  = 1500
	smallestMTU = 1280 // below it the kernel takes IPv6 off an interface, RFC 8200 section 5
	largestMTU  = 65535
)

// Check reports every mistake of the description at once, joined into one error.
func (s Spec) Check() error {
	c := specCheck{spec: s, addresses: map[netip.Addr]string{}, macs: map[string]string{}}
	c.label("lab", s.Name)
	if _, err := findRelease(s.Image); s.Image != "" && err != nil {
		c.mistakes = append(c.mistakes, err)
	}
	for _, name := range s.Repository {
		if !packagePattern.MatchString(strings.TrimPrefix(name, sourcePrefix)) {
			c.mistake("repository: %q is not the name of a package", name)
		}
	}
	c.networks()
	if len(s.Hosts) == 0 {
		c.mistake("the lab has no host")
	}
	seen := map[string]bool{}
	for _, h := range s.Hosts {
		if seen[h.Name] {
			c.mistake("host %s: described twice", h.Name)
		}
		seen[h.Name] = true
		c.host(h)
	}
	return errors.Join(c.mistakes...)
}

// specCheck gathers the mistakes of one description.
type specCheck struct {
	spec      Spec
	mistakes  []error
	addresses map[netip.Addr]string // who has it
	macs      map[string]string
}

func (c *specCheck) mistake(format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf(format, args...))
}

func (c *specCheck) label(what, name string) {
	if !labelPattern.MatchString(name) {
		c.mistake("%s %q: a name is 1 to 32 lower-case letters, digits and dashes", what, name)
	}
}

func (c *specCheck) networks() {
	seen := map[string]bool{}
	access := 0
	for i, n := range c.spec.Networks {
		c.label("network", n.Name)
		if seen[n.Name] {
			c.mistake("network %s: described twice", n.Name)
		}
		seen[n.Name] = true
		if n.CIDR.IsValid() && n.CIDR != n.CIDR.Masked() {
			c.mistake("network %s: %s has bits set beyond its prefix; meant is %s", n.Name, n.CIDR, n.CIDR.Masked())
		}
		if n.Wire && n.Access {
			c.mistake("network %s: this machine joins it, and a wire has two ends", n.Name)
		}
		if n.Wire && c.spec.ends(n) > 2 {
			c.mistake("network %s: %d NICs are at a wire, which has two ends", n.Name, c.spec.ends(n))
		}
		if !n.Access {
			continue
		}
		access++
		if !n.CIDR.IsValid() {
			c.mistake("network %s: a network with access needs a cidr", n.Name)
			continue
		}
		c.addresses[n.machine().Addr()] = "this machine, which takes the first address of network " + n.Name
		for _, other := range c.spec.Networks[:i] {
			if other.Access && other.CIDR.IsValid() && other.CIDR.Overlaps(n.CIDR) {
				c.mistake("network %s: %s overlaps with %s of network %s", n.Name, n.CIDR, other.CIDR, other.Name)
			}
		}
	}
	if access == 0 {
		c.mistake("no network has access: this machine could not reach the hosts")
	}
}

func (c *specCheck) host(h Host) {
	c.label("host", h.Name)
	if h.User != "" && h.User != "root" && !slices.Contains(imageUsers(), h.User) {
		c.mistake("host %s: the image has no user %q; it has root, %v", h.Name, h.User, imageUsers())
	}
	if h.VM != nil {
		c.vm(h)
	}
	seen := map[string]bool{}
	for _, nic := range h.NICs {
		if seen[nic.Name] {
			c.mistake("host %s: NIC %s: described twice", h.Name, nic.Name)
		}
		seen[nic.Name] = true
		c.nic(h, nic)
	}
	if _, ok := c.spec.access(h); !ok {
		c.mistake("host %s: no NIC has an address on a network with access, so nothing could log in", h.Name)
	}
}

func (c *specCheck) nic(h Host, nic NIC) {
	at := fmt.Sprintf("host %s: NIC %s", h.Name, nic.Name)
	if !interfacePattern.MatchString(nic.Name) || nic.Name == "lo" {
		c.mistake("%s: not a name for an interface: 1 to 15 letters, digits, dots, dashes, and not lo", at)
	}
	if nic.MTU != 0 && (nic.MTU < smallestMTU || nic.MTU > largestMTU) {
		c.mistake("%s: MTU %d is not between %d and %d", at, nic.MTU, smallestMTU, largestMTU)
	}
	switch {
	case nic.Model != "" && h.VM == nil:
		c.mistake("%s: model %q is for virtual machines; the host has no vm", at, nic.Model)
	case nic.Model != "" && !slices.Contains(nicModels(), nic.Model):
		c.mistake("%s: model %q is not one of %v", at, nic.Model, nicModels())
	}
	mac, err := net.ParseMAC(c.spec.mac(h, nic))
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		c.mistake("%s: %q is not the MAC address of a single interface", at, nic.MAC)
	} else if other, taken := c.macs[mac.String()]; taken {
		c.mistake("%s: MAC address %s belongs to %s already", at, mac, other)
	} else {
		c.macs[mac.String()] = at
	}
	network, ok := c.spec.network(nic.Network)
	if !ok {
		c.mistake("%s: there is no network %q", at, nic.Network)
		return
	}
	if nic.Address.IsValid() {
		c.address(at, nic, network)
	}
}

func (c *specCheck) address(at string, nic NIC, network Network) {
	a := nic.Address.Addr()
	switch {
	case !network.CIDR.IsValid():
		c.mistake("%s: address %s on network %s, which has no cidr", at, nic.Address, network.Name)
	case !network.CIDR.Contains(a):
		c.mistake("%s: address %s is not in %s of network %s", at, nic.Address, network.CIDR, network.Name)
	case nic.Address.Bits() != network.CIDR.Bits():
		c.mistake("%s: prefix length %d differs from %s of network %s", at, nic.Address.Bits(), network.CIDR, network.Name)
	case a == network.CIDR.Addr():
		c.mistake("%s: %s is the address of network %s itself", at, a, network.Name)
	case a.Is4() && !network.CIDR.Contains(a.Next()):
		c.mistake("%s: %s is the broadcast address of network %s", at, a, network.Name)
	}
	if other, taken := c.addresses[a]; taken {
		c.mistake("%s: address %s belongs to %s already", at, a, other)
	} else {
		c.addresses[a] = at
	}
}

func (s Spec) network(name string) (Network, bool) {
	i := slices.IndexFunc(s.Networks, func(n Network) bool { return n.Name == name })
	if i < 0 {
		return Network{}, false
	}
	return s.Networks[i], true
}

// ends is how many NICs are at a network.
func (s Spec) ends(n Network) int {
	ends := 0
	for _, h := range s.Hosts {
		for _, nic := range h.NICs {
			if nic.Network == n.Name {
				ends++
			}
		}
	}
	return ends
}

func (s Spec) host(name string) (Host, bool) {
	i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, false
	}
	return s.Hosts[i], true
}

// access returns the NIC by which this machine reaches h: the first with an address on a network with access.
func (s Spec) access(h Host) (NIC, bool) {
	i := slices.IndexFunc(h.NICs, func(nic NIC) bool {
		n, ok := s.network(nic.Network)
		return ok && n.Access && nic.Address.IsValid()
	})
	if i < 0 {
		return NIC{}, false
	}
	return h.NICs[i], true
}

// machine is this machine's own address on a network with access: the first.
func (n Network) machine() netip.Prefix {
	return netip.PrefixFrom(n.CIDR.Addr().Next(), n.CIDR.Bits())
}

// mac is the NIC's hardware address: the one described, or a locally administered one (RFC 7042 section 2.1).
func (s Spec) mac(h Host, nic NIC) string {
	if nic.MAC != "" {
		return nic.MAC
	}
	sum := sha256.Sum256([]byte(s.Name + "/" + h.Name + "/" + nic.Name))
	return net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}.String()
}

func (n NIC) mtu() int { return cmp.Or(n.MTU, defaultMTU) }

// ipv6 gives an IPv4 address on a network with access its IPv6 companion, in a unique local prefix (RFC 4193) of the
// lab's own: so that every lab can be reached over IPv6 too, without anybody writing addresses down.
func (s Spec) ipv6(n Network, a netip.Addr) (netip.Prefix, bool) {
	if !n.Access || !a.Is4() {
		return netip.Prefix{}, false
	}
	sum := sha256.Sum256([]byte(s.Name + "/" + n.Name))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:])
	v4 := a.As4()
	copy(b[12:], v4[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), 64), true
}

// shortDigest makes a fixed-width name of any text, for where the kernel leaves room for few characters only.
func shortDigest(text string, width int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:width]
}
