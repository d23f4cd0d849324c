package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/frame"
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443) messages.
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

const (
	echoHeader = 8
	// maxPayload fits into an IPv4 packet with its header.
	maxPayload = 65535 - 20 - echoHeader
)

// echoRequest is the message of one request. The kernel fills in the checksum
// of ICMPv6 (RFC 3542, 3.1).
func echoRequest(target netip.Addr, id, seq uint16, size int) []byte {
	m := make([]byte, echoHeader+size)
	m[0] = echoRequest6
	if target.Is4() {
		m[0] = echoRequest4
	}
	binary.BigEndian.PutUint16(m[4:], id)
	binary.BigEndian.PutUint16(m[6:], seq)
	for i := range m[echoHeader:] {
		m[echoHeader+i] = byte(i)
	}
	if target.Is4() {
		binary.BigEndian.PutUint16(m[2:], frame.Checksum(m))
	}
	return m
}

// echoReply reads what a raw socket received: with the IP header before it for
// IPv4 (raw(7)), without for IPv6.
func echoReply(target netip.Addr, packet []byte) (id, seq uint16, ok bool) {
	want := byte(echoReply6)
	if target.Is4() {
		want = echoReply4
		if len(packet) < 20 {
			return 0, 0, false
		}
		header := int(packet[0]&0x0f) * 4
		if header < 20 || header > len(packet) {
			return 0, 0, false
		}
		packet = packet[header:]
	}
	if len(packet) < echoHeader || packet[0] != want || packet[1] != 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(packet[4:]), binary.BigEndian.Uint16(packet[6:]), true
}

// openEcho opens a raw socket that is connected to the target, so that it
// receives of nobody else. Refused is what the network says against it.
func openEcho(p host.Ping) (socket *os.File, refused, err error) {
	family, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	if p.Target.Is4() {
		family, protocol = unix.AF_INET, unix.IPPROTO_ICMP
	}
	fd := -1
	err = within(p.Namespace, func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		if err != nil {
			return fmt.Errorf("open a raw socket: %w", err)
		}
		if err := echoOptions(fd, p.Target, p.DontFragment); err != nil {
			return err
		}
		refused, err = bindAndConnect(fd, p.Source, p.Target)
		return err
	})
	if err != nil || refused != nil {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, refused, err
	}
	return os.NewFile(uintptr(fd), "icmp"), nil, nil
}

// echoOptions asks for the ICMP errors of our requests (ip(7), IP_RECVERR) and
// says whether they may be fragmented.
func echoOptions(fd int, target netip.Addr, dontFragment bool) error {
	level, recverr, discover, policy := unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT
	if target.Is4() {
		level, recverr, discover, policy = unix.IPPROTO_IP, unix.IP_RECVERR, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT
	}
	if dontFragment {
		policy = unix.IP_PMTUDISC_DO // the same number for IPv6
	}
	return errors.Join(
		unix.SetsockoptInt(fd, level, recverr, 1),
		unix.SetsockoptInt(fd, level, discover, policy),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1), // or the kernel sends no request to a whole subnet
	)
}

func bindAndConnect(fd int, source, target netip.Addr) (refused, err error) {
	to, err := socketAddress(target)
	if err != nil {
		return nil, err
	}
	if source.IsValid() {
		from, err := socketAddress(source.Unmap())
		if err != nil {
			return nil, err
		}
		if source.Unmap().Is4() != target.Is4() {
			return nil, fmt.Errorf("the source %s is of another family", source)
		}
		if err := unix.Bind(fd, from); err != nil {
			return nil, fmt.Errorf("send from %s: %w", source, err)
		}
	}
	return unix.Connect(fd, to), nil
}

// socketAddress must be called in the namespace of the socket: the zone of a
// link-local address is the name or index of a link there.
func socketAddress(a netip.Addr) (unix.Sockaddr, error) {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}, nil
	}
	s := &unix.SockaddrInet6{Addr: a.As16()}
	if zone := a.Zone(); zone != "" {
		index, err := strconv.ParseUint(zone, 10, 32)
		if err != nil {
			link, err := net.InterfaceByName(zone)
			if err != nil {
				return nil, fmt.Errorf("zone of %s: %w", a, err)
			}
			index = uint64(link.Index)
		}
		s.ZoneId = uint32(index)
	}
	return s, nil
}

// refusal reads a control message of the error queue (ip(7), IP_RECVERR): the
// router that sent an ICMP error, and the MTU where a packet was too long. An
// error of this machine's own names an MTU alone.
func refusal(control []byte) (by netip.Addr, mtu int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return by, 0
	}
	for _, m := range messages {
		four := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		six := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !four && !six || len(m.Data) < 16 {
			continue
		}
		// Struct sock_extended_err, then the address of who sent it.
		if syscall.Errno(binary.NativeEndian.Uint32(m.Data)) == unix.EMSGSIZE {
			mtu = int(binary.NativeEndian.Uint32(m.Data[8:]))
		}
		by = offender(m.Data[16:])
	}
	return by, mtu
}

// quoted reads the request that an error of the error queue is about: an ICMP
// error quotes the header at least (RFC 792).
func quoted(b []byte) (id, seq uint16, ok bool) {
	if len(b) < echoHeader || b[0] != echoRequest4 && b[0] != echoRequest6 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), true
}

// ownAddress is the source of what a socket sends.
func ownAddress(fd int) netip.Addr {
	switch a, _ := unix.Getsockname(fd); a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr)
	}
	return netip.Addr{}
}

// offender is the address in a sockaddr; of an error of this machine's own there
// is none.
func offender(b []byte) netip.Addr {
	switch {
	case len(b) >= 8 && binary.NativeEndian.Uint16(b) == unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[4:8]))
	case len(b) >= 24 && binary.NativeEndian.Uint16(b) == unix.AF_INET6:
		return netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	return netip.Addr{}
}
