package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Each address is announced twice (ANNOUNCE_NUM of RFC 5227), since the first
// may be lost while a switch learns; sooner than the RFC's two seconds, since
// somebody waits.
const (
	announceTimes    = 2
	announceInterval = 200 * time.Millisecond
)

// announce tells the neighbours of a link where its addresses are. A link that
// is down, or has no Ethernet address, has nobody to tell.
func announce(h *netlink.Handle, namespace string, index int, addresses []netip.Addr) error {
	if len(addresses) == 0 {
		return nil
	}
	l, err := h.LinkByIndex(index) // as it is after the changes
	if err != nil {
		return err
	}
	mac := l.Attrs().HardwareAddr
	if l.Attrs().Flags&net.FlagUp == 0 || len(mac) != 6 {
		return nil
	}
	fd := -1
	err = within(namespace, func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	for i := range announceTimes {
		if i > 0 {
			<-time.After(announceInterval)
		}
		for _, a := range addresses {
			frame := announcement(mac, a)
			sendErr := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index})
			if sendErr != nil && !errors.Is(sendErr, unix.ENETDOWN) && !errors.Is(sendErr, unix.ENOBUFS) {
				err = errors.Join(err, fmt.Errorf("announce %s: %w", a, sendErr))
			}
		}
	}
	return errors.Join(err, unix.Close(fd))
}

// announcement is an Ethernet frame to all: of IPv4 an ARP request of the
// address for itself (RFC 5227, 2.3), of IPv6 a neighbour advertisement with the
// override flag (RFC 4861, 4.4).
func announcement(mac net.HardwareAddr, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is6() {
		return advertisement(mac, a)
	}
	ip := a.AsSlice()
	frame := ethernet("ff:ff:ff:ff:ff:ff", mac, unix.ETH_P_ARP)
	frame = binary.BigEndian.AppendUint16(frame, 1) // Ethernet
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	frame = append(frame, 6, 4, 0, 1) // lengths, request
	frame = append(append(frame, mac...), ip...)
	frame = append(append(frame, make([]byte, 6)...), ip...)
	return append(frame, make([]byte, max(0, 60-len(frame)))...) // Ethernet's least
}

func ethernet(to string, from net.HardwareAddr, protocol uint16) []byte {
	mac, err := net.ParseMAC(to)
	if err != nil {
		panic("local: " + to + " is no Ethernet address")
	}
	return binary.BigEndian.AppendUint16(append(append([]byte{}, mac...), from...), protocol)
}

const neighbourAdvertisement = 136

func advertisement(mac net.HardwareAddr, a netip.Addr) []byte {
	all := netip.MustParseAddr("ff02::1").As16() // all nodes of the link
	from := a.As16()
	icmp := make([]byte, 8, 32)
	icmp[0], icmp[4] = neighbourAdvertisement, 0x20 // override
	icmp = append(append(icmp, from[:]...), 2, 1)   // target link-layer address
	icmp = append(icmp, mac...)

	pseudo := append(append([]byte{}, from[:]...), all[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(icmp)))
	pseudo = append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(icmp[2:], checksum(append(pseudo, icmp...)))

	frame := ethernet("33:33:00:00:00:01", mac, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(icmp)))
	frame = append(frame, unix.IPPROTO_ICMPV6, 255) // hop limit
	frame = append(append(frame, from[:]...), all[:]...)
	return append(frame, icmp...)
}
