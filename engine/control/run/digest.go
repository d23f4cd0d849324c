package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"weft/engine/step"
)

// specDigest identifies a unit's attributes, but for the values of secrets.
func specDigest(u step.Unit) string {
	spec := u.Spec
	if len(u.Secret) > 0 {
		spec = insensitive(u)
	}
	h := sha256.New()
	for _, part := range [][]string{{string(spec)}, u.Unknown, u.Secret, u.AfterNeeds} {
		for _, s := range part {
			fmt.Fprintf(h, "%d:%s", len(s), s)
		}
		_, _ = h.Write([]byte{0}) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// insensitive is a unit's spec without its secrets.
func insensitive(u step.Unit) json.RawMessage {
	if len(u.Spec) == 0 {
		return nil
	}
	spec := map[string]json.RawMessage{}
	if err := json.Unmarshal(u.Spec, &spec); err != nil {
		panic("run: a spec that is no object: " + err.Error())
	}
	for _, path := range u.Secret {
		redact(spec, path)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		panic("run: a spec that is no JSON: " + err.Error())
	}
	return b
}

// redact drops the top attribute that holds a secret: what is left beside it
// is not worth a parser of paths.
func redact(spec map[string]json.RawMessage, path string) {
	for name := range spec {
		if path == name || len(path) > len(name) && path[:len(name)] == name && (path[len(name)] == '.' || path[len(name)] == '[') {
			delete(spec, name)
		}
	}
}
