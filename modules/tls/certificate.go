package tls

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"path"

	"weft/engine/host"
	"weft/engine/step"
)

// CertificateSpec is the attributes of a tls_certificate.
type CertificateSpec struct {
	Path        string     `json:"path" weft:"label" doc:"Absolute path of the certificate's file. Its directory must be there."`
	Key         string     `json:"key" weft:"required" doc:"Absolute path of the key that it is for: a tls_key before this step makes it."`
	Certificate string     `json:"certificate" weft:"required" doc:"The certificate, in PEM: an output of tls_certificates."`
	State       step.State `json:"state,omitzero" default:"present" doc:"Whether the certificate should be there."`

	Found files `json:"found,omitzero" weft:"found,whole"`
	// Shown is the digest that the key's file names; null where there is no key. It is
	// not left out, for the reason given at [Subject].
	Shown *string `json:"shown" weft:"found"`
}

func certificateKind() step.Kind {
	return step.Kind{
		Name:    "tls_certificate",
		Summary: "A certificate on the host of its key.",
		Doc: `The certificate is written, and after it the key again, with a line before it that names the certificate. Daemons of Open vSwitch and
OVN look whether the file of their key has changed before they look at their certificate: one that was renewed alone they would not show before
they are restarted. So they take it up by themselves, for the next connection; those that stand are not cut.

A certificate that is for another key is refused.`,
		Spec: CertificateSpec{},
		Example: `step "tls_certificate" "/etc/openvswitch/tls.crt" {
  key         = "/etc/openvswitch/tls.key"
  certificate = hosts["central1"].step.tls_certificates.hosts.certificates[host.name]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[CertificateSpec](u)
			if err != nil {
				return nil, err
			}
			s := step.Of("certificate "+want.Path, installed{}, want)
			return made{fitting{s, want}, path.Dir(want.Path), want.State, func(files) step.Step { return s }}, nil
		},
	}
}

// Validate finds mistakes that can be seen without a machine.
func (s *CertificateSpec) Validate() []step.Problem {
	problems := append(pathProblems("path", s.Path), pathProblems("key", s.Key)...)
	if _, err := readCertificate([]byte(s.Certificate)); err != nil {
		problems = append(problems, step.Problem{Path: "certificate", Message: err.Error(), Hint: "it is an output of tls_certificates"})
	}
	return problems
}

// fitting is a step whose check wants the key to be that of the certificate.
type fitting struct {
	step.Step
	want CertificateSpec
}

// Check looks for the key first.
func (f fitting) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if !f.want.State.There() {
		return f.Step.Check(ctx, v)
	}
	found, err := readFiles(ctx, v.Files, f.want.Key)
	if err != nil {
		return step.Finding{}, err
	}
	key, _, odd := readKey(found.content(f.want.Key))
	c, err := readCertificate([]byte(f.want.Certificate))
	switch {
	case err != nil:
		return step.Finding{}, fmt.Errorf("the certificate for %s %w", f.want.Path, err)
	case found[f.want.Key] == nil:
		return step.Finding{}, fmt.Errorf("the key %s is not there; a step \"tls_key\" before it makes one: %w", f.want.Key, step.ErrNotYet)
	case odd != nil:
		return step.Finding{}, fmt.Errorf("the key %s %w; a step \"tls_key\" before it makes a new one: %w", f.want.Key, odd, step.ErrNotYet)
	case !c.key.Equal(key.Public()):
		return step.Finding{}, fmt.Errorf("the certificate for %s is of another key than %s: tls_certificates is to issue one for the request of the key that is there: %w",
			f.want.Path, f.want.Key, step.ErrNotYet)
	}
	return f.Step.Check(ctx, v)
}

type installed struct{}

func (installed) Read(ctx context.Context, v host.View, want CertificateSpec) (CertificateSpec, error) {
	have := want
	found, err := readFiles(ctx, v.Files, want.Path, want.Key)
	if err != nil {
		return have, err
	}
	have.Shown = nil
	if key := found[want.Key]; key != nil {
		text := shownWith(key.Content)
		have.Shown = &text
	}
	have.Certificate, have.Found = string(found.content(want.Path)), files{want.Path: found[want.Path]}
	have.State = have.Found.state()
	return have, nil
}

// Diff shows certificates whole: they are no secrets. An undo changes the line of the key
// that is there, and no key.
func (installed) Diff(have, want CertificateSpec) []step.Delta {
	switch there := have.State.There(); {
	case want.Found != nil:
		deltas := have.Found.diff(want.Found)
		if from, to := have.shown(), want.shown(); have.Shown != nil && from != to {
			deltas = append(deltas, step.Change("found."+want.Key, from, to))
		}
		return deltas
	case there != want.State.There():
		return stateDelta(want.State)
	case !there:
		return nil
	case have.Certificate != want.Certificate:
		return []step.Delta{step.Change("certificate", have.Certificate, want.Certificate)}
	case have.shown() != digest(want.Certificate):
		return []step.Delta{step.Change("key", have.shown(), digest(want.Certificate))}
	}
	return nil
}

func (s CertificateSpec) shown() string {
	if s.Shown == nil {
		return ""
	}
	return *s.Shown
}

// Write writes the certificate, and then the key: a daemon that sees a new file of its key
// looks at the certificate then and not later, and reads both where that is new too.
func (installed) Write(ctx context.Context, h host.Host, have, want CertificateSpec) error {
	to := want.shown()
	switch {
	case want.Found != nil:
		if err := have.Found.write(ctx, h.Files, want.Found); err != nil {
			return err
		}
		if have.shown() == to {
			return nil
		}
	case !want.State.There():
		return have.Found.write(ctx, h.Files, files{want.Path: nil})
	default:
		to = digest(want.Certificate)
		if err := h.Files.Write(ctx, want.Path, []byte(want.Certificate), host.Attributes{Mode: modeOf(certificateMode), Owner: "root", Group: "root"}); err != nil {
			return err
		}
	}
	found, err := readFiles(ctx, h.Files, want.Key)
	if err != nil || found[want.Key] == nil {
		return err
	}
	key := *found[want.Key]
	return h.Files.Write(ctx, want.Key, showing(key.Content, to), host.Attributes{Mode: &key.Mode, Owner: key.Owner, Group: key.Group})
}

func digest(certificate string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(certificate))) }

// shownBy begins the line before a key that names its certificate, by its digest.
const shownBy = "shown with sha256 "

// preamble is what stands before the key in its file: whole lines.
func preamble(file []byte) []byte {
	const begin = "-----BEGIN "
	if bytes.HasPrefix(file, []byte(begin)) {
		return nil
	}
	return file[:bytes.Index(file, []byte("\n"+begin))+1]
}

// shownWith is the digest that the file of a key names; empty for none.
func shownWith(file []byte) string {
	for line := range bytes.Lines(preamble(file)) {
		if text, ok := bytes.CutPrefix(line, []byte(shownBy)); ok {
			return string(bytes.TrimSpace(text))
		}
	}
	return ""
}

// showing is the file of a key that names another digest, or none.
func showing(file []byte, digest string) []byte {
	var out bytes.Buffer
	before := preamble(file)
	for line := range bytes.Lines(before) {
		if !bytes.HasPrefix(line, []byte(shownBy)) {
			out.Write(line)
		}
	}
	if digest != "" {
		out.WriteString(shownBy + digest + "\n")
	}
	out.Write(file[len(before):])
	return out.Bytes()
}
