package tls

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io/fs"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// The files of an authority, in its directory.
const (
	authorityKey         = "/authority.key"
	authorityCertificate = "/authority.crt"
)

// AuthoritySpec is the attributes of a tls_authority.
type AuthoritySpec struct {
	Directory   string        `json:"directory" weft:"label" doc:"Absolute path of the directory for authority.key and authority.crt. It must be there."`
	CommonName  string        `json:"common_name" weft:"required" doc:"What the authority is called in its certificate and in those that it issues."`
	Lifetime    time.Duration `json:"lifetime,omitzero" default:"87600h" doc:"How long a new certificate of the authority lives."`
	RenewBefore time.Duration `json:"renew_before,omitzero" doc:"How long before its end the certificate is renewed; a third of lifetime where left out."`
	State       step.State    `json:"state,omitzero" default:"present" doc:"Whether the authority should be there."`

	Found files `json:"found,omitzero" weft:"found,whole"`
}

// AuthorityOutputs are the outputs of a tls_authority.
type AuthorityOutputs struct {
	Certificate string `json:"certificate" doc:"Its certificate, in PEM: what those trust who trust the authority."`
	NotAfter    string `json:"not_after" doc:"When the certificate ends: \"2036-11-19T22:00:00Z\"."`
}

func authorityKind(m material) step.Kind {
	return step.Kind{
		Name:    "tls_authority",
		Summary: "An authority that issues certificates: its private key and its own certificate.",
		Doc: `The key is made once and stays on the host, in a file that root alone reads; a key that is lost, or is not of the kind that weft
makes, is replaced, and the plan says what that costs. Its certificate is renewed with the same key, so certificates that it issued stay good.

Both are Ed25519. Copy the directory to a safe place by hand: without the key every certificate has to be made anew.`,
		Spec: AuthoritySpec{}, Outputs: AuthorityOutputs{},
		Example: `step "tls_authority" "/etc/weft-tls" {
  common_name = "OVN of site lab"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[AuthoritySpec](u)
			if err != nil {
				return nil, err
			}
			object, r := "TLS authority "+want.Directory, authorities{material: m, mark: markOf(u)}
			back := func(before files) step.Step {
				r := r
				r.now, r.stranger = never, stranger(r.mark, before)
				return step.Of(object, r, want)
			}
			return made{step.Of(object, r, want), want.Directory, want.State, back}, nil
		},
	}
}

// Validate finds mistakes that can be seen without a machine.
func (s *AuthoritySpec) Validate() []step.Problem {
	problems := append(pathProblems("directory", s.Directory), lifeOf(s.Lifetime, s.RenewBefore).problems()...)
	return append(problems, nameProblems("common_name", s.CommonName)...)
}

func (s AuthoritySpec) key() string         { return s.Directory + authorityKey }
func (s AuthoritySpec) certificate() string { return s.Directory + authorityCertificate }

type authorities struct {
	material
	mark     string
	stranger func(path string, found []byte) bool // nil where it does not matter
}

func (authorities) Read(ctx context.Context, v host.View, want AuthoritySpec) (AuthoritySpec, error) {
	have := want
	var err error
	have.Found, err = readFiles(ctx, v.Files, want.key(), want.certificate())
	have.State = have.Found.state()
	return have, err
}

// pair is the key and the certificate that are there; nil for what is not, or is of no
// use.
func (s AuthoritySpec) pair() (key ed25519.PrivateKey, own *certificate) {
	key, _, err := readKey(s.Found.content(s.key()))
	if err != nil {
		return nil, nil
	}
	c, err := readCertificate(s.Found.content(s.certificate()))
	if err != nil || !c.authority() || !c.signedBy(key.Public().(ed25519.PublicKey)) {
		return key, nil
	}
	return key, &c
}

// Diff shows neither keys nor certificates, but what is wrong with them.
func (r authorities) Diff(have, want AuthoritySpec) []step.Delta {
	switch there := have.State.There(); {
	case want.Found != nil:
		return have.Found.diff(want.Found)
	case there != want.State.There():
		return stateDelta(want.State)
	case !there:
		return nil
	}
	key, own := have.pair()
	var deltas []step.Delta
	content := have.Found.content(want.key())
	switch {
	case key == nil || r.stranger != nil && r.stranger(want.key(), content):
		deltas = append(deltas, step.Change("key", said(content), "a new one"))
	case !private(have.Found[want.key()]):
		deltas = append(deltas, step.Change("key.mode", have.Found[want.key()].Mode.String(), keyMode.String()))
	}
	switch {
	case own == nil:
		from := said(have.Found.content(want.certificate()))
		if c, err := readCertificate(have.Found.content(want.certificate())); err == nil {
			from = "of another key: " + c.says()
		}
		deltas = append(deltas, step.Change("certificate", from, "a new one"))
	case own.subject != want.CommonName:
		deltas = append(deltas, step.Change("common_name", own.subject, want.CommonName))
	case lifeOf(want.Lifetime, want.RenewBefore).over(*own, r.now()):
		deltas = append(deltas, step.Change("renew_before", "ends "+own.to.Format(timeFormat), "lives "+want.Lifetime.String()))
	}
	return deltas
}

// said is what a delta says of a file that is of no use; nil where there is none.
func said(content []byte) any {
	if content == nil {
		return nil
	}
	return errForeign.Error()
}

// Advise answers the certificate, and says what a new one costs.
func (authorities) Advise(f *step.Finding, have, want AuthoritySpec) {
	_, own := have.pair()
	switch {
	case want.State.There() && !f.Changed():
		f.Outputs, _ = json.Marshal(AuthorityOutputs{string(encode(certificateBlock, own.der)), own.to.Format(timeFormat)})
	case !have.State.There():
	case !want.State.There():
		f.Cost.Disruption = "no certificate can be issued or renewed any more"
	case f.Deltas[0].Path == "key" || f.Deltas[0].Path == "common_name":
		f.Cost.Disruption = "the authority becomes another one: certificates that it issued are refused where the new one is trusted alone"
	}
}

// Write makes the key before the certificate, and removes it after.
func (r authorities) Write(ctx context.Context, h host.Host, have, want AuthoritySpec) error {
	if want.Found != nil {
		return have.Found.write(ctx, h.Files, want.Found)
	}
	if !want.State.There() {
		return have.Found.write(ctx, h.Files, files{want.key(): nil, want.certificate(): nil})
	}
	key, own := have.pair()
	if key == nil || !private(have.Found[want.key()]) {
		content := have.Found.content(want.key())
		if key == nil {
			key = r.key()
			content = newKey(key, r.mark)
		}
		if err := h.Files.Write(ctx, want.key(), content, host.Attributes{Mode: modeOf(keyMode), Owner: "root", Group: "root"}); err != nil {
			return err
		}
	}
	life := lifeOf(want.Lifetime, want.RenewBefore)
	if own != nil && own.subject == want.CommonName && !life.over(*own, r.now()) {
		return nil
	}
	public := key.Public().(ed25519.PublicKey)
	c := certificate{issuer: want.CommonName, subject: want.CommonName, key: public}
	life.begins(&c, r.now())
	return h.Files.Write(ctx, want.certificate(), encode(certificateBlock, issue(c, key)), host.Attributes{Mode: modeOf(certificateMode), Owner: "root", Group: "root"})
}

const (
	keyMode         fs.FileMode = 0o600
	groupMode       fs.FileMode = 0o640
	certificateMode fs.FileMode = 0o644
)

func modeOf(m fs.FileMode) *fs.FileMode { return &m }

// private says whether root alone reads a file.
func private(f *file) bool { return f.Mode == keyMode && f.Owner == "root" }
