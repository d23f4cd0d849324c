package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/host"
)

// libvirtServer is a server of libvirt's protocol that knows one domain, v0, and one
// network, n0, and counts who asked for what.
type libvirtServer struct {
	socket string

	mu     sync.Mutex
	calls  []uint32
	seen   map[uint32]string // the arguments of the last call of each procedure
	answer map[uint32]func() (status uint32, payload []byte)
}

func serveLibvirt(t *testing.T) *libvirtServer {
	t.Helper()
	s := &libvirtServer{socket: filepath.Join(t.TempDir(), "sock"), seen: map[uint32]string{}, answer: map[uint32]func() (uint32, []byte){}}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(conn)
			conn.Close()
		}
	}()
	return s
}

// libvirtObject is a domain or network as the protocol has it.
func libvirtObject(name string) []byte {
	return new(xdr).text(name).raw(bytes.Repeat([]byte{0xab}, 16)).Bytes()
}

func (s *libvirtServer) serve(conn net.Conn) {
	for {
		var head [headerSize]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		word := func(i int) uint32 { return binary.BigEndian.Uint32(head[4*i:]) }
		body := make([]byte, word(0)-headerSize)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		proc, serial := word(3), word(5)
		s.mu.Lock()
		s.calls = append(s.calls, proc)
		s.seen[proc] = string(body)
		answer := s.answer[proc]
		s.mu.Unlock()
		if answer == nil {
			answer = func() (uint32, []byte) { return usual(proc, body) }
		}
		status, payload := answer()
		if status == hangUp {
			return
		}
		// An event that nobody asked for comes first.
		conn.Write(libvirtMessage(999, 2, 0, 0, nil))
		conn.Write(libvirtMessage(proc, typeReply, serial, status, payload))
	}
}

const hangUp = 77

func libvirtMessage(proc, kind, serial, status uint32, payload []byte) []byte {
	x := new(xdr)
	for _, n := range []uint32{uint32(headerSize + len(payload)), remoteProgram, remoteVersion, proc, kind, serial, status} {
		x.number(n)
	}
	return x.raw(payload).Bytes()
}

// answers has the server answer a procedure otherwise.
func (s *libvirtServer) answers(proc uint32, answer func() (status uint32, payload []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer[proc] = answer
}

func (s *libvirtServer) asked() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *libvirtServer) args(proc uint32) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[proc]
}

func usual(proc uint32, body []byte) (uint32, []byte) {
	switch proc {
	case procAuthList:
		return statusOK, new(xdr).number(1).number(authPolkit).Bytes()
	case procDomainLookup, procNetworkLookup:
		name := (&xdrReader{rest: body}).text()
		if name != "v0" && name != "n0" {
			return 1, libvirtRefusal(errNoDomain, "Domain not found")
		}
		id := libvirtObject(name)
		if proc == procDomainLookup {
			id = append(id, 0, 0, 0, 7)
		}
		return statusOK, id
	case procDomainPersistent, procNetworkPersistent, procDomainGetAutostart, procNetworkActive, procNetworkAutostart:
		return statusOK, new(xdr).number(1).Bytes()
	case procDomainState:
		return statusOK, new(xdr).number(3).number(0).Bytes() // paused
	case procDomainXML, procNetworkXML:
		flags := binary.BigEndian.Uint32(body[len(body)-4:])
		return statusOK, new(xdr).text(map[uint32]string{0: "<network/>", 1: "<now/>", 3: "<defined/>"}[flags]).Bytes()
	}
	return statusOK, nil
}

func libvirtRefusal(code uint32, said string) []byte {
	return new(xdr).number(code).number(10).number(1).text(said).number(2).Bytes()
}

func TestLibvirtReads(t *testing.T) {
	s := serveLibvirt(t)
	d := NewLibvirt([]string{filepath.Join(t.TempDir(), "nobody"), s.socket})
	defer d.Close()
	got, err := d.Virtual(t.Context(), host.VirtualDomain, "v0")
	want := host.Virtual{Name: "v0", UUID: "abababab-abab-abab-abab-abababababab", Defined: "<defined/>", Live: "<now/>", Active: true, Autostart: true}
	if err != nil || got != want {
		t.Errorf("%v: %+v, want %+v", err, got, want)
	}
	if want := []uint32{procAuthList, procAuthPolkit, procConnectOpen}; !slices.Equal(s.asked()[:3], want) {
		t.Errorf("it greeted by %v, want %v", s.asked()[:3], want)
	}
	got, err = d.Virtual(t.Context(), host.VirtualNetwork, "n0")
	if err != nil || got.Live != "<network/>" || got.Defined != "<now/>" || !got.Active {
		t.Errorf("a network: %+v, %v", got, err)
	}
	if n := slices.Index(s.asked()[3:], procConnectOpen); n >= 0 {
		t.Error("it dialled twice")
	}
	if _, err := d.Virtual(t.Context(), host.VirtualDomain, "v1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a domain that is not there: %v", err)
	}
}

func TestLibvirtOrders(t *testing.T) {
	s := serveLibvirt(t)
	d := NewLibvirt([]string{s.socket})
	defer d.Close()
	id := append(libvirtObject("v0"), 0, 0, 0, 7)
	for _, c := range []struct {
		act  func() error
		proc uint32
		args *xdr
	}{
		{func() error { return d.Order(t.Context(), host.VirtualStart, host.VirtualDomain, "v0") }, procDomainStart, new(xdr).raw(id)},
		{func() error { return d.Order(t.Context(), host.VirtualUndefine, host.VirtualDomain, "v0") }, procDomainUndefine, new(xdr).raw(id).number(8)},
		{func() error { return d.Order(t.Context(), host.VirtualNoAutostart, host.VirtualDomain, "v0") }, procDomainSetAutostart, new(xdr).raw(id).number(0)},
		{func() error { return d.Order(t.Context(), host.VirtualDestroy, host.VirtualNetwork, "n0") }, procNetworkDestroy, new(xdr).raw(libvirtObject("n0"))},
		{func() error { return d.Define(t.Context(), host.VirtualDomain, "v0", "<domain/>") }, procDomainDefine, new(xdr).text("<domain/>")},
		{func() error { return d.Define(t.Context(), host.VirtualNetwork, "n0", "<network/>") }, procNetworkDefine, new(xdr).text("<network/>")},
		{func() error { return d.Device(t.Context(), host.DeviceDetach, "v0", "<i/>") }, procDomainDetachDevice, new(xdr).raw(id).text("<i/>").number(1)},
	} {
		if err := c.act(); err != nil || s.args(c.proc) != c.args.String() {
			t.Errorf("procedure %d: %v: got %q, want %q", c.proc, err, s.args(c.proc), c.args)
		}
	}
	if err := d.Order(t.Context(), host.VirtualShutdown, host.VirtualNetwork, "n0"); err == nil {
		t.Error("a network was shut down")
	}
}

func TestLibvirtRefusals(t *testing.T) {
	s := serveLibvirt(t)
	s.answers(procDomainStart, func() (uint32, []byte) { return 1, libvirtRefusal(38, "Cannot access storage file") })
	d := NewLibvirt([]string{s.socket})
	defer d.Close()
	start := func() error { return d.Order(t.Context(), host.VirtualStart, host.VirtualDomain, "v0") }
	var refused *host.LibvirtError
	if err := start(); !errors.As(err, &refused) || err.Error() != "libvirtd refuses to start domain v0: Cannot access storage file" {
		t.Errorf("%v", err)
	}
	lost := true
	s.answers(procDomainStart, func() (uint32, []byte) { return hangUp, nil })
	if err := start(); !errors.Is(err, host.ErrOutcomeUnknown) {
		t.Errorf("a lost connection: %v", err)
	}
	s.answers(procDomainLookup, func() (uint32, []byte) {
		if lost {
			lost = false
			return hangUp, nil
		}
		return statusOK, append(libvirtObject("v0"), 0, 0, 0, 7)
	})
	if _, err := d.Virtual(t.Context(), host.VirtualDomain, "v0"); err != nil {
		t.Errorf("reading did not go on over a new connection: %v", err)
	}
	if _, err := NewLibvirt([]string{"/nowhere/sock"}).Virtual(t.Context(), host.VirtualDomain, "v0"); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("without libvirtd: %v", err)
	}
}

// A libvirtd that hangs holds a run no longer than its context.
func TestLibvirtHangs(t *testing.T) {
	s := serveLibvirt(t)
	over := make(chan struct{})
	s.answers(procDomainStart, func() (uint32, []byte) { <-over; return hangUp, nil })
	d := NewLibvirt([]string{s.socket})
	defer d.Close()
	defer close(over)
	if _, err := d.Virtual(t.Context(), host.VirtualDomain, "v0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := d.Order(ctx, host.VirtualStart, host.VirtualDomain, "v0")
	if err == nil || !strings.Contains(err.Error(), "context deadline exceeded") {
		t.Errorf("%v", err)
	}
}

// FuzzLibvirtReply reads what a server may send.
func FuzzLibvirtReply(f *testing.F) {
	f.Add(libvirtMessage(procDomainXML, typeReply, 1, statusOK, new(xdr).text("<domain/>").Bytes()))
	f.Add(libvirtMessage(procDomainXML, typeReply, 1, 1, libvirtRefusal(42, "Domain not found")))
	f.Add(append(libvirtMessage(999, 2, 0, 0, nil), libvirtMessage(procDomainXML, typeReply, 1, statusOK, []byte{0xff, 0xff, 0xff, 0xff})...))
	f.Fuzz(func(t *testing.T, sent []byte) {
		reply, err := readReply(bytes.NewReader(sent), procDomainXML, 1)
		if err != nil {
			return
		}
		if text := reply.text(); len(text) > len(sent) {
			t.Errorf("%d bytes of text from %d", len(text), len(sent))
		}
		reply.number()
		if reply.err == nil && len(reply.rest) > len(sent) {
			t.Error("more is left than came")
		}
	})
}
