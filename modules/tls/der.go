package tls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// The object identifiers of the profile: RFC 8410, section 3; RFC 5280, section 4.2 and
// appendix A.
var (
	oidEd25519          = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidCommonName       = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidServerAuth       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidClientAuth       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// certificate is what a certificate of the profile says.
type certificate struct {
	issuer    string // common name
	issuerID  []byte // of its key, see keyID
	subject   string // common name
	key       ed25519.PublicKey
	from, to  time.Time // of its life, whole seconds, UTC
	names     []string  // DNS, sorted
	addresses []netip.Addr
	der       []byte // all of it
}

// authority says whether it is the certificate of an authority, which signs itself.
func (c certificate) authority() bool { return bytes.Equal(c.issuerID, keyID(c.key)) }

// issue signs a certificate.
func issue(c certificate, by ed25519.PrivateKey) []byte {
	c.issuerID = keyID(by.Public().(ed25519.PublicKey))
	return signed(c.body(), by)
}

// signedBy says whether a key issued the certificate.
func (c certificate) signedBy(key ed25519.PublicKey) bool {
	body, signature, ok := readSigned(c.der)
	return ok && bytes.Equal(c.issuerID, keyID(key)) && ed25519.Verify(key, body, signature)
}

// signed is a signature behind what it signs, as certificates and requests have it.
func signed(body []byte, by ed25519.PrivateKey) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddBytes(body)
		addAlgorithm(b)
		b.AddASN1BitString(ed25519.Sign(by, body))
	})
}

func sequence(content cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, content)
	return b.BytesOrPanic() // the content is ours
}

// body is the TBSCertificate of RFC 5280, section 4.1.
func (c certificate) body() []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) }) // version 3
		b.AddASN1BigInt(c.serial())
		addAlgorithm(b)
		addName(b, c.issuer)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { addTime(b, c.from); addTime(b, c.to) })
		addName(b, c.subject)
		addPublicKey(b, c.key)
		b.AddASN1(tag.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, c.addExtensions)
		})
	})
}

// serial is a number that no two certificates of an authority share: all of the body
// that matters is in it. RFC 5280, section 4.1.2.2, wants it positive and of 20 bytes at
// most.
func (c certificate) serial() *big.Int {
	h := sha256.New()
	h.Write(c.issuerID)
	h.Write(c.key)
	h.Write([]byte(c.subject))
	h.Write([]byte(c.from.UTC().Format(time.RFC3339) + c.to.UTC().Format(time.RFC3339)))
	for _, name := range c.names {
		h.Write([]byte(name + "\n"))
	}
	for _, a := range c.addresses {
		h.Write(a.AsSlice())
	}
	sum := h.Sum(nil)[:16]
	sum[0] = sum[0]&0x7f | 0x40
	return new(big.Int).SetBytes(sum)
}

func addAlgorithm(b *cryptobyte.Builder) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidEd25519) })
}

// addName adds a Name of one common name, or of nothing.
func addName(b *cryptobyte.Builder, name string) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		if name == "" {
			return
		}
		b.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidCommonName)
				b.AddASN1(tag.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			})
		})
	})
}

// addTime adds a Time, which has four digits for the year from 2050 on (RFC 5280,
// section 4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

func addPublicKey(b *cryptobyte.Builder, key ed25519.PublicKey) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		addAlgorithm(b)
		b.AddASN1BitString(key)
	})
}

// addExtensions adds what an authority's certificate may do (sign others, which sign
// none), or any other's (speak TLS from either end), and whom it is for.
func (c certificate) addExtensions(b *cryptobyte.Builder) {
	const digitalSignature, certAndCRLSign = "\x03\x02\x07\x80", "\x03\x02\x01\x06" // BIT STRING, RFC 5280, section 4.2.1.3
	if c.authority() {
		addCritical(b, oidBasicConstraints, sequence(func(b *cryptobyte.Builder) {
			b.AddASN1Boolean(true)
			b.AddASN1Int64(0)
		}))
		addCritical(b, oidKeyUsage, []byte(certAndCRLSign))
	} else {
		// Not critical: libvirt and qemu want a key for RSA's encipherment, which an Ed25519 key is never for
		// (RFC 8410 section 5), and refuse one that says so aloud.
		addExtension(b, oidKeyUsage, []byte(digitalSignature))
		addExtension(b, oidExtendedKeyUsage, sequence(func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidServerAuth)
			b.AddASN1ObjectIdentifier(oidClientAuth)
		}))
	}
	var id cryptobyte.Builder
	id.AddASN1OctetString(keyID(c.key))
	addExtension(b, oidSubjectKeyID, id.BytesOrPanic())
	addExtension(b, oidAuthorityKeyID, sequence(func(b *cryptobyte.Builder) {
		b.AddASN1(tag.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.issuerID) })
	}))
	if len(c.names)+len(c.addresses) > 0 {
		addExtension(b, oidSubjectAltName, sequence(c.addAltNames))
	}
}

// addAltNames adds GeneralNames (RFC 5280, section 4.2.1.6).
func (c certificate) addAltNames(b *cryptobyte.Builder) {
	for _, name := range c.names {
		b.AddASN1(tagDNS, func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
	}
	for _, a := range c.addresses {
		b.AddASN1(tagIP, func(b *cryptobyte.Builder) { b.AddBytes(a.AsSlice()) })
	}
}

const (
	tagDNS = tag.Tag(2 | 0x80)
	tagIP  = tag.Tag(7 | 0x80)
)

// keyID is the identifier of a key: RFC 7093, section 2, method 1.
func keyID(key ed25519.PublicKey) []byte {
	sum := sha256.Sum256(key)
	return sum[:20]
}

func addExtension(b *cryptobyte.Builder, id asn1.ObjectIdentifier, value []byte) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddASN1OctetString(value)
	})
}

func addCritical(b *cryptobyte.Builder, id asn1.ObjectIdentifier, value []byte) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddASN1Boolean(true)
		b.AddASN1OctetString(value)
	})
}

// privateKey is the OneAsymmetricKey of RFC 8410, section 7.
func privateKey(key ed25519.PrivateKey) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		addAlgorithm(b)
		b.AddASN1(tag.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(key.Seed()) })
	})
}

// request is a CertificationRequest (RFC 2986) of a public key alone, which proves that
// its maker has the private one.
func request(key ed25519.PrivateKey) []byte {
	return signed(requestBody(key.Public().(ed25519.PublicKey)), key)
}

func requestBody(key ed25519.PublicKey) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		addName(b, "")
		addPublicKey(b, key)
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), func(*cryptobyte.Builder) {})
	})
}
