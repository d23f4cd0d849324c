// Package row reads and writes the rows of OVSDB databases, on top of the wire
// types of package ovsdb (RFC 7047).
//
// Reading turns a column into a Go value, whatever notation the server chose:
// a set of exactly one element arrives as that element alone, an empty
// optional as an empty set.
//
//	tag, tagged := row.Int(r, "tag")
//	ids := row.Map(r, "external_ids")
//
// Writing collects operations in a [Tx]. An update or mutation that matches no
// row succeeds silently in OVSDB; a Tx knows how many rows each operation must
// touch, and [Tx.Commit] says which one missed. What a transaction was decided
// on is guarded by wait operations, so that it fails as a whole, with an error
// that wraps [ErrChanged], where another hand was faster:
//
//	var tx row.Tx
//	tx.Guard("Port", port, "tag", "trunks")
//	tx.Update("Port", row.ID(port), ovsdb.Row{"tag": row.Optional(5)})
//	_, err := tx.Commit(ctx, h.OVSDB, host.OpenVSwitch)
//
// [Encode] and [Decode] are the notation itself, for the doors.
package row
