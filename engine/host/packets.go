package host

import (
	"context"
	"net/netip"
	"time"

	"weft/engine/host/frame"
)

// Ping is a series of ICMP echo requests.
type Ping struct {
	Namespace    string // network namespace to send from; the host's own where empty
	Target       netip.Addr
	Source       netip.Addr    // chosen by the kernel where invalid
	Count        int           // requests to send
	Interval     time.Duration // between requests
	Wait         time.Duration // for the last answers
	Size         int           // payload, bytes
	DontFragment bool
}

// PingReport counts what came back.
type PingReport struct {
	Sent     int
	Received int
	Average  time.Duration // round trip
	// Refused is what the kernel or a router said of a request that could
	// not be sent ("message too long", "no route to host"); empty if nothing.
	Refused string
	// By is the router that refused by an ICMP error; invalid where this
	// machine did, or nobody.
	By netip.Addr
	// MTU is what a packet that is too long may have instead, headers
	// included, as who refused it says; 0 where nobody said.
	MTU int
}

// Exchange sends bytes to an echo service over TCP and reads them back.
type Exchange struct {
	Namespace string
	Target    netip.AddrPort
	Bytes     int
	Timeout   time.Duration
}

// ExchangeReport says how much came back unharmed.
type ExchangeReport struct {
	Bytes   int // equal to what was sent, from the start
	Elapsed time.Duration
}

// Direction is which way frames cross a link, as the kernel there sees it.
type Direction string

// The directions. A Tap without one takes both.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Tap is a place where frames are looked at: a link, with what is looked for.
type Tap struct {
	Namespace string // network namespace of the link; the host's own where empty
	Link      string
	Match     frame.Match
	Direction Direction
	// Enough is how many matching frames are wanted: once every tap that
	// says so has its own, the capture is over. 0 never ends it.
	Enough int
}

// Seen is what a tap saw.
type Seen struct {
	Frames  int // of its direction, matching or not
	Matched int
	// Lost are frames that came faster than they could be looked at.
	Lost int
	// Kinds counts all frames by a short description ("vlan 300 ARP");
	// those of more than a few kinds are counted under "other".
	Kinds map[string]int
}

// Packets sends packets, counts answers and looks at frames, in process. It
// configures nothing, so it is part of a View.
type Packets interface {
	Ping(ctx context.Context, p Ping) (PingReport, error)
	Exchange(ctx context.Context, e Exchange) (ExchangeReport, error)
	// Capture looks at the frames of all taps while during runs, and returns
	// what each saw. All taps listen before during is called; its context ends
	// once they have seen enough. The error is that of during, or wraps
	// [fs.ErrNotExist] where there is no such namespace or link.
	//
	// While it lasts the links are promiscuous, as with tcpdump(8): what is
	// addressed to others counts too.
	Capture(ctx context.Context, taps []Tap, during func(ctx context.Context) error) ([]Seen, error)
}

// kindsCounted bounds what a stranger's frames can make us hold.
const kindsCounted = 16

// Count adds a frame that crossed the tap in a direction.
func (t Tap) Count(s *Seen, way Direction, f frame.Frame) {
	if t.Direction != "" && t.Direction != way {
		return
	}
	s.Frames++
	if s.Kinds == nil {
		s.Kinds = map[string]int{}
	}
	kind := f.Kind()
	if _, known := s.Kinds[kind]; !known && len(s.Kinds) >= kindsCounted {
		kind = "other"
	}
	s.Kinds[kind]++
	if t.Match.Matches(f) {
		s.Matched++
	}
}

// Done says whether every tap that wants a number of frames has it, and there
// is such a tap.
func Done(taps []Tap, seen []Seen) bool {
	done := false
	for i, t := range taps {
		if seen[i].Matched < t.Enough {
			return false
		}
		done = done || t.Enough > 0
	}
	return done
}
