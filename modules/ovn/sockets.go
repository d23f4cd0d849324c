package ovn

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"weft/engine/host"
)

// The states of a TCP socket that matter here (include/net/tcp_states.h).
const (
	established = 0x01
	listening   = 0x0a
)

// socket is a TCP socket of the host's own network namespace.
type socket struct {
	local, remote netip.AddrPort
	state         uint8
}

// sockets reads /proc/net/tcp and /proc/net/tcp6. IPv4 addresses mapped into
// IPv6 are shown as IPv4.
func sockets(ctx context.Context, k host.KernelReader) ([]socket, error) {
	var all []socket
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := k.Get(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		list, err := parseSockets(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// parseSockets reads the table of proc_net_tcp (kernel documentation): a line
// of headings, then a line a socket, whose second to fourth words are local
// address, remote address and state.
func parseSockets(text string) ([]socket, error) {
	var all []socket
	first := true
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if first || len(words) == 0 {
			first = false
			continue
		}
		if len(words) < 4 {
			return nil, fmt.Errorf("a line of %d words", len(words))
		}
		local, err := parseEndpoint(words[1])
		if err != nil {
			return nil, err
		}
		remote, err := parseEndpoint(words[2])
		if err != nil {
			return nil, err
		}
		state, err := strconv.ParseUint(words[3], 16, 8)
		if err != nil {
			return nil, fmt.Errorf("state %q: %w", words[3], err)
		}
		all = append(all, socket{local, remote, uint8(state)})
	}
	return all, nil
}

// parseEndpoint reads an address in words of the machine's byte order, a colon
// and the port: 0200007F:1981 is 127.0.0.2:6529 on a little-endian machine.
func parseEndpoint(s string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(s, ":")
	n, portErr := strconv.ParseUint(port, 16, 16)
	raw, err := hex.DecodeString(address)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address of a socket", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// listens says whether a socket listens where a target says.
func listens(all []socket, t target) bool {
	for _, s := range all {
		if s.state != listening || s.local.Port() != t.port {
			continue
		}
		if !t.address.IsValid() || t.address.IsUnspecified() {
			if s.local.Addr().IsUnspecified() {
				return true
			}
		} else if s.local.Addr() == t.address.Unmap() || s.local.Addr().IsUnspecified() {
			return true
		}
	}
	return false
}
