package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/frame"
)

const (
	// capturedBytes holds the headers of a frame, of a tunnel with all the
	// options it may have, and of what it carries.
	capturedBytes = 512
	// captureBuffer is what the kernel may keep until we look.
	captureBuffer = 8 << 20
	auxdataBytes  = 20 // of struct tpacket_auxdata
)

// Capture implements [host.Packets].
func (packets) Capture(ctx context.Context, taps []host.Tap, during func(context.Context) error) ([]host.Seen, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	c := capture{taps: taps, seen: make([]host.Seen, len(taps)), enough: enough}
	var sockets []*os.File
	defer func() {
		for _, s := range sockets {
			release(s)
		}
	}()
	for _, t := range taps {
		s, err := listen(t.Namespace, t.Link, capturedBytes)
		if err != nil {
			return nil, fmt.Errorf("capture on %s: %w", t.Link, err)
		}
		sockets = append(sockets, s)
	}
	var readers sync.WaitGroup
	failed := make([]error, len(taps))
	for i, s := range sockets {
		readers.Go(func() { failed[i] = c.read(i, s) })
	}
	err := during(ctx)
	for _, s := range sockets {
		err = errors.Join(err, s.SetReadDeadline(time.Now())) // what has come is still read
	}
	readers.Wait()
	for i, s := range sockets {
		failed[i] = errors.Join(failed[i], c.losses(i, s))
	}
	return c.seen, errors.Join(err, errors.Join(failed...))
}

// capture is what the readers of several sockets fill in.
type capture struct {
	taps   []host.Tap
	enough context.CancelFunc

	mu   sync.Mutex
	seen []host.Seen
}

// read takes frames off a socket until its deadline, and then those that are
// already there.
func (c *capture) read(i int, s *os.File) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	buffer := newTapBuffer(capturedBytes)
	take := func(fd uintptr) (got bool) {
		got, failed = c.take(i, int(fd), buffer)
		return got || failed != nil
	}
	for err == nil && failed == nil {
		err = raw.Read(take)
	}
	if failed != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(failed, err)
	}
	err = raw.Control(func(fd uintptr) {
		for left := leftBehind; left > 0 && take(fd) && failed == nil; left-- {
		}
	})
	return errors.Join(failed, err)
}

// leftBehind bounds the frames that are still read after the end: on a busy
// link there is always another.
const leftBehind = 1 << 16

type tapBuffer struct{ frame, control []byte }

func newTapBuffer(keep int) tapBuffer {
	return tapBuffer{make([]byte, keep), make([]byte, unix.CmsgSpace(auxdataBytes))}
}

// take reads one frame, and says whether there was one.
func (c *capture) take(i, fd int, b tapBuffer) (got bool, err error) {
	n, controls, _, from, err := unix.Recvmsg(fd, b.frame, b.control, unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN): // it may come up again
		return true, nil
	case err != nil:
		return false, err
	}
	way := host.In
	if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == unix.PACKET_OUTGOING {
		way = host.Out
	}
	f := frame.Decode(tagged(b.frame[:n], b.control[:controls]))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taps[i].Count(&c.seen[i], way, f)
	if host.Done(c.taps, c.seen) {
		c.enough()
	}
	return true, nil
}

// tagged puts the VLAN tag back that the kernel keeps beside the frame:
// packet(7), PACKET_AUXDATA.
func tagged(b, control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return b
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < auxdataBytes {
			continue
		}
		// Of struct tpacket_auxdata: status, two lengths, two offsets, then
		// tag and protocol.
		status, protocol := binary.NativeEndian.Uint32(m.Data), uint16(0)
		if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			protocol = binary.NativeEndian.Uint16(m.Data[18:])
		}
		if status&unix.TP_STATUS_VLAN_VALID != 0 {
			return frame.WithTag(b, protocol, binary.NativeEndian.Uint16(m.Data[16:]))
		}
	}
	return b
}

// losses asks how many frames found no room in the buffer.
func (c *capture) losses(i int, s *os.File) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var stats *unix.TpacketStats
	var failed error
	err = raw.Control(func(fd uintptr) {
		stats, failed = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	if err = errors.Join(err, failed); err == nil {
		c.seen[i].Lost = int(stats.Drops)
	}
	return err
}

// listen opens a packet socket that hears all of one link, and nothing before it is
// bound to it. It keeps so many bytes of a frame.
func listen(namespace, name string, keep int) (*os.File, error) {
	fd := -1
	err := within(namespace, func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("there is no such link: %w", fs.ErrNotExist)
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return fmt.Errorf("open a packet socket: %w", err)
		}
		return errors.Join(listenOptions(fd, link.Index, keep), unix.Bind(fd, &unix.SockaddrLinklayer{
			Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: link.Index,
		}))
	})
	if err != nil {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), "link "+name), nil
}

func listenOptions(fd, index, keep int) error {
	// A classic BPF program of one instruction: keep so many bytes.
	filter := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(keep)}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter}),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{
			Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC,
		}),
	)
}

// bigEndian is a number as the kernel wants protocols of packet sockets.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
