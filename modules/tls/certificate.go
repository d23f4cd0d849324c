package tls

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"strings"

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
	have.Found, have.Certificate = found, string(found.content(want.Path))
	have.State = files{want.Path: found[want.Path]}.state()
	return have, nil
}

// Diff shows certificates whole: they are no secrets.
func (installed) Diff(have, want CertificateSpec) []step.Delta {
	switch there := have.State.There(); {
	case want.Found != nil:
		return have.Found.diff(want.Found)
	case there != want.State.There():
		return stateDelta(want.State)
	case !there:
		return nil
	case have.Certificate != want.Certificate:
		return []step.Delta{step.Change("certificate", have.Certificate, want.Certificate)}
	case !bytes.Contains(preamble(have.Found.content(want.Key)), []byte(shownWith(want.Certificate))):
		return []step.Delta{step.Change("key", nil, strings.TrimSpace(shownWith(want.Certificate)))}
	}
	return nil
}

// Write writes the certificate before the key: a daemon that sees a new key looks at the
// certificate then, and not later.
func (installed) Write(ctx context.Context, h host.Host, have, want CertificateSpec) error {
	if want.Found != nil {
		return have.Found.write(ctx, h.Files, want.Found)
	}
	if !want.State.There() {
		return have.Found.write(ctx, h.Files, files{want.Path: nil})
	}
	if have.Certificate != want.Certificate || !have.State.There() {
		if err := h.Files.Write(ctx, want.Path, []byte(want.Certificate), host.Attributes{Mode: modeOf(certificateMode), Owner: "root", Group: "root"}); err != nil {
			return err
		}
	}
	key := have.Found[want.Key]
	return h.Files.Write(ctx, want.Key, nowWith(key.Content, want.Certificate), host.Attributes{Mode: &key.Mode, Owner: key.Owner, Group: key.Group})
}

const shownBy = "shown with sha256 "

// shownWith is the line before a key that names its certificate.
func shownWith(certificate string) string {
	return fmt.Sprintf("%s%x\n", shownBy, sha256.Sum256([]byte(certificate)))
}

// preamble is what stands before the key in its file.
func preamble(file []byte) []byte {
	return file[:max(0, bytes.Index(file, []byte("-----BEGIN ")))]
}

// nowWith is the file of a key with another certificate.
func nowWith(file []byte, certificate string) []byte {
	var out bytes.Buffer
	before := preamble(file)
	for line := range bytes.Lines(before) {
		if !bytes.HasPrefix(line, []byte(shownBy)) {
			out.Write(line)
		}
	}
	if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		out.WriteByte('\n')
	}
	out.WriteString(shownWith(certificate))
	out.Write(file[len(before):])
	return out.Bytes()
}
