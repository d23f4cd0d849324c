package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// OVSDB speaks to the databases of the host over their unix sockets, by
// JSON-RPC (RFC 7047). It keeps one connection to each database, and dials
// again on the next call after one was lost. It may be used from several
// goroutines.
type OVSDB struct {
	sockets map[host.Database][]string

	mu          sync.Mutex
	connections map[host.Database]*connection // the latest of each, dead ones too
}

// callTime bounds a call whose context has no deadline: a server that hangs
// must not hang a run.
const callTime = 30 * time.Second

// restartTime is how long a server that answered before may be away.
const restartTime = 5 * time.Second

// Sockets are the places where a database listens: ovsdb-server(1) and
// ovn-ctl(8), and ovn-ctl of an OVN that was still a part of Open vSwitch.
// The first that is there is dialled.
func Sockets() map[host.Database][]string {
	return map[host.Database][]string{
		host.OpenVSwitch: {"/run/openvswitch/db.sock", "/var/run/openvswitch/db.sock"},
		host.Northbound:  {"/run/ovn/ovnnb_db.sock", "/var/run/ovn/ovnnb_db.sock", "/run/openvswitch/ovnnb_db.sock"},
		host.Southbound:  {"/run/ovn/ovnsb_db.sock", "/var/run/ovn/ovnsb_db.sock", "/run/openvswitch/ovnsb_db.sock"},
	}
}

// NewOVSDB makes the door to the databases at these sockets. Nothing is
// dialled before it is asked for.
func NewOVSDB(sockets map[host.Database][]string) *OVSDB {
	return &OVSDB{sockets: sockets, connections: map[host.Database]*connection{}}
}

// Close ends all connections. A later call dials again.
func (d *OVSDB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for db, c := range d.connections {
		c.close(net.ErrClosed)
		delete(d.connections, db)
	}
	return nil
}

// Select implements [host.OVSDBReader]. A connection that is lost meanwhile is
// dialled once more, since reading twice does no harm.
func (d *OVSDB) Select(ctx context.Context, db host.Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	if err := row.OnlySelects(ops); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	results, err := d.selectBy(ctx, db, ops)
	if errors.Is(err, errLost) && ctx.Err() == nil {
		results, err = d.selectBy(ctx, db, ops)
	}
	return results, err
}

// Transact implements [host.OVSDBWriter].
func (d *OVSDB) Transact(ctx context.Context, db host.Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	c, err := d.connect(ctx, db)
	if err != nil {
		return nil, err
	}
	results, err := c.transact(ctx, db, ops)
	if errors.Is(err, errNoAnswer) || errors.Is(err, errLost) || errors.Is(err, errUnreadable) {
		err = fmt.Errorf("%w (%w)", err, host.ErrOutcomeUnknown)
	}
	return results, err
}

// transact runs operations in one transaction.
func (c *connection) transact(ctx context.Context, db host.Database, ops []ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	request, err := encodeTransact(db, ops)
	if err != nil {
		return nil, err
	}
	answer, err := c.call(ctx, "transact", request)
	if err != nil {
		return nil, fmt.Errorf("ask the database %s: %w", db, err)
	}
	if refused := answer.refusal(); refused != nil {
		refused.Database = db
		return nil, refused
	}
	results, err := row.Decode(answer.Result)
	if err != nil {
		return nil, fmt.Errorf("ask the database %s: %w: %w", db, errUnreadable, err)
	}
	if err := row.Check(db, ops, results); err != nil {
		return nil, err
	}
	return results, nil
}

// connect returns the kept connection, or a new one. A server that was there a
// moment ago is being restarted: it is waited for, once.
func (d *OVSDB) connect(ctx context.Context, db host.Database) (*connection, error) {
	c, err := d.await(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("connect to the database %s: %w", db, err)
	}
	return c, nil
}

func (d *OVSDB) await(ctx context.Context, db host.Database) (*connection, error) {
	c, known, err := d.dial(ctx, db)
	if !known || !errors.Is(err, host.ErrNotReady) {
		return c, err
	}
	over := time.NewTimer(restartTime)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for errors.Is(err, host.ErrNotReady) {
		select {
		case <-tick.C:
			c, _, err = d.dial(ctx, db)
		case <-ctx.Done():
			d.forget(db, c)
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-over.C:
			d.forget(db, c)
			return nil, err
		}
	}
	if err != nil {
		d.forget(db, c)
		return nil, err
	}
	return c, nil
}

// forget drops a dead connection whose server did not come back in time: nobody waits for it
// again.
func (d *OVSDB) forget(db host.Database, dead *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connections[db] == dead {
		delete(d.connections, db)
	}
}

// dial returns the kept connection, or a new one. Known says whether there was
// one before, which is returned with the error: whoever asks meanwhile waits for the
// server as well.
func (d *OVSDB) dial(ctx context.Context, db host.Database) (c *connection, known bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, known = d.connections[db]; known && c.alive() {
		return c, true, nil
	}
	sockets := d.sockets[db]
	if len(sockets) == 0 {
		return nil, known, errors.New("no socket of it is known")
	}
	var reasons []error
	for _, socket := range sockets {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			d.connections[db] = newConnection(conn)
			return d.connections[db], known, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return c, known, err
		}
		reasons = append(reasons, err)
	}
	return c, known, fmt.Errorf("%w: is its server installed and running? (%w)", host.ErrNotReady, reasons[0])
}
