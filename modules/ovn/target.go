package ovn

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ovsdbPort is the port of OVSDB where a target names none (ovsdb(7)).
const ovsdbPort = 6640

// target is a connection method of ovsdb(7): tcp:IP[:PORT], ssl:IP[:PORT],
// ptcp:[PORT][:IP], pssl:[PORT][:IP].
type target struct {
	method  string // "tcp", "ssl", "ptcp", "pssl"
	port    uint16
	address netip.Addr // invalid where a listener names none
}

func parseTarget(s string) (target, error) {
	method, rest, ok := strings.Cut(s, ":")
	if !ok {
		return target{}, fmt.Errorf("%q has no connection method", s)
	}
	t := target{method: method, port: ovsdbPort}
	var err error
	switch method {
	case "ptcp", "pssl":
		port, address, named := strings.Cut(rest, ":")
		if port != "" {
			err = t.setPort(port)
		}
		if err == nil && named {
			err = t.setAddress(address)
		}
	case "tcp", "ssl":
		address, port := splitHost(rest)
		if err = t.setAddress(address); err == nil && port != "" {
			err = t.setPort(port)
		}
	default:
		err = fmt.Errorf("%q is no connection method of OVSDB", method)
	}
	return t, err
}

// splitHost cuts IP[:PORT], where an IPv6 address may stand in brackets.
func splitHost(s string) (address, port string) {
	end := strings.LastIndexByte(s, ']')
	if colon := strings.LastIndexByte(s, ':'); colon > end && (end >= 0 || strings.Count(s, ":") == 1) {
		return s[:colon], s[colon+1:]
	}
	return s, ""
}

func (t *target) setPort(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return fmt.Errorf("%q is not a TCP port", s)
	}
	t.port = uint16(n)
	return nil
}

func (t *target) setAddress(s string) error {
	inner := strings.TrimPrefix(strings.TrimSuffix(s, "]"), "[")
	a, err := netip.ParseAddr(inner)
	if err != nil {
		return fmt.Errorf("%q is not an IP address", s)
	}
	t.address = a
	return nil
}

// passive says whether the server listens instead of dialling.
func (t target) passive() bool { return strings.HasPrefix(t.method, "p") }

// secure says whether it speaks TLS.
func (t target) secure() bool { return strings.HasSuffix(t.method, "ssl") }

// endpoint is what a client dials to reach a listener, or "" where the
// listener names no address.
func (t target) endpoint() string {
	if !t.passive() || !t.address.IsValid() || t.address.IsUnspecified() {
		return ""
	}
	return strings.TrimPrefix(t.method, "p") + ":" + netip.AddrPortFrom(t.address, t.port).String()
}
