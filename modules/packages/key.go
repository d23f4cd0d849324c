package packages

import (
	"context"
	"crypto/sha1" //nolint:gosec // OpenPGP's fingerprints of version 4 are SHA-1 (RFC 4880, 12.2)
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"weft/engine/host"
)

// A publicKey is what rpm calls a key by: gpg-pubkey-ID-TIME.
type publicKey struct {
	id   string // the last eight digits of the fingerprint
	time string // of its creation, hexadecimal
}

func (k publicKey) rpm() string { return "gpg-pubkey-" + k.id + "-" + k.time }

// trusted says whether rpm's keyring has the key of a name.
func trusted(ctx context.Context, v host.View, name string) (bool, error) {
	_, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-q", name}})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return false, nil
	}
	return err == nil, err
}

// parseKeys reads the primary public keys of a text: blocks of ASCII armour, each with
// one key or several (RFC 4880, 6.2, 11.1). A vendor who changes keys has both in a file,
// and rpm and apt trust all that a file has.
func parseKeys(armoured string) ([]publicKey, error) {
	const begin, end = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
	var keys []publicKey
	for {
		_, rest, ok := strings.Cut(armoured, begin)
		if !ok {
			break
		}
		body, rest, ok := strings.Cut(rest, end)
		if !ok {
			return nil, errors.New("is damaged: a block of it has no end")
		}
		raw, err := unarmour(body)
		if err != nil {
			return nil, err
		}
		found, err := primaryKeys(raw)
		if err != nil {
			return nil, err
		}
		keys, armoured = append(keys, found...), rest
	}
	if len(keys) == 0 {
		return nil, errors.New("is no public key of OpenPGP in ASCII armour")
	}
	return keys, nil
}

// unarmour decodes what is between the lines of a block.
func unarmour(body string) ([]byte, error) {
	var b strings.Builder
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, ": ") || line == "" {
			continue
		}
		if strings.HasPrefix(line, "=") && len(line) == 5 {
			break // the checksum
		}
		b.WriteString(line)
	}
	raw, err := base64.StdEncoding.DecodeString(b.String())
	if err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	return raw, nil
}

// publicKeyTag is that of a primary public key's packet (RFC 4880, 4.3).
const publicKeyTag = 6

// primaryKeys are the keys among packets, of which the first must be one.
func primaryKeys(raw []byte) ([]publicKey, error) {
	var keys []publicKey
	for len(raw) > 0 {
		tag, packet, rest, err := cutPacket(raw)
		if err != nil {
			return nil, err
		}
		raw = rest
		switch {
		case tag != publicKeyTag && len(keys) == 0:
			return nil, errors.New("does not begin with a public key")
		case tag != publicKeyTag:
			continue
		case len(packet) < 6 || len(packet) > 0xffff || packet[0] != 4:
			return nil, errors.New("is not of version 4, which is all that rpm and apt of these releases read")
		}
		framed := append([]byte{0x99, byte(len(packet) >> 8), byte(len(packet))}, packet...)
		sum := sha1.Sum(framed) //nolint:gosec // see above
		keys = append(keys, publicKey{id: hex.EncodeToString(sum[16:]), time: hex.EncodeToString(packet[1:5])})
	}
	return keys, nil
}

// cutPacket takes the first packet off (RFC 4880, 4.2). Packets without a length, or in
// parts, do not occur in keys.
func cutPacket(raw []byte) (tag byte, body, rest []byte, err error) {
	bad := errors.New("is damaged: a packet of it has no length, or ends too early")
	if len(raw) < 2 || raw[0]&0x80 == 0 {
		return 0, nil, nil, bad
	}
	head, size := 1, 0 // bytes before the length, and of it
	tag = raw[0] & 0x3f
	add := int64(0)
	switch first := raw[1]; {
	case raw[0]&0x40 == 0: // old format
		tag = raw[0] >> 2 & 0xf
		size = 1 << (raw[0] & 3)
		if size > 4 {
			return 0, nil, nil, bad
		}
	case first < 192:
		size = 1
	case first < 224:
		size, add = 2, 192-192<<8 // its first byte begins at 192
	case first == 255:
		head, size = 2, 4
	default:
		return 0, nil, nil, bad
	}
	if len(raw) < head+size {
		return 0, nil, nil, bad
	}
	var wide [8]byte
	copy(wide[8-size:], raw[head:head+size])
	length := int64(binary.BigEndian.Uint64(wide[:])) + add // of four bytes at most
	if raw = raw[head+size:]; length > int64(len(raw)) {
		return 0, nil, nil, bad
	}
	return tag, raw[:length], raw[length:], nil
}
