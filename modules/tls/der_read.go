package tls

import (
	"bytes"
	"crypto/ed25519"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// The types of PEM blocks (RFC 7468).
const (
	keyBlock         = "PRIVATE KEY"
	certificateBlock = "CERTIFICATE"
	requestBlock     = "CERTIFICATE REQUEST"
)

var errForeign = errors.New("is not of the kind that weft makes")

// block is the one PEM block of a file, and the text before it, which readers of PEM
// ignore (RFC 7468, section 2).
func block(file []byte, kind string) (der []byte, before string, err error) {
	b, rest := pem.Decode(file)
	if b == nil || b.Type != kind || len(b.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", errForeign
	}
	text, _, _ := strings.Cut(string(file), "-----BEGIN ")
	return b.Bytes, strings.TrimSpace(text), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// readKey reads a private key and the text before it.
func readKey(file []byte) (ed25519.PrivateKey, string, error) {
	der, mark, err := block(file, keyBlock)
	if err != nil || len(der) < ed25519.SeedSize {
		return nil, "", errForeign
	}
	key := ed25519.NewKeyFromSeed(der[len(der)-ed25519.SeedSize:])
	if !bytes.Equal(privateKey(key), der) {
		return nil, "", errForeign
	}
	return key, mark, nil
}

// readRequest reads the public key of a request that its private key signed.
func readRequest(file []byte) (ed25519.PublicKey, error) {
	der, _, err := block(file, requestBlock)
	if err != nil {
		return nil, err
	}
	body, signature, ok := readSigned(der)
	var version, name cryptobyte.String
	info := body
	var key ed25519.PublicKey
	if !ok || !info.ReadASN1(&info, tag.SEQUENCE) || !info.ReadASN1(&version, tag.INTEGER) || !info.ReadASN1(&name, tag.SEQUENCE) || !readPublicKey(&info, &key) {
		return nil, errForeign
	}
	if !bytes.Equal(requestBody(key), body) {
		return nil, errForeign
	}
	if !ed25519.Verify(key, body, signature) {
		return nil, errors.New("is not signed by its own key")
	}
	return key, nil
}

// readSigned takes apart what [signed] made.
func readSigned(der []byte) (body cryptobyte.String, signature []byte, ok bool) {
	all := cryptobyte.String(der)
	var in cryptobyte.String
	var algorithm cryptobyte.String
	ok = all.ReadASN1(&in, tag.SEQUENCE) && all.Empty() &&
		in.ReadASN1Element(&body, tag.SEQUENCE) && in.ReadASN1Element(&algorithm, tag.SEQUENCE) && in.ReadASN1BitStringAsBytes(&signature) && in.Empty()
	var want cryptobyte.Builder
	addAlgorithm(&want)
	return body, signature, ok && bytes.Equal(algorithm, want.BytesOrPanic())
}

func readPublicKey(s *cryptobyte.String, key *ed25519.PublicKey) bool {
	var in, algorithm cryptobyte.String
	var bits []byte
	ok := s.ReadASN1(&in, tag.SEQUENCE) && in.ReadASN1(&algorithm, tag.SEQUENCE) && in.ReadASN1BitStringAsBytes(&bits) && len(bits) == ed25519.PublicKeySize
	*key = bits
	return ok
}

// readCertificate reads a certificate of the profile. Who signed it is another matter,
// see [certificate.signedBy].
func readCertificate(file []byte) (certificate, error) {
	der, _, err := block(file, certificateBlock)
	if err != nil {
		return certificate{}, err
	}
	body, _, ok := readSigned(der)
	c := certificate{der: der}
	if !ok || !c.read(body) || !bytes.Equal(c.body(), body) {
		return certificate{}, errForeign
	}
	return c, nil
}

// read takes what a body says; whether that is all it says shows when it is written
// again.
func (c *certificate) read(body cryptobyte.String) bool {
	var version, algorithm, validity, extensions, list cryptobyte.String
	serial := new(big.Int)
	ok := body.ReadASN1(&body, tag.SEQUENCE) &&
		body.ReadASN1(&version, tag.Tag(0).ContextSpecific().Constructed()) && body.ReadASN1Integer(serial) && body.ReadASN1(&algorithm, tag.SEQUENCE) &&
		readName(&body, &c.issuer) && body.ReadASN1(&validity, tag.SEQUENCE) && readTime(&validity, &c.from) && readTime(&validity, &c.to) &&
		readName(&body, &c.subject) && readPublicKey(&body, &c.key) &&
		body.ReadASN1(&extensions, tag.Tag(3).ContextSpecific().Constructed()) && extensions.ReadASN1(&list, tag.SEQUENCE)
	if !ok {
		return false
	}
	for !list.Empty() {
		if !c.readExtension(&list) {
			return false
		}
	}
	return true
}

func readName(s *cryptobyte.String, name *string) bool {
	var all, set, pair, value cryptobyte.String
	var id asn1.ObjectIdentifier
	if !s.ReadASN1(&all, tag.SEQUENCE) {
		return false
	}
	ok := all.ReadASN1(&set, tag.SET) && set.ReadASN1(&pair, tag.SEQUENCE) && pair.ReadASN1ObjectIdentifier(&id) && pair.ReadASN1(&value, tag.UTF8String)
	*name = string(value)
	return ok && utf8.ValidString(*name)
}

func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(tag.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

// readExtension takes what an extension says that not all certificates say.
func (c *certificate) readExtension(list *cryptobyte.String) bool {
	var extension, value, in cryptobyte.String
	var id asn1.ObjectIdentifier
	if !list.ReadASN1(&extension, tag.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&id) {
		return false
	}
	if !extension.SkipOptionalASN1(tag.BOOLEAN) || !extension.ReadASN1(&value, tag.OCTET_STRING) {
		return false
	}
	switch {
	case id.Equal(oidAuthorityKeyID):
		return value.ReadASN1(&in, tag.SEQUENCE) && in.ReadASN1((*cryptobyte.String)(&c.issuerID), tag.Tag(0).ContextSpecific())
	case id.Equal(oidSubjectAltName):
		return value.ReadASN1(&in, tag.SEQUENCE) && c.readAltNames(in)
	}
	return true
}

func (c *certificate) readAltNames(s cryptobyte.String) bool {
	for !s.Empty() {
		var value cryptobyte.String
		var t tag.Tag
		if !s.ReadAnyASN1(&value, &t) {
			return false
		}
		a, isAddress := netip.AddrFromSlice(value)
		switch {
		case t == tagDNS:
			c.names = append(c.names, string(value))
		case t == tagIP && isAddress:
			c.addresses = append(c.addresses, a)
		default:
			return false
		}
	}
	return true
}
