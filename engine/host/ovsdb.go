package host

import (
	"context"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// A Database is one of the databases that weft speaks to, by its schema's
// name, over its local socket.
type Database string

// The databases of Open vSwitch and OVN.
const (
	OpenVSwitch Database = "Open_vSwitch"
	Northbound  Database = "OVN_Northbound"
	Southbound  Database = "OVN_Southbound"
)

// OVSDBReader reads databases (RFC 7047).
type OVSDBReader interface {
	// Select runs select operations in one transaction, a result for each.
	// Any other operation is refused. The error wraps [ErrNotReady] where
	// the database's socket is not there or nobody listens at it.
	Select(ctx context.Context, db Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error)
}

// OVSDBWriter changes databases.
type OVSDBWriter interface {
	// Transact runs the operations in one transaction, which happens whole
	// or not at all: one effect. An operation's error is the call's error.
	Transact(ctx context.Context, db Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error)
}

// OVSDB is the door to the databases.
type OVSDB interface {
	OVSDBReader
	OVSDBWriter
}
