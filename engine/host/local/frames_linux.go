package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// frames are sent and heard through packet sockets (packet(7)), which are opened in
// the wanted namespace and then used from anywhere.
type frames struct{}

// longestFrame is what a packet of IP fits into, with its headers.
const longestFrame = 1<<16 + 64

// Attach implements [host.Frames].
func (frames) Attach(ctx context.Context, namespace, link string) (host.Wire, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	socket, err := listen(namespace, link, longestFrame)
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", link, err)
	}
	return &wire{socket: socket, link: link, buffer: newTapBuffer(longestFrame)}, nil
}

// wire is a packet socket. It is for one goroutine.
type wire struct {
	socket *os.File
	link   string
	buffer tapBuffer
}

func (w *wire) Close() error { return w.socket.Close() }

func (w *wire) Send(ctx context.Context, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := w.socket.Write(b); err != nil {
		var inner *os.PathError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return fmt.Errorf("send on %s: %w", w.link, err)
	}
	return nil
}

func (w *wire) Receive(ctx context.Context) ([]byte, error) {
	raw, err := w.socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.socket.SetReadDeadline(time.Now()) })
	defer stop()
	for {
		// Before the look at ctx: what an earlier context left behind may set
		// the deadline still, and its end is not that of this one.
		err := w.socket.SetReadDeadline(time.Time{})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var b []byte
		var failed error
		if err == nil {
			err = raw.Read(func(fd uintptr) (done bool) {
				b, done, failed = w.take(int(fd))
				return done
			})
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Join(err, failed) != nil:
			return nil, fmt.Errorf("listen on %s: %w", w.link, errors.Join(err, failed))
		}
		return b, nil
	}
}

// take reads one frame that came to the link; none where there is no more.
func (w *wire) take(fd int) (b []byte, done bool, err error) {
	for {
		n, controls, _, from, err := unix.Recvmsg(fd, w.buffer.frame, w.buffer.control, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil, false, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN): // it may come up again
			continue
		case err != nil:
			return nil, true, err
		}
		if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == unix.PACKET_OUTGOING {
			continue // this machine's own
		}
		return slices.Clone(tagged(w.buffer.frame[:n], w.buffer.control[:controls])), true, nil
	}
}
