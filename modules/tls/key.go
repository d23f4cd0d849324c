package tls

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"weft/engine/host"
	"weft/engine/step"
)

// KeySpec is the attributes of a tls_key.
type KeySpec struct {
	Path  string     `json:"path" weft:"label" doc:"Absolute path of the file. Its directory must be there."`
	Owner string     `json:"owner,omitzero" default:"root" doc:"User that owns the file, by name."`
	Group string     `json:"group,omitzero" doc:"Group whose members may read it too, by name; nobody else may where left out."`
	State step.State `json:"state,omitzero" default:"present" doc:"Whether the key should be there."`

	Found files `json:"found,omitzero" weft:"found,whole"`
}

// KeyOutputs are the outputs of a tls_key.
type KeyOutputs struct {
	Request string `json:"request" doc:"A certificate request in PEM, for tls_certificate: the public key, signed with the private one."`
}

func keyKind(m material) step.Kind {
	return step.Kind{
		Name:    "tls_key",
		Summary: "A private key, made on the host that uses it.",
		Doc: `The key is Ed25519, in PEM (PKCS #8), and is made once; it leaves the host in no output and no message. A file that holds another
kind of key, or none, is replaced. For a new key remove the file, or let the step do so with state = "absent", and apply again: the
certificate follows.`,
		Spec: KeySpec{}, Outputs: KeyOutputs{},
		Example: `step "tls_key" "/etc/openvswitch/tls.key" {}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[KeySpec](u)
			if err != nil {
				return nil, err
			}
			object, r := "TLS key "+want.Path, keys{material: m, mark: markOf(u)}
			back := func(before files) step.Step {
				r := r
				r.stranger = stranger(r.mark, before)
				return step.Of(object, r, want)
			}
			return made{step.Of(object, r, want), path.Dir(want.Path), want.State, back}, nil
		},
	}
}

// Validate finds mistakes that can be seen without a machine.
func (s *KeySpec) Validate() []step.Problem {
	problems := pathProblems("path", s.Path)
	for attribute, name := range map[string]string{"owner": s.Owner, "group": s.Group} {
		if name != "" && unicode.IsDigit(rune(name[0])) {
			problems = append(problems, step.Problem{Path: attribute, Message: fmt.Sprintf("%q is a number", name), Hint: "give the name"})
		}
	}
	return problems
}

func (s KeySpec) mode() fs.FileMode {
	if s.Group != "" {
		return groupMode
	}
	return keyMode
}

type keys struct {
	material
	mark     string
	stranger func(path string, found []byte) bool // nil where it does not matter
}

func (keys) Read(ctx context.Context, v host.View, want KeySpec) (KeySpec, error) {
	have := want
	var err error
	have.Found, err = readFiles(ctx, v.Files, want.Path)
	have.State = have.Found.state()
	return have, err
}

func (r keys) Diff(have, want KeySpec) []step.Delta {
	switch there := have.State.There(); {
	case want.Found != nil:
		return have.Found.diff(want.Found)
	case there != want.State.There():
		return stateDelta(want.State)
	case !there:
		return nil
	}
	var deltas []step.Delta
	found := have.Found[want.Path]
	if _, _, err := readKey(found.Content); err != nil || r.stranger != nil && r.stranger(want.Path, found.Content) {
		deltas = append(deltas, step.Change("key", errForeign.Error(), "a new one"))
	}
	if found.Owner != want.Owner {
		deltas = append(deltas, step.Change("owner", found.Owner, want.Owner))
	}
	if want.Group != "" && found.Group != want.Group {
		deltas = append(deltas, step.Change("group", found.Group, want.Group))
	}
	if found.Mode != want.mode() {
		deltas = append(deltas, step.Change("mode", found.Mode.String(), want.mode().String()))
	}
	return deltas
}

// Advise answers the request, which the same key makes the same each time.
func (keys) Advise(f *step.Finding, have, want KeySpec) {
	key, _, err := readKey(have.Found.content(want.Path))
	if want.State.There() && err == nil {
		f.Outputs, _ = json.Marshal(KeyOutputs{string(encode(requestBlock, request(key)))})
	}
	if have.State.There() && (err != nil || !want.State.There()) {
		f.Cost.Disruption = "the certificate of the key that was there is of no use any more"
	}
}

func (r keys) Write(ctx context.Context, h host.Host, have, want KeySpec) error {
	if want.Found != nil {
		return have.Found.write(ctx, h.Files, want.Found)
	}
	if !want.State.There() {
		return have.Found.write(ctx, h.Files, files{want.Path: nil})
	}
	content := have.Found.content(want.Path)
	if _, _, err := readKey(content); err != nil {
		content = newKey(r.key(), r.mark)
	}
	return h.Files.Write(ctx, want.Path, content, host.Attributes{Mode: modeOf(want.mode()), Owner: want.Owner, Group: want.Group})
}

// markOf is the line before a key that says whose step made it.
func markOf(u step.Unit) string { return "weft " + u.Address }

// newKey is the file of a new key.
func newKey(key ed25519.PrivateKey, mark string) []byte {
	return append([]byte(mark+"\n"), encode(keyBlock, privateKey(key))...)
}

// stranger says whether a key is another hand's: neither was there before, nor has the
// step's mark.
func stranger(mark string, before files) func(path string, found []byte) bool {
	return func(path string, found []byte) bool {
		_, text, err := readKey(found)
		by, _, _ := strings.Cut(text, "\n")
		return err == nil && by != mark && !bytes.Equal(found, before.content(path))
	}
}

// nameProblems are mistakes in a common name, which has 64 characters at most (RFC 5280,
// appendix A).
func nameProblems(attribute, name string) []step.Problem {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case name == "":
		return []step.Problem{{Path: attribute, Message: "is empty"}}
	case utf8.RuneCountInString(name) > 64 || strings.ContainsFunc(name, odd):
		return []step.Problem{{Path: attribute, Message: fmt.Sprintf("%q is longer than 64 characters, or has some that cannot be shown", name)}}
	}
	return nil
}
