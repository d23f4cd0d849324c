package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"weft/engine/host"
)

// The procedures of libvirt's remote program, from its remote_protocol.x. Their
// numbers never change.
const (
	procConnectOpen        = 1
	procDomainStart        = 9
	procDomainDefine       = 11
	procDomainDestroy      = 12
	procDomainXML          = 14
	procDomainGetAutostart = 15
	procDomainLookup       = 23
	procDomainSetAutostart = 29
	procDomainShutdown     = 33
	procNetworkStart       = 39
	procNetworkDefine      = 41
	procNetworkDestroy     = 42
	procNetworkXML         = 43
	procNetworkAutostart   = 44
	procNetworkLookup      = 46
	procNetworkSetAuto     = 48
	procNetworkUndefine    = 49
	procAuthList           = 66
	procAuthPolkit         = 70
	procDomainPersistent   = 151
	procNetworkActive      = 152
	procNetworkPersistent  = 153
	procDomainAttachDevice = 160
	procDomainDetachDevice = 161
	procDomainUpdateDevice = 174
	procDomainState        = 212
	procDomainUndefine     = 231
	procListAllDomains     = 273
)

// Numbers of the protocol and of the API, from virnetprotocol.x and libvirt's
// headers.
const (
	remoteProgram = 0x20008086
	remoteVersion = 1
	typeCall      = 0
	typeReply     = 1
	statusOK      = 0
	headerSize    = 28       // with the length before it
	maxReply      = 32 << 20 // bytes, VIR_NET_MESSAGE_MAX

	authPolkit         = 2
	errNoDomain        = 42
	errNoNetwork       = 43
	errAuth            = 45
	deviceLive         = 1 // VIR_DOMAIN_AFFECT_LIVE
	domainSecure       = 1 // VIR_DOMAIN_XML_SECURE
	domainInactive     = 2 // VIR_DOMAIN_XML_INACTIVE
	networkInactive    = 1 // VIR_NETWORK_XML_INACTIVE
	undefineKeepNVRAM  = 8 // VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
	domainShutOff      = 5 // VIR_DOMAIN_SHUTOFF
	domainCrashed      = 6 // VIR_DOMAIN_CRASHED
	domainWithoutState = 0 // VIR_DOMAIN_NOSTATE
)

type libvirtOrder struct {
	proc uint32
	args []uint32 // after the object
}

func libvirtOrders() map[host.VirtualObject]map[host.VirtualVerb]libvirtOrder {
	return map[host.VirtualObject]map[host.VirtualVerb]libvirtOrder{
		host.VirtualDomain: {
			host.VirtualStart:       {procDomainStart, nil},
			host.VirtualShutdown:    {procDomainShutdown, nil},
			host.VirtualDestroy:     {procDomainDestroy, nil},
			host.VirtualUndefine:    {procDomainUndefine, []uint32{undefineKeepNVRAM}},
			host.VirtualAutostart:   {procDomainSetAutostart, []uint32{1}},
			host.VirtualNoAutostart: {procDomainSetAutostart, []uint32{0}},
		},
		host.VirtualNetwork: {
			host.VirtualStart:       {procNetworkStart, nil},
			host.VirtualDestroy:     {procNetworkDestroy, nil},
			host.VirtualUndefine:    {procNetworkUndefine, nil},
			host.VirtualAutostart:   {procNetworkSetAuto, []uint32{1}},
			host.VirtualNoAutostart: {procNetworkSetAuto, []uint32{0}},
		},
	}
}

// libvirtQuestion is what is asked of an object to know it whole.
type libvirtQuestion struct {
	lookup, persistent, active, autostart, xml uint32
	activeArgs                                 []byte
	inactive, live                             uint32 // flags of xml
	isActive                                   func(state uint32) bool
}

func libvirtQuestions() map[host.VirtualObject]libvirtQuestion {
	return map[host.VirtualObject]libvirtQuestion{
		host.VirtualDomain: {
			lookup: procDomainLookup, persistent: procDomainPersistent, active: procDomainState, autostart: procDomainGetAutostart, xml: procDomainXML,
			activeArgs: make([]byte, 4), inactive: domainInactive | domainSecure, live: domainSecure,
			isActive: func(state uint32) bool {
				return state != domainShutOff && state != domainCrashed && state != domainWithoutState
			},
		},
		host.VirtualNetwork: {
			lookup: procNetworkLookup, persistent: procNetworkPersistent, active: procNetworkActive, autostart: procNetworkAutostart, xml: procNetworkXML,
			inactive: networkInactive, isActive: func(state uint32) bool { return state != 0 },
		},
	}
}

// libvirtConn is a connection to libvirtd. Calls on it follow one another: the
// server sends nothing by itself to who asked for no events.
type libvirtConn struct {
	net.Conn
	serial uint32
	broken bool
}

// open greets the server, which wants to be asked for its ways to authenticate
// first. root needs none, or passes polkit.
func (c *libvirtConn) open() error {
	reply, err := c.call(procAuthList, new(xdr))
	if err != nil {
		return err
	}
	for n := reply.number(); n > 0 && reply.err == nil; n-- {
		if reply.number() == authPolkit {
			if _, err := c.call(procAuthPolkit, new(xdr)); err != nil {
				return err
			}
		}
	}
	if reply.err != nil {
		return reply.err
	}
	_, err = c.call(procConnectOpen, new(xdr).number(1).text("qemu:///system").number(0))
	return err
}

// lookup returns a domain or network as later calls name it.
func (c *libvirtConn) lookup(object host.VirtualObject, name string) ([]byte, error) {
	reply, err := c.call(libvirtQuestions()[object].lookup, new(xdr).text(name))
	if err != nil {
		return nil, err
	}
	return reply.rest, nil
}

// ask makes a call that is answered by a number.
func (c *libvirtConn) ask(proc uint32, args *xdr) (uint32, error) {
	reply, err := c.call(proc, args)
	if err != nil {
		return 0, err
	}
	return reply.number(), reply.err
}

// askText makes a call that is answered by a text.
func (c *libvirtConn) askText(proc uint32, args *xdr) (string, error) {
	reply, err := c.call(proc, args)
	if err != nil {
		return "", err
	}
	return reply.text(), reply.err
}

// call makes one call. What the server refuses is a [*host.LibvirtError]; any
// other error breaks the connection, and wraps [host.ErrOutcomeUnknown].
func (c *libvirtConn) call(proc uint32, args *xdr) (*xdrReader, error) {
	c.serial++
	head := make([]byte, 0, headerSize)
	for _, n := range []uint32{uint32(headerSize + args.Len()), remoteProgram, remoteVersion, proc, typeCall, c.serial, statusOK} {
		head = binary.BigEndian.AppendUint32(head, n)
	}
	_, err := c.Write(append(head, args.Bytes()...))
	var reply *xdrReader
	if err == nil {
		reply, err = readReply(c, proc, c.serial)
	}
	var refusal *host.LibvirtError
	if err != nil && !errors.As(err, &refusal) {
		c.broken = true
		return nil, fmt.Errorf("the connection to libvirtd was lost: %w (%w)", err, host.ErrOutcomeUnknown)
	}
	return reply, err
}

// readReply reads messages until the one that answers a call.
func readReply(r io.Reader, proc, serial uint32) (*xdrReader, error) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n < headerSize || n > maxReply {
			return nil, fmt.Errorf("a message of %d bytes", n)
		}
		// Not at once: who says that much comes may send nothing.
		var body bytes.Buffer
		if _, err := io.CopyN(&body, r, int64(n)-4); err != nil {
			return nil, err
		}
		m := &xdrReader{rest: body.Bytes()}
		program, _, gotProc, kind, gotSerial, status := m.number(), m.number(), m.number(), m.number(), m.number(), m.number()
		if program != remoteProgram || kind != typeReply || gotSerial != serial || gotProc != proc {
			continue
		}
		if status == statusOK {
			return m, nil
		}
		return nil, m.refusal()
	}
}

// refusal reads a remote_error, as far as it is for people.
func (r *xdrReader) refusal() error {
	e := &host.LibvirtError{Code: int(r.number())}
	r.number() // the part of libvirt that it comes from
	if r.number() != 0 {
		e.Said = r.text()
	}
	if r.err != nil {
		return r.err
	}
	if e.Code == errAuth {
		e.Advice = "weft must be root on the host"
	}
	return e
}

// xdr writes arguments as RFC 4506 has them.
type xdr struct{ bytes.Buffer }

func (x *xdr) number(n uint32) *xdr {
	x.Write(binary.BigEndian.AppendUint32(nil, n))
	return x
}

func (x *xdr) text(s string) *xdr {
	x.number(uint32(len(s)))
	x.WriteString(s)
	x.Write(make([]byte, -len(s)&3))
	return x
}

func (x *xdr) raw(b []byte) *xdr {
	x.Write(b)
	return x
}

// xdrReader reads values from a message. After its end every value is zero, and
// err says so.
type xdrReader struct {
	rest []byte
	err  error
}

func (r *xdrReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.err = nil, io.ErrUnexpectedEOF
		return make([]byte, min(max(n, 0), 16))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *xdrReader) number() uint32 {
	return binary.BigEndian.Uint32(r.take(4))
}

func (r *xdrReader) text() string {
	n := int(r.number())
	if n > len(r.rest) {
		r.rest, r.err = nil, io.ErrUnexpectedEOF
		return ""
	}
	s := string(r.take(n))
	r.take(-n & 3)
	return s
}
