package packages

import (
	"bytes"
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

// trusted says whether rpm's keyring has it.
func (k publicKey) trusted(ctx context.Context, v host.View) (bool, error) {
	_, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-q", k.rpm()}})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return false, nil
	}
	return err == nil, err
}

// parseKey reads the first packet of a public key in ASCII armour (RFC 4880, 6.2,
// 5.5.2).
func parseKey(armoured string) (publicKey, error) {
	_, body, ok := strings.Cut(armoured, "-----BEGIN PGP PUBLIC KEY BLOCK-----")
	body, _, end := strings.Cut(body, "-----END PGP PUBLIC KEY BLOCK-----")
	if !ok || !end {
		return publicKey{}, errors.New("is no public key of OpenPGP in ASCII armour")
	}
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
		return publicKey{}, fmt.Errorf("is damaged: %w", err)
	}
	packet, err := firstPacket(raw)
	if err != nil {
		return publicKey{}, err
	}
	if len(packet) < 6 || packet[0] != 4 {
		return publicKey{}, errors.New("is not of version 4, which is all that rpm and apt of these releases read")
	}
	framed := append([]byte{0x99, byte(len(packet) >> 8), byte(len(packet))}, packet...)
	sum := sha1.Sum(framed) //nolint:gosec // see above
	return publicKey{id: hex.EncodeToString(sum[16:]), time: hex.EncodeToString(packet[1:5])}, nil
}

// firstPacket is the body of the public-key packet that a key begins with (RFC 4880,
// 4.2).
func firstPacket(raw []byte) ([]byte, error) {
	bad := errors.New("does not begin with a public key")
	if len(raw) < 3 || raw[0]&0x80 == 0 {
		return nil, bad
	}
	var tag byte
	var length, head int
	if raw[0]&0x40 == 0 { // old format
		tag = raw[0] >> 2 & 0xf
		switch raw[0] & 3 {
		case 0:
			length, head = int(raw[1]), 2
		case 1:
			length, head = int(binary.BigEndian.Uint16(raw[1:])), 3
		default:
			return nil, bad
		}
	} else {
		tag = raw[0] & 0x3f
		switch first := int(raw[1]); {
		case first < 192:
			length, head = first, 2
		case first < 224:
			length, head = (first-192)<<8+int(raw[2])+192, 3
		default:
			return nil, bad
		}
	}
	if tag != 6 || len(raw) < head+length || length > 0xffff {
		return nil, bad
	}
	return bytes.Clone(raw[head : head+length]), nil
}
