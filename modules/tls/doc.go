// Package tls is the kinds that make keys and certificates for daemons which speak TLS
// to each other, hand them out and renew them, and tell the databases of Open vSwitch
// and OVN where they lie.
//
//	tls_authority     the key and the certificate of an authority, on one host
//	tls_key           a private key, made on the host that uses it
//	tls_certificates  certificates that the authority issues, on the authority's host
//	tls_certificate   a certificate on the host of its key
//	ovsdb_ssl         the row SSL of a database: its key, its certificate, whom it trusts
//
// No private key leaves the host that it was made on: it is no output, in no plan and
// no argument. What travels is a request (a public key, signed by its private one) to
// the authority, and the certificate back. Whom a certificate
// is for says the playbook, never the request.
//
// Keys are Ed25519 (RFC 8032), and certificates have one small profile of X.509: package
// crypto/x509 knows all of them and weighs half a megabyte in each runner. Files der.go
// and der_read.go write and read that profile with package cryptobyte. What is read must
// be, bit for bit, what would be written; all else is another hand's.
package tls

import (
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"weft/engine/step"
)

// Kinds are the kinds of this family.
func Kinds() []step.Kind {
	m := material{now: time.Now, key: randomKey}
	return []step.Kind{authorityKind(m), keyKind(m), certificatesKind(m), certificateKind(), ovsdbKind()}
}

// material is what new keys and certificates are made of.
type material struct {
	now func() time.Time
	key func() ed25519.PrivateKey
}

func randomKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails, see crypto/rand
	return ed25519.NewKeyFromSeed(seed)
}
