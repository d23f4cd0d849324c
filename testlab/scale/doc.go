// Package scale measures weft where there is much of one thing: ten thousand
// logical switch ports, and as many chassis as a host may have to look through.
// Its databases are real ones, ovsdb-server with OVN's own schemas, and no daemon
// of OVN works on them: what is measured is the way to a transaction and the
// transaction, not what ovn-northd makes of it.
package scale
