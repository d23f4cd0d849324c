package local

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// Commands of SIOCETHTOOL (linux/ethtool.h) that read and set the transmit
// checksum offload. The kernel maps them to the features that `ethtool -K DEV
// tx` names.
const (
	ethtoolGetTxChecksum = 0x16
	ethtoolSetTxChecksum = 0x17
)

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct {
	command uint32
	data    uint32
}

// ethtoolRequest is struct ifreq with a pointer in its union.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data *ethtoolValue
	_    [16]byte // the union is larger than a pointer
}

// readChecksums fills in Checksum of the veths among all.
func readChecksums(namespace string, all []host.Link) error {
	var veths []*host.Link
	for i := range all {
		if all[i].Kind == "veth" {
			veths = append(veths, &all[i])
		}
	}
	if len(veths) == 0 {
		return nil
	}
	return withSocket(namespace, func(socket int) error {
		for _, l := range veths {
			v := ethtoolValue{command: ethtoolGetTxChecksum}
			err := ethtool(socket, l.Name, &v)
			if err != nil && !errors.Is(err, unix.ENODEV) { // ENODEV: gone since it was listed
				return fmt.Errorf("read the checksum offload of %s: %w", l.Name, err)
			}
			l.Checksum = v.data != 0
		}
		return nil
	})
}

func writeChecksum(namespace, name string, on bool) error {
	v := ethtoolValue{command: ethtoolSetTxChecksum}
	if on {
		v.data = 1
	}
	return withSocket(namespace, func(socket int) error { return ethtool(socket, name, &v) })
}

// withSocket calls ask with a socket that belongs to a namespace.
func withSocket(namespace string, ask func(socket int) error) error {
	socket := -1
	err := within(namespace, func() (err error) {
		socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(ask(socket), unix.Close(socket))
}

func ethtool(socket int, name string, v *ethtoolValue) error {
	request := ethtoolRequest{data: v}
	if len(name) >= len(request.name) {
		return unix.EINVAL
	}
	copy(request.name[:], name)
	//nolint:gosec // ioctl(2) takes a pointer
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}
