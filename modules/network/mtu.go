package network

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// pathTo is the way from a namespace of this host to an address.
type pathTo struct {
	v         host.View
	namespace string
	target    netip.Addr
	source    netip.Addr // chosen by the kernel where invalid
	outlet    host.Link  // packets leave by it
}

// findPath looks which link packets to an address leave by.
func findPath(ctx context.Context, v host.View, namespace string, target netip.Addr) (pathTo, error) {
	p := pathTo{v: v, namespace: namespace, target: target.Unmap()}
	links, err := v.Links.List(ctx, namespace)
	if err != nil {
		return p, err
	}
	routes, err := v.Links.Routes(ctx, namespace)
	if err != nil {
		return p, err
	}
	var there bool
	if p.outlet, there = host.Outlet(links, routes, p.target); !there {
		return p, &step.ProbeError{Wanted: fmt.Sprintf("a route to %s%s", target, from(namespace)), Seen: "none", Hint: "compare `ip address` and `ip route` there"}
	}
	return p, nil
}

// headers are those of IP and ICMP before the payload of an echo request.
func (p pathTo) headers() int {
	if p.target.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// smallest is the size of a packet that passes every path (RFC 791, RFC 8200).
func (p pathTo) smallest() int {
	if p.target.Is4() {
		return 68
	}
	return 1280
}

// outletMTU is how large a packet may be at the start; that of a loopback is
// larger than any packet.
func (p pathTo) outletMTU() int { return min(p.outlet.MTU, 65535) }

// send sends packets of a size, IP header included, that may not be
// fragmented.
func (p pathTo) send(ctx context.Context, size int) (host.PingReport, error) {
	return p.v.Packets.Ping(ctx, host.Ping{
		Namespace: p.namespace, Target: p.target, Source: p.source, Count: 2, Interval: 100 * time.Millisecond, Wait: time.Second,
		Size: size - p.headers(), DontFragment: true,
	})
}

// carries fails where packets of a size do not come back. The first router that
// refuses one is kept in told: from then on this host refuses them itself.
func (p pathTo) carries(ctx context.Context, size int, told *host.PingReport) error {
	r, err := p.send(ctx, size)
	if err != nil || r.Received > 0 {
		return err
	}
	if r.By.IsValid() {
		*told = r
	}
	return &step.ProbeError{Wanted: fmt.Sprintf("answers from %s to packets of %d bytes%s", p.target, size, from(p.namespace)), Seen: seen(r)}
}

// limit is what a path lets through, and who says so.
type limit struct {
	size  int        // bytes of the largest packet that came back; 0 where none did
	named int        // the MTU that was named last; 0 where nobody named one
	by    netip.Addr // the router that named it; invalid where this host did
	said  host.PingReport
}

// measure looks for the largest packet that passes, knowing that one of a size
// does not, and what a router told of it before. Where nobody names an MTU it
// halves what is left.
func (p pathTo) measure(ctx context.Context, size int, told host.PingReport) (limit, error) {
	l := limit{named: told.MTU, by: told.By}
	try := func(size int) (ok bool, err error) {
		r, err := p.send(ctx, size)
		if r.MTU > 0 && r.MTU != l.named {
			l.named, l.by = r.MTU, r.By
		}
		l.said = r
		return r.Received > 0, err
	}
	low, high := p.smallest(), size
	if _, err := try(size); err != nil { // once more, for the MTU that is named
		return l, err
	}
	hint := l.named
	if ok, err := try(low); !ok || err != nil {
		return l, err
	}
	for l.size = low; high-low > 1; l.size = low {
		next := (low + high) / 2
		if low < hint && hint < high {
			next, hint = hint, hint+1 // it passes, and one byte more does not
		}
		ok, err := try(next)
		if err != nil {
			return l, err
		}
		if ok {
			low = next
		} else {
			high = next
		}
	}
	return l, nil
}

// blame says where packets stay.
func (p pathTo) blame(l limit) string {
	switch {
	case l.size == 0:
		return fmt.Sprintf("no packet at all comes back by %s: %s", p.outlet.Name, seen(l.said))
	case l.named != l.size:
		return fmt.Sprintf("packets of %d bytes pass, larger ones vanish without a word after %s: a switch, a tunnel or the far link has a smaller MTU", l.size, p.outlet.Name)
	case l.by.IsValid():
		return fmt.Sprintf("the router %s lets no more than %d bytes through", l.by, l.size)
	case l.named == p.outlet.MTU:
		return fmt.Sprintf("the MTU of this host's %s is %d", p.outlet.Name, p.outlet.MTU)
	}
	return fmt.Sprintf("this host knows an MTU of %d for the route (ip route get %s), which a router told it or an administrator set", l.named, p.target)
}
