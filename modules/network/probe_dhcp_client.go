package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/frame"
	"weft/engine/step"
)

// retransmission is how long a client waits for an answer before it asks again
// (RFC 2131, 4.1). Servers that ping an address before they offer it need three
// seconds of it.
const retransmission = 4 * time.Second

// patience is how long to wait for an answer, and once it is there for those of
// others.
type patience struct{ answer, others time.Duration }

// client asks as a guest does.
type client struct {
	wire      host.Wire
	mac       net.HardwareAddr
	place     string // "eth0 in namespace vm1"
	addresses []netip.Prefix
	began     time.Time // of the first round
	first     patience

	strangers int    // frames that were no answers
	misread   string // why one that should be an answer could not be read
}

// client begins to listen. What is wrong with the link is what the probe saw, and no
// failure of the machine.
func (s ProbeDHCPSpec) client(ctx context.Context, v host.View, began time.Time) (*client, error) {
	c := &client{place: s.Link + from(s.Namespace), began: began}
	c.first = patience{min(max(time.Until(began.Add(s.Timeout)), time.Second), retransmission), s.Listen}
	missing := func(seen, hint string) error {
		return &step.ProbeError{Wanted: "to ask for an address on " + c.place, Seen: seen, Hint: hint}
	}
	links, err := v.Links.List(ctx, s.Namespace)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing("no such namespace", "has the fake_vm been made, and has the host not booted since?")
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(links, func(l host.Link) bool { return l.Name == s.Link })
	if i < 0 {
		var names []string
		for _, l := range links {
			names = append(names, l.Name)
		}
		return nil, missing("only the links "+strings.Join(names, ", "), "a port of DPDK is no link of the kernel: ask from inside the guest")
	}
	if !links[i].Up {
		return nil, missing("the link is down", "`ip link set "+s.Link+" up`, or net_link")
	}
	text := s.MAC.Or(links[i].MAC)
	if c.mac, err = net.ParseMAC(text); err != nil || len(c.mac) != 6 || bytes.Equal(c.mac, make([]byte, 6)) {
		return nil, missing(fmt.Sprintf("its address is %q, not one of Ethernet", text), "")
	}
	c.addresses = links[i].Addresses
	c.wire, err = v.Frames.Attach(ctx, s.Namespace, s.Link)
	return c, err
}

// has says whether the link has an address.
func (c *client) has(a netip.Addr) bool {
	return slices.ContainsFunc(c.addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

// ask sends packets and gives what comes to hear, for as long as the patience is.
// Once hear says that it has what it needs, it listens for others' answers only.
func (c *client) ask(ctx context.Context, wait patience, hear func(frame.Packet) (enough bool), packets ...frame.Packet) error {
	for _, p := range packets {
		if err := c.wire.Send(ctx, p.Bytes()); err != nil {
			return err
		}
	}
	enough, err := c.hear(ctx, wait.answer, hear)
	if err != nil || !enough {
		return err
	}
	_, err = c.hear(ctx, wait.others, func(p frame.Packet) bool {
		hear(p)
		return false
	})
	return err
}

// hear listens until somebody has heard enough, or the time is over.
func (c *client) hear(ctx context.Context, wait time.Duration, hear func(frame.Packet) (enough bool)) (enough bool, err error) {
	waiting, stop := context.WithTimeout(ctx, wait)
	defer stop()
	for {
		b, err := c.wire.Receive(waiting)
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return false, nil
			}
			return false, err
		}
		p, ok := c.taken(b)
		if !ok {
			continue
		}
		answer, ok := frame.Answer(p, c.mac)
		switch {
		case ok:
			if err := c.wire.Send(ctx, answer.Bytes()); err != nil {
				return false, err
			}
		case hear(p):
			return true, nil
		}
	}
}

// taken reads a frame that a guest would take: whole, without a tag, and to its
// own address or to a group.
func (c *client) taken(b []byte) (frame.Packet, bool) {
	p, ok := frame.Unpack(b)
	if !ok || p.Destination[0]&1 == 0 && p.Destination.String() != c.mac.String() {
		c.strangers++
		return p, false
	}
	return p, true
}

// silence says what came instead of an answer.
func (c *client) silence() string {
	switch {
	case c.misread != "":
		return "an answer that cannot be read: " + c.misread
	case c.strangers == 0:
		return "nobody answered, and no other frame came"
	}
	return fmt.Sprintf("nobody answered; %d other frames came", c.strangers)
}

// addressOf reads an address of a message.
func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// addressesOf reads those that are addresses of hosts.
func addressesOf(ips []net.IP) []netip.Addr {
	var all []netip.Addr
	for _, ip := range ips {
		if a := addressOf(ip); a.IsValid() && !a.IsUnspecified() {
			all = append(all, a)
		}
	}
	return all
}
