package step

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest identifies what a finding would change: two findings with the same
// deltas of the same object have the same digest. A plan that was shown to an
// operator is held to it. The values of secret deltas are not in it.
func (f Finding) Digest() string {
	deltas := make([]Delta, len(f.Deltas))
	for i, d := range f.Deltas {
		if d.Secret {
			d.From, d.To = nil, nil
		}
		deltas[i] = d
	}
	sum := sha256.Sum256(mustJSON(struct {
		Object string
		Deltas []Delta
	}{f.Object, deltas}))
	return hex.EncodeToString(sum[:16])
}
