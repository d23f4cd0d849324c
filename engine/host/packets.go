package host

import (
	"context"
	"net/netip"
	"time"
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

// Packets sends packets and counts answers, in process. It configures
// nothing, so it is part of a View.
type Packets interface {
	Ping(ctx context.Context, p Ping) (PingReport, error)
	Exchange(ctx context.Context, e Exchange) (ExchangeReport, error)
}
