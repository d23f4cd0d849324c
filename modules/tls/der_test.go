package tls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// keyOf is a key that is the same in every run.
func keyOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var lawsTime = time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)

// authorityOf is the certificate of an authority, in PEM.
func authorityOf(key ed25519.PrivateKey, name string, ends time.Time) []byte {
	return encode(certificateBlock, issue(certificate{issuer: name, subject: name, key: public(key), from: lawsTime.Add(-slack), to: ends}, key))
}

// TestStandardLibraryReads holds what is written to crypto/x509, which is to understand
// it, and to trust it for what it is for.
func TestStandardLibraryReads(t *testing.T) {
	ca, leaf := keyOf(1), keyOf(2)
	parse := func(file []byte) *x509.Certificate {
		t.Helper()
		b, _ := pem.Decode(file)
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, ends := range []time.Time{lawsTime.Add(time.Hour), time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)} {
		own := parse(authorityOf(ca, "Ä lab", ends))
		c := certificate{
			issuer: "Ä lab", subject: "compute1", key: public(leaf), from: lawsTime.Add(-slack), to: ends,
			names: []string{"a.example", "b.example"}, addresses: []netip.Addr{netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("fd00::3")},
		}
		issued := parse(encode(certificateBlock, issue(c, ca)))
		roots := x509.NewCertPool()
		roots.AddCert(own)
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			for _, name := range []string{"a.example", "192.0.2.3", "fd00::3"} {
				if _, err := issued.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: lawsTime, DNSName: name, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
					t.Errorf("%s until %v: %v", name, ends, err)
				}
			}
		}
		if _, err := issued.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: ends.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			t.Error("it is good after its end")
		}
		if !own.IsCA || !own.MaxPathLenZero || own.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || issued.IsCA || issued.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("authority %v %v, issued %v %v", own.IsCA, own.KeyUsage, issued.IsCA, issued.KeyUsage)
		}
		if issued.Subject.String() != "CN=compute1" || own.SerialNumber.Sign() <= 0 || own.SerialNumber.Cmp(issued.SerialNumber) == 0 {
			t.Errorf("subject %s, serials %v and %v", issued.Subject, own.SerialNumber, issued.SerialNumber)
		}
	}
	key, err := x509.ParsePKCS8PrivateKey(privateKey(leaf))
	if err != nil || !leaf.Equal(key.(ed25519.PrivateKey)) {
		t.Errorf("the key: %v", err)
	}
	r, err := x509.ParseCertificateRequest(request(leaf))
	if err != nil || r.CheckSignature() != nil || !public(leaf).Equal(r.PublicKey) {
		t.Errorf("the request: %v", err)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	ca, leaf := keyOf(1), keyOf(2)
	c := certificate{
		issuer: "lab", subject: "compute1", key: public(leaf), from: lawsTime, to: lawsTime.Add(time.Hour),
		names: []string{"a.example"}, addresses: []netip.Addr{netip.MustParseAddr("192.0.2.3")},
	}
	got, err := readCertificate(encode(certificateBlock, issue(c, ca)))
	if err != nil || got.issuer != c.issuer || got.subject != c.subject || !got.key.Equal(c.key) || !got.from.Equal(c.from) || !got.to.Equal(c.to) ||
		!slices.Equal(got.names, c.names) || !slices.Equal(got.addresses, c.addresses) || got.authority() {
		t.Errorf("%+v, %v", got, err)
	}
	if !got.signedBy(public(ca)) || got.signedBy(public(leaf)) {
		t.Error("who signed it is not seen")
	}
	own, err := readCertificate(authorityOf(ca, "lab", c.to))
	if err != nil || !own.authority() || !own.signedBy(public(ca)) {
		t.Errorf("%+v, %v", own, err)
	}
	if k, mark, err := readKey(newKey(leaf, "weft tls_key.x")); err != nil || !k.Equal(leaf) || mark != "weft tls_key.x" {
		t.Errorf("the key: %q, %v", mark, err)
	}
	if k, err := readRequest(encode(requestBlock, request(leaf))); err != nil || !k.Equal(public(leaf)) {
		t.Errorf("the request: %v", err)
	}
}

func TestWhatIsForeignIsRefused(t *testing.T) {
	leaf := keyOf(2)
	forged := request(leaf)
	forged[len(forged)-1] ^= 1
	if _, err := readRequest(encode(requestBlock, forged)); err == nil {
		t.Error("a request that its key did not sign is taken")
	}
	whole := authorityOf(keyOf(1), "lab", lawsTime.Add(time.Hour))
	changed := bytes.Clone(whole)
	b, _ := pem.Decode(changed)
	for i := range b.Bytes {
		other := bytes.Clone(b.Bytes)
		other[i] ^= 0x20
		if c, err := readCertificate(encode(certificateBlock, other)); err == nil && c.signedBy(public(keyOf(1))) {
			t.Errorf("byte %d may be another", i)
		}
	}
	for name, file := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("x"), "another block": encode(keyBlock, privateKey(leaf)), "two blocks": append(bytes.Clone(whole), whole...), "no DER": encode(certificateBlock, []byte("x")),
	} {
		if _, err := readCertificate(file); err == nil {
			t.Errorf("%s is taken for a certificate", name)
		}
	}
	own, err := readCertificate(whole)
	if err != nil {
		t.Fatal(err)
	}
	const mayRevoke, mayNot = "\x03\x02\x01\x06", "\x03\x02\x02\x04"
	other := bytes.Replace(own.body(), []byte(mayRevoke), []byte(mayNot), 1)
	if _, err := readCertificate(encode(certificateBlock, signed(other, keyOf(1)))); err == nil || bytes.Equal(other, own.body()) {
		t.Error("a certificate of another profile is taken")
	}
	if _, _, err := readKey(whole); err == nil {
		t.Error("a certificate is taken for a key")
	}
	if _, _, err := readKey(encode(keyBlock, append(privateKey(leaf), 0))); err == nil {
		t.Error("a key with something behind it is taken")
	}
}

// FuzzRead reads what lies in files and what other hosts say.
func FuzzRead(f *testing.F) {
	f.Add(authorityOf(keyOf(1), "lab", lawsTime))
	f.Add(encode(requestBlock, request(keyOf(2))))
	f.Add(newKey(keyOf(2), "weft"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if c, err := readCertificate(file); err == nil {
			b, _ := pem.Decode(file)
			if parsed, err := x509.ParseCertificate(b.Bytes); err == nil && parsed.Subject.CommonName != c.subject {
				t.Errorf("%q is read as %q", parsed.Subject.CommonName, c.subject)
			}
		}
		if key, err := readRequest(file); err == nil {
			b, _ := pem.Decode(file)
			if r, err := x509.ParseCertificateRequest(b.Bytes); err != nil || r.CheckSignature() != nil || !key.Equal(r.PublicKey) {
				t.Errorf("a request that is none: %v", err)
			}
		}
		if key, _, err := readKey(file); err == nil && len(key) != ed25519.PrivateKeySize {
			t.Error("half a key")
		}
	})
}
