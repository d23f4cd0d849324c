package testlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// fitted shortens a name to what the kernel takes for an interface (IFNAMSIZ), without making two names one.
func fitted(name string) string {
	if len(name) < unix.IFNAMSIZ {
		return name
	}
	return name[:6] + "~" + shortDigest(name, 8)
}

func bridgeName(network string) string { return fitted("br-" + network) }

// machineLinkPrefix begins the names of this machine's own links into a lab: Down finds them by it.
func machineLinkPrefix(lab string) string { return "wl" + shortDigest(lab, 8) + "." }

// makeFabric makes what is missing of a lab's bridges and of this machine's links to those with access.
func makeFabric(s Spec) error {
	name := fabricNetns(s.Name)
	if !netnsExists(name) {
		if err := makeNetns(name); err != nil {
			return err
		}
	}
	if err := inNetns(name, func() error { return makeBridges(s.Networks) }); err != nil {
		return err
	}
	for i, n := range s.Networks {
		if !n.Access {
			continue
		}
		link := fmt.Sprintf("%s%d", machineLinkPrefix(s.Name), i)
		if err := joinMachine(s, n, link); err != nil {
			return fmt.Errorf("join this machine to network %s: %w", n.Name, err)
		}
	}
	return nil
}

// makeBridges makes the bridges that are missing in the namespace of the calling thread.
func makeBridges(networks []Network) error {
	// The bridges carry frames and speak to nobody: without this each would send router solicitations of its own.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("turn IPv6 off in the fabric: %w", err)
	}
	floods := false
	for _, n := range networks {
		_, err := netlink.LinkByName(bridgeName(n.Name))
		if err == nil {
			continue
		}
		bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &floods}
		bridge.Name = bridgeName(n.Name)
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("make the bridge of network %s: %w", n.Name, err)
		}
		if err := netlink.LinkSetUp(bridge); err != nil {
			return fmt.Errorf("bring the bridge of network %s up: %w", n.Name, err)
		}
	}
	return nil
}

// joinMachine gives this machine an interface on a network, with the network's first address.
func joinMachine(s Spec, n Network, name string) error {
	if _, err := netlink.LinkByName(name); err == nil {
		return nil // the fabric's end lives and dies with it
	}
	if err := plug(s.Name, n.Name, "machine."+n.Name, plugEnd{name: name, mtu: defaultMTU}); err != nil {
		return err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(link, fmt.Sprintf("weft lab %s: network %s", s.Name, n.Name)); err != nil {
		return err
	}
	// A host that boots is asked for its MAC address every 50 ms instead of every second.
	for _, family := range []string{"ipv4", "ipv6"} {
		path := filepath.Join("/proc/sys/net", family, "neigh", name, "retrans_time_ms")
		if err := os.WriteFile(path, []byte("50"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	addresses := []netip.Prefix{n.machine()}
	if v6, ok := s.ipv6(n, n.machine().Addr()); ok {
		addresses = append(addresses, v6)
	}
	for _, a := range addresses {
		if err := addAddress(link, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

func addAddress(link netlink.Link, a netip.Prefix) error {
	address := &netlink.Addr{IPNet: &net.IPNet{
		IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
	if a.Addr().Is6() {
		if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
			return nil // this machine has no IPv6
		}
		address.Flags = unix.IFA_F_NODAD // nobody else has it, and it can be used at once
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("add address %s: %w", a, err)
	}
	return nil
}

// portName is the fabric's end of a host's cable.
func portName(host, nic string) string { return fitted(host + "." + nic) }

// plugEnd is the far end of a veth pair whose near end is a port of the fabric.
type plugEnd struct {
	name  string
	mac   string // empty: the kernel's choice
	mtu   int    // bytes
	netns string // empty: the namespace of this process
	wire  bool   // the network is one
}

// plug makes a veth pair between a network's bridge and a far end, down as a NIC is before boot. A port of that name
// that is there already is pulled out first.
func plug(lab, network, port string, end plugEnd) error {
	path := "/proc/self/ns/net"
	if end.netns != "" {
		path = netnsPath(end.netns)
	}
	far, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open a network namespace: %w", err)
	}
	defer func() { _ = far.Close() }()
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU = fitted(port), largestMTU // the far end's MTU alone decides what passes
	veth.PeerName, veth.PeerMTU = end.name, uint32(end.mtu)
	veth.PeerNamespace = netlink.NsFd(far.Fd())
	if end.mac != "" {
		if veth.PeerHardwareAddr, err = net.ParseMAC(end.mac); err != nil {
			return fmt.Errorf("MAC address of %s: %w", end.name, err)
		}
	}
	err = inNetns(fabricNetns(lab), func() error {
		if old, err := netlink.LinkByName(veth.Name); err == nil {
			if err := removeLink(old); err != nil {
				return fmt.Errorf("pull out %s: %w", veth.Name, err)
			}
		}
		bridge, err := netlink.LinkByName(bridgeName(network))
		if err != nil {
			return fmt.Errorf("find the bridge of network %s: %w", network, err)
		}
		veth.MasterIndex = bridge.Attrs().Index
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("plug %s into network %s: %w", end.name, network, err)
		}
		if end.wire {
			if err := passAll(veth); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetUp(veth); err != nil {
			return fmt.Errorf("bring %s up: %w", veth.Name, err)
		}
		return checksumHere(veth.Name)
	})
	if err != nil {
		return err
	}
	if end.netns == "" {
		return checksumHere(end.name)
	}
	return inNetns(end.netns, func() error { return checksumHere(end.name) })
}

// passAll makes a port of a bridge pass frames to the addresses that IEEE 802.1D keeps from being forwarded, but for those
// that pause a sender, which no Linux bridge lets go.
func passAll(port netlink.Link) error {
	const all, pause = 0xffff, 1 << 1
	if err := netlink.LinkSetBRSlaveGroupFwdMask(port, all&^pause); err != nil {
		return fmt.Errorf("make port %s a wire's: %w", port.Attrs().Name, err)
	}
	return nil
}

// checksumHere makes the kernel write the checksums of what leaves by a link in the calling thread's namespace. A veth
// else leaves them to hardware that is not there, and a userspace switch at the far end sees every TCP segment as damaged.
func checksumHere(link string) error {
	out, err := exec.Command("ethtool", "-K", link, "tx", "off").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ethtool -K %s tx off: %w: %s", link, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// removeMachineLinks takes this machine's own links into a lab away; with each goes its other end.
func removeMachineLinks(lab string) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list this machine's links: %w", err)
	}
	for _, link := range links {
		if !strings.HasPrefix(link.Attrs().Name, machineLinkPrefix(lab)) {
			continue
		}
		if err := removeLink(link); err != nil {
			return fmt.Errorf("remove link %s: %w", link.Attrs().Name, err)
		}
	}
	return nil
}

// removeLink removes a link that may be going by itself meanwhile: the kernel takes a namespace down, and with it both
// ends of the pairs that lead into it, some time after the namespace's last name and process are gone.
func removeLink(link netlink.Link) error {
	var gone netlink.LinkNotFoundError
	if err := netlink.LinkDel(link); err != nil && !errors.As(err, &gone) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

// checkRoutes refuses a network with access whose addresses this machine already sends elsewhere.
func checkRoutes(s Spec) error {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list this machine's routes: %w", err)
	}
	var mistakes []error
	for _, n := range s.Networks {
		for _, r := range routes {
			to, ok := routePrefix(r)
			if !n.Access || !ok || !to.Overlaps(n.CIDR) {
				continue
			}
			device, alias := "another device", ""
			if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
				device, alias = link.Attrs().Name, link.Attrs().Alias
			}
			if strings.HasPrefix(device, machineLinkPrefix(s.Name)) {
				continue // it is our own
			}
			if alias != "" {
				device += " (" + alias + ")"
			}
			mistakes = append(mistakes, fmt.Errorf("network %s: this machine already has a route to %s by %s, and %s overlaps with it; give the network another cidr, or take that away",
				n.Name, to, device, n.CIDR))
		}
	}
	return errors.Join(mistakes...)
}

// routePrefix is where a route leads; default routes and those of one family's whole space collide with nothing.
func routePrefix(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil || r.Type != unix.RTN_UNICAST {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(r.Dst.IP)
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok && ones > 0
}
