package local

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"weft/engine/host"
)

// Libvirt speaks to libvirtd, or to the modular daemons in its place, over a
// unix socket, by libvirt's remote protocol
// (https://libvirt.org/kbase/internals/rpc.html). It keeps one connection, and
// dials again on the next call after it was lost. It may be used from several
// goroutines.
type Libvirt struct {
	sockets []string

	mu   sync.Mutex // one call at a time
	conn *libvirtConn
}

// libvirtTime bounds a call whose context has no deadline. To start a machine
// is the longest.
const libvirtTime = 2 * time.Minute

// LibvirtSockets are the places where libvirtd, or virtqemud(8), listens. systemd
// starts it where it is only the socket that is there.
func LibvirtSockets() []string {
	return []string{"/run/libvirt/libvirt-sock", "/var/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock", "/var/run/libvirt/virtqemud-sock"}
}

// NewLibvirt makes the door to libvirtd at the first of these sockets where it
// answers. Nothing is dialled before it is asked for.
func NewLibvirt(sockets []string) *Libvirt { return &Libvirt{sockets: sockets} }

// Close ends the connection. A later call dials again.
func (l *Libvirt) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	return nil
}

func (l *Libvirt) drop() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing is left to lose on it
		l.conn = nil
	}
}

// Virtual implements [host.LibvirtReader]. A connection that was lost since is
// dialled once more, since reading twice does no harm.
func (l *Libvirt) Virtual(ctx context.Context, object host.VirtualObject, name string) (host.Virtual, error) {
	v, err := l.virtual(ctx, object, name)
	if errors.Is(err, host.ErrOutcomeUnknown) && ctx.Err() == nil {
		v, err = l.virtual(ctx, object, name)
	}
	return v, err
}

func (l *Libvirt) virtual(ctx context.Context, object host.VirtualObject, name string) (v host.Virtual, err error) {
	err = l.with(ctx, func(c *libvirtConn) error {
		v, err = c.virtual(object, name)
		return err
	})
	return v, refusedTo("read "+string(object)+" "+name, err)
}

// Define implements [host.LibvirtWriter].
func (l *Libvirt) Define(ctx context.Context, object host.VirtualObject, name, xml string) error {
	return refusedTo("define "+string(object)+" "+name, l.with(ctx, func(c *libvirtConn) error {
		if object == host.VirtualNetwork {
			_, err := c.call(procNetworkDefine, new(xdr).text(xml))
			return err
		}
		_, err := c.call(procDomainDefine, new(xdr).text(xml))
		return err
	}))
}

// Order implements [host.LibvirtWriter].
func (l *Libvirt) Order(ctx context.Context, verb host.VirtualVerb, object host.VirtualObject, name string) error {
	return refusedTo(string(verb)+" "+string(object)+" "+name, l.with(ctx, func(c *libvirtConn) error {
		order, known := libvirtOrders()[object][verb]
		if !known {
			return fmt.Errorf("no order to a %s", object)
		}
		id, err := c.lookup(object, name)
		if err != nil {
			return err
		}
		args := new(xdr).raw(id)
		for _, n := range order.args {
			args.number(n)
		}
		_, err = c.call(order.proc, args)
		return err
	}))
}

// Device implements [host.LibvirtWriter].
func (l *Libvirt) Device(ctx context.Context, verb host.DeviceVerb, domain, xml string) error {
	return refusedTo(string(verb)+" a device of domain "+domain, l.with(ctx, func(c *libvirtConn) error {
		id, err := c.lookup(host.VirtualDomain, domain)
		if err != nil {
			return err
		}
		proc := map[host.DeviceVerb]uint32{
			host.DeviceAttach: procDomainAttachDevice, host.DeviceDetach: procDomainDetachDevice, host.DeviceUpdate: procDomainUpdateDevice,
		}[verb]
		_, err = c.call(proc, new(xdr).raw(id).text(xml).number(deviceLive))
		return err
	}))
}

// refusedTo names the act in a refusal.
func refusedTo(act string, err error) error {
	var refusal *host.LibvirtError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && (refusal.Code == errNoDomain || refusal.Code == errNoNetwork):
		return fmt.Errorf("%s: %w", act, fs.ErrNotExist)
	case errors.As(err, &refusal):
		refusal.Act = act
		return refusal
	}
	return fmt.Errorf("%s: %w", act, err)
}

// with gives act a connection that ends with ctx. After an error of the
// transport the connection is not used again.
func (l *Libvirt) with(ctx context.Context, act func(c *libvirtConn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, libvirtTime)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.conn == nil
	if fresh {
		conn, err := l.dial(ctx)
		if err != nil {
			return err
		}
		l.conn = &libvirtConn{Conn: conn}
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })
	var err error
	if fresh {
		err = l.conn.open()
	}
	if err == nil {
		err = act(l.conn)
	}
	if !stop() || l.conn.broken {
		l.drop()
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

func (l *Libvirt) dial(ctx context.Context) (net.Conn, error) {
	var reasons []error
	for _, socket := range l.sockets {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, err
		}
		reasons = append(reasons, err)
	}
	if len(reasons) == 0 {
		return nil, errors.New("no socket of libvirtd is known")
	}
	return nil, fmt.Errorf("%w: is libvirtd installed and running? (%w)", host.ErrNotReady, reasons[0])
}

// virtual reads a domain or network whole.
func (c *libvirtConn) virtual(object host.VirtualObject, name string) (host.Virtual, error) {
	v := host.Virtual{Name: name}
	id, err := c.lookup(object, name)
	if err != nil {
		return v, err
	}
	p := libvirtQuestions()[object]
	v.UUID = uuidText(id)
	persistent, err := c.ask(p.persistent, new(xdr).raw(id))
	if err != nil {
		return v, err
	}
	state, err := c.ask(p.active, new(xdr).raw(id).raw(p.activeArgs))
	if err != nil {
		return v, err
	}
	v.Active = p.isActive(state)
	if persistent != 0 {
		on, err := c.ask(p.autostart, new(xdr).raw(id))
		if err != nil {
			return v, err
		}
		v.Autostart = on != 0
		if v.Defined, err = c.askText(p.xml, new(xdr).raw(id).number(p.inactive)); err != nil {
			return v, err
		}
	}
	if v.Active {
		v.Live, err = c.askText(p.xml, new(xdr).raw(id).number(p.live))
	}
	return v, err
}

// uuidText is the UUID in a domain or network as the protocol has it.
func uuidText(id []byte) string {
	r := &xdrReader{rest: id}
	r.text()
	h := hex.EncodeToString(r.take(16))
	if r.err != nil {
		return ""
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
