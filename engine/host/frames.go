package host

import "context"

// Frames are whole Ethernet frames on a link, sent and heard in process: for
// probes that speak as a guest does before it has an address. They configure
// nothing, so they are part of a View.
type Frames interface {
	// Attach begins to listen on a link of a network namespace, the host's own
	// where it is empty. The error wraps [fs.ErrNotExist] where there is no such
	// namespace or link.
	Attach(ctx context.Context, namespace, link string) (Wire, error)
}

// Wire is a link that one listens on. It is promiscuous until it is closed: what
// is addressed to others is heard too.
type Wire interface {
	// Send puts a frame onto the link as it is, from its destination's address
	// on.
	Send(ctx context.Context, b []byte) error
	// Receive returns the next frame that has come to the link since Attach,
	// with its VLAN tags, or waits for one. Once ctx ends the error is ctx's.
	Receive(ctx context.Context) ([]byte, error)
	Close() error
}
