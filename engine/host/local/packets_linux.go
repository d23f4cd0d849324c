package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// packets sends packets from this process. Sockets are opened in the wanted
// namespace and then used from anywhere.
type packets struct{}

// Exchange returns an error where no connection came about. What is lost or
// changed after that is told by the report alone. The time-out is ten seconds
// where it is zero.
func (packets) Exchange(ctx context.Context, e host.Exchange) (host.ExchangeReport, error) {
	limit := e.Timeout
	if limit <= 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	conn, err := dialTCP(ctx, e)
	if err != nil {
		return host.ExchangeReport{}, fmt.Errorf("exchange with %s: %w", e.Target, err)
	}
	defer release(conn)
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, err := io.CopyN(conn, newStream(), int64(e.Bytes))
		if err == nil {
			_ = conn.CloseWrite() // an echo service that waits for the end may now answer
		}
	}()
	intact := countIntact(conn, e.Bytes)
	_ = conn.SetDeadline(time.Now()) // nothing more is wanted of the sender
	<-sent
	return host.ExchangeReport{Bytes: intact, Elapsed: time.Since(begin)}, nil
}

// dialTCP opens the connection on a thread in the namespace. A dialer that is
// given one address makes its socket on the thread it is called on.
func dialTCP(ctx context.Context, e host.Exchange) (*net.TCPConn, error) {
	var conn *net.TCPConn
	err := within(e.Namespace, func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", e.Target.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	return conn, err
}

// newStream is the bytes that are sent: no two stretches alike, and the same
// ones each time.
func newStream() io.Reader {
	return rand.NewChaCha8([32]byte([]byte("weft: the thread that crosses it")))
}

// countIntact reads up to n bytes and counts those that are as they were sent,
// from the start.
func countIntact(r io.Reader, n int) int {
	want := newStream()
	got, sent := make([]byte, 32<<10), make([]byte, 32<<10)
	intact := 0
	for intact < n {
		k, err := r.Read(got[:min(len(got), n-intact)])
		_, _ = io.ReadFull(want, sent[:k]) // never fails
		for i := range k {
			if got[i] != sent[i] {
				return intact + i
			}
		}
		intact += k
		if err != nil {
			break
		}
	}
	return intact
}

// Ping returns an error for what is wrong with the request or this process;
// that the network refuses is in the report.
func (packets) Ping(ctx context.Context, p host.Ping) (host.PingReport, error) {
	if err := ctx.Err(); err != nil {
		return host.PingReport{}, err
	}
	if !p.Target.IsValid() || p.Count < 0 || p.Count > 1<<16 || p.Size < 0 || p.Size > maxPayload {
		return host.PingReport{}, fmt.Errorf("ping %s: count %d or size %d out of range", p.Target, p.Count, p.Size)
	}
	p.Target = p.Target.Unmap()
	socket, refused, err := openEcho(p)
	if err != nil {
		return host.PingReport{}, fmt.Errorf("ping %s: %w", p.Target, err)
	}
	if refused != nil {
		return host.PingReport{Refused: refused.Error()}, nil
	}
	defer release(socket)
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) })()
	s := series{socket: socket, ping: p, id: uint16(rand.Uint32()), sentAt: make(map[uint16]time.Time)}
	if err := s.run(ctx); err != nil {
		return s.report, fmt.Errorf("ping %s: %w", p.Target, err)
	}
	return s.report, nil
}

// series is a run of echo requests on one socket.
type series struct {
	socket *os.File
	ping   host.Ping
	id     uint16
	sentAt map[uint16]time.Time // of requests without an answer, by sequence number
	report host.PingReport
	total  time.Duration
}

// run sends and receives by turns, on one goroutine.
func (s *series) run(ctx context.Context) error {
	next := time.Now()
	for s.report.Sent < s.ping.Count {
		s.send()
		next = next.Add(s.ping.Interval)
		if s.report.Sent == s.ping.Count {
			next = time.Now().Add(s.ping.Wait)
		}
		if err := s.receive(ctx, next); err != nil {
			return err
		}
	}
	if s.report.Received > 0 {
		s.report.Average = s.total / time.Duration(s.report.Received)
	}
	return nil
}

func (s *series) send() {
	seq := uint16(s.report.Sent)
	s.report.Sent++
	s.sentAt[seq] = time.Now()
	_, err := s.socket.Write(echoRequest(s.ping.Target, s.id, seq, s.ping.Size))
	if err != nil {
		delete(s.sentAt, seq)
		s.refuse(err)
		s.explain()
	}
}

// receive takes answers until a time, or until none is missing any more and
// nothing is left to send.
func (s *series) receive(ctx context.Context, until time.Time) error {
	buffer := make([]byte, maxPayload+128)
	for {
		last := s.report.Sent == s.ping.Count
		if last && len(s.sentAt) == 0 {
			return nil
		}
		if err := errors.Join(s.socket.SetReadDeadline(until), ctx.Err()); err != nil {
			return err
		}
		n, err := s.socket.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ctx.Err()
		case err != nil:
			s.refuse(err) // an ICMP error that came back for a request
			s.explain()
			continue
		}
		id, seq, ok := echoReply(s.ping.Target, buffer[:n])
		sent, waiting := s.sentAt[seq]
		if ok && waiting && id == s.id {
			delete(s.sentAt, seq)
			s.report.Received++
			s.total += time.Since(sent)
		}
	}
}

// explain takes what the kernel says beside an error: who refused, and which
// MTU there is. What is not there is not said.
func (s *series) explain() {
	raw, err := s.socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		data, control := make([]byte, 128), make([]byte, 512)
		for range s.report.Sent { // no more errors than requests
			size, n, _, _, err := unix.Recvmsg(int(fd), data, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if id, seq, ok := quoted(data[:size]); ok && id == s.id {
				delete(s.sentAt, seq) // nothing more will come of it
			}
			by, mtu := refusal(control[:n])
			if !s.report.By.IsValid() && by != ownAddress(int(fd)) { // of a neighbour that is silent the kernel tells itself
				s.report.By = by
			}
			if mtu > 0 {
				s.report.MTU = mtu
			}
		}
	})
}

// refuse keeps the first refusal.
func (s *series) refuse(err error) {
	var inner *os.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if s.report.Refused == "" {
		s.report.Refused = err.Error()
	}
}
