package host

import (
	"context"
	"errors"
	"fmt"

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
	// or not at all: one effect. An operation's error is the call's error,
	// an [*OperationError]. The error wraps [ErrOutcomeUnknown] where the
	// connection was lost before the answer came.
	Transact(ctx context.Context, db Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error)
}

// OVSDB is the door to the databases.
type OVSDB interface {
	OVSDBReader
	OVSDBWriter
}

// ErrOutcomeUnknown says that a transaction was sent and no answer came, or
// none that can be read: it may have happened. Read again before deciding
// anything.
var ErrOutcomeUnknown = errors.New("the transaction may or may not have happened")

// OperationError is a database's refusal of a transaction. Nothing of it was
// done.
type OperationError struct {
	Database Database
	// Op and Table are those of the operation that was refused; both are
	// empty where the transaction as a whole was refused at its commit.
	Op    string
	Table string
	// Kind is the error of RFC 7047: "timed out" (a wait that did not hold),
	// "constraint violation", "referential integrity violation", ….
	Kind    string
	Details string
}

// Error names the operation, the table and what the database said.
func (e *OperationError) Error() string {
	s := fmt.Sprintf("%s: %s", e.Database, e.Kind)
	if e.Op != "" {
		s = fmt.Sprintf("%s: %s", e.Database, e.Op)
		if e.Table != "" {
			s += " " + e.Table
		}
		s += ": " + e.Kind
	}
	if e.Details != "" {
		s += ": " + e.Details
	}
	return s
}
