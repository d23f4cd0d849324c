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

	"weft/engine/host/frame"
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
			sendErr := unix.Sendto(fd, announcement(mac, a), 0, &unix.SockaddrLinklayer{Ifindex: index})
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
		return frame.NeighbourAdvertisement(mac, a).Bytes()
	}
	ip := a.AsSlice()
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac...)
	b = binary.BigEndian.AppendUint16(b, frame.ARP)
	b = binary.BigEndian.AppendUint16(b, 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, frame.IPv4)
	b = append(b, 6, 4, 0, 1) // lengths, request
	b = append(append(b, mac...), ip...)
	b = append(append(b, make([]byte, 6)...), ip...)
	return append(b, make([]byte, max(0, 60-len(b)))...) // Ethernet's least
}
