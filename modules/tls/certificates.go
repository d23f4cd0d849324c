package tls

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// CertificatesSpec is the attributes of a tls_certificates.
type CertificatesSpec struct {
	Authority   string             `json:"authority" weft:"label" doc:"Directory of the tls_authority that issues them, and where NAME.crt of each is kept."`
	Issuer      string             `json:"issuer" weft:"required" doc:"The authority's certificate, in PEM: the output of the tls_authority."`
	Subjects    map[string]Subject `json:"subjects" weft:"required" doc:"Whom they are for, by name: what each certificate says."`
	Lifetime    time.Duration      `json:"lifetime,omitzero" default:"8760h" doc:"How long a new certificate lives."`
	RenewBefore time.Duration      `json:"renew_before,omitzero" doc:"How long before its end a certificate is renewed; a third of lifetime where left out."`

	// Recorded says that the files of the subjects are those that undo brings back.
	Recorded bool `json:"recorded,omitzero" weft:"found"`
}

// Subject is whom a certificate is for.
type Subject struct {
	Request    string   `json:"request" weft:"required" doc:"Request of the key that it is for: the output of a tls_key."`
	CommonName string   `json:"common_name,omitzero" doc:"What it is called; its name where left out. With role-based access control of the southbound database that is the name of a chassis."`
	Names      []string `json:"names,omitzero" weft:"set" doc:"DNS names that it is good for. Open vSwitch and OVN ask for none."`
	Addresses  []string `json:"addresses,omitzero" weft:"set" doc:"IP addresses that it is good for."`

	// Found is null and not left out where there was no file: where several runs are
	// taken back together, what is left out is filled from a later one.
	Found *file `json:"found" weft:"found"`
}

// CertificatesOutputs are the outputs of a tls_certificates.
type CertificatesOutputs struct {
	Certificates map[string]string `json:"certificates" doc:"The certificates by name, in PEM, each for a tls_certificate on the host that it is for."`
	NotAfter     map[string]string `json:"not_after" doc:"When they end, by name: \"2027-11-21T22:00:00Z\"."`
}

func certificatesKind(m material) step.Kind {
	return step.Kind{
		Name:    "tls_certificates",
		Summary: "Certificates that an authority on this host issues for keys of others.",
		Doc: `The step runs on the host of the tls_authority and keeps the certificates in its directory; its output goes to the hosts of the keys,
each to a step tls_certificate. What a certificate says is in the playbook: of a request the public key counts alone. One that is no longer
among the subjects stays good until its end.

A certificate whose end is nearer than renew_before is a difference, so it is renewed by whoever applies the playbook then: have a timer
do that more often than renew_before is long. Renewal keeps the key. A certificate whose issuer, key or text is not what is wanted is issued
anew at once.

It takes the requests of all its subjects: where one of those hosts cannot be asked, none is issued in that run.`,
		Spec: CertificatesSpec{}, Outputs: CertificatesOutputs{},
		Example: `step "tls_certificates" "/etc/weft-tls" {
  issuer   = step.tls_authority["/etc/weft-tls"].certificate
  subjects = { for h in role.compute : h.name => { request = h.step.tls_key.self.request } }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[CertificatesSpec](u)
			if err != nil {
				return nil, err
			}
			object := "certificates of " + want.Authority
			undo := certificates{material{now: never, key: m.key}}
			return issuing{step.Of(object, certificates{m}, want), step.Of(object, undo, want), want}, nil
		},
	}
}

var (
	// dnsName is a host name or a domain name, with a wildcard maybe (RFC 1123, RFC 6125).
	dnsName = regexp.MustCompile(`^(\*\.)?([0-9A-Za-z_][0-9A-Za-z_-]{0,62}\.)*[0-9A-Za-z_][0-9A-Za-z_-]{0,62}$`)
	// fileName is what a subject may be called.
	fileName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$`)
)

// Validate finds mistakes that can be seen without a machine.
func (s *CertificatesSpec) Validate() []step.Problem {
	problems := append(pathProblems("authority", s.Authority), lifeOf(s.Lifetime, s.RenewBefore).problems()...)
	if c, err := readCertificate([]byte(s.Issuer)); err != nil || !c.authority() {
		problems = append(problems, step.Problem{Path: "issuer", Message: "is the certificate of no authority", Hint: "it is the output certificate of a tls_authority"})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Subjects)) {
		if at := "subjects." + name; !fileName.MatchString(name) || s.file(name) == s.Authority+authorityCertificate {
			problems = append(problems, step.Problem{Path: at, Message: "cannot be the name of a certificate", Hint: "letters, digits, dots, dashes; authority is taken"})
		} else {
			problems = append(problems, s.Subjects[name].problems(at+".", name)...)
		}
	}
	return problems
}

func (s Subject) problems(at, name string) []step.Problem {
	problems := nameProblems(at+"common_name", s.commonName(name))
	if _, err := readRequest([]byte(s.Request)); err != nil {
		problems = append(problems, step.Problem{Path: at + "request", Message: err.Error(), Hint: "it is the output request of a tls_key"})
	}
	for _, n := range s.Names {
		if !dnsName.MatchString(n) {
			problems = append(problems, step.Problem{Path: at + "names", Message: fmt.Sprintf("%q is no DNS name", n)})
		}
	}
	for _, address := range s.Addresses {
		if a, err := netip.ParseAddr(address); err != nil || a.Zone() != "" {
			problems = append(problems, step.Problem{Path: at + "addresses", Message: fmt.Sprintf("%q is not an IP address", address), Hint: "without a prefix length"})
		}
	}
	return problems
}

func (s CertificatesSpec) file(name string) string { return s.Authority + "/" + name + ".crt" }

func (s Subject) commonName(name string) string {
	if s.CommonName != "" {
		return s.CommonName
	}
	return name
}

// wanted is what a certificate is to say, but for its life and its issuer.
func (s Subject) wanted(name string) (certificate, error) {
	key, err := readRequest([]byte(s.Request))
	if err != nil {
		return certificate{}, fmt.Errorf("the request of %s %w", name, err)
	}
	c := certificate{subject: s.commonName(name), key: key, names: slices.Clone(s.Names)}
	for _, address := range s.Addresses {
		a, err := netip.ParseAddr(address)
		if err != nil {
			return certificate{}, err
		}
		c.addresses = append(c.addresses, a.Unmap())
	}
	slices.Sort(c.names)
	slices.SortFunc(c.addresses, netip.Addr.Compare)
	c.names, c.addresses = slices.Compact(c.names), slices.Compact(c.addresses)
	return c, nil
}

// same says whether two certificates say the same, but for their lives.
func (c certificate) same(o certificate) bool {
	return c.key.Equal(o.key) && c.subject == o.subject && c.issuer == o.issuer && bytes.Equal(c.issuerID, o.issuerID) &&
		slices.Equal(c.names, o.names) && slices.Equal(c.addresses, o.addresses)
}

// says is what a certificate says, but for its life, for people.
func (c certificate) says() string {
	text := fmt.Sprintf("%s, key %x, by %s, key %x", c.subject, keyID(c.key)[:8], c.issuer, c.issuerID[:min(len(c.issuerID), 8)])
	for _, name := range c.names {
		text += ", " + name
	}
	for _, a := range c.addresses {
		text += ", " + a.String()
	}
	return text
}

// issuing is a step whose check wants an authority, and whose undo does not mind the time.
type issuing struct {
	step.Step
	undo step.Step
	want CertificatesSpec
}

// Check looks for the authority first, and at the requests, which other hosts made.
func (s issuing) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if _, _, err := s.want.by(ctx, v.Files); err != nil {
		return step.Finding{}, err
	}
	for name, subject := range s.want.Subjects {
		if _, err := subject.wanted(name); err != nil {
			return step.Finding{}, err
		}
	}
	return s.Step.Check(ctx, v)
}

// Undo is described at [issuing].
func (s issuing) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	return s.undo.Undo(ctx, h, f)
}

type certificates struct{ material }

func (certificates) Read(ctx context.Context, v host.View, want CertificatesSpec) (CertificatesSpec, error) {
	have := want
	have.Recorded, have.Subjects = true, map[string]Subject{}
	for name, subject := range want.Subjects {
		found, err := readFiles(ctx, v.Files, want.file(name))
		if err != nil {
			return have, err
		}
		subject.Found = found[want.file(name)]
		have.Subjects[name] = subject
	}
	return have, nil
}

// Diff has one delta a certificate.
func (r certificates) Diff(have, want CertificatesSpec) []step.Delta {
	issuer, _ := readCertificate([]byte(want.Issuer)) // the check has read it
	var deltas []step.Delta
	for _, name := range slices.Sorted(maps.Keys(want.Subjects)) {
		found, w := have.Subjects[name].Found, want.Subjects[name]
		if want.Recorded {
			if !found.equal(w.Found) {
				deltas = append(deltas, step.Change("subjects."+name, found.summary(), w.Found.summary()))
			}
			continue
		}
		c, err := w.wanted(name)
		if err != nil {
			continue // the check has said so
		}
		c.issuer, c.issuerID = issuer.subject, keyID(issuer.key)
		to := c.says() + ", lives " + want.Lifetime.String()
		if found == nil {
			deltas = append(deltas, step.Change("subjects."+name, nil, to))
			continue
		}
		now, err := readCertificate(found.Content)
		life := lifeOf(want.Lifetime, want.RenewBefore)
		switch {
		case err != nil:
			deltas = append(deltas, step.Change("subjects."+name, errForeign.Error(), to))
		case !now.signedBy(issuer.key), !now.same(c), life.over(now, r.now()):
			deltas = append(deltas, step.Change("subjects."+name, now.says()+", ends "+now.to.Format(timeFormat), to))
		}
	}
	return deltas
}

// Advise answers the certificates.
func (certificates) Advise(f *step.Finding, have, want CertificatesSpec) {
	if f.Changed() {
		return
	}
	out := CertificatesOutputs{map[string]string{}, map[string]string{}}
	for name := range want.Subjects {
		if c, err := readCertificate(have.Subjects[name].Found.Content); err == nil {
			out.Certificates[name], out.NotAfter[name] = string(encode(certificateBlock, c.der)), c.to.Format(timeFormat)
		}
	}
	f.Outputs, _ = json.Marshal(out)
}

// Write is an effect a certificate that differs.
func (r certificates) Write(ctx context.Context, h host.Host, have, want CertificatesSpec) error {
	var issuer certificate
	var by ed25519.PrivateKey
	for _, d := range r.Diff(have, want) {
		name := strings.TrimPrefix(d.Path, "subjects.")
		path, w := want.file(name), want.Subjects[name]
		if want.Recorded {
			if err := (files{path: have.Subjects[name].Found}).write(ctx, h.Files, files{path: w.Found}); err != nil {
				return err
			}
			continue
		}
		if by == nil {
			var err error
			if issuer, by, err = want.by(ctx, h.Files); err != nil {
				return err
			}
		}
		c, err := w.wanted(name)
		if err != nil {
			return err
		}
		c.issuer = issuer.subject
		lifeOf(want.Lifetime, want.RenewBefore).begins(&c, r.now())
		if err := h.Files.Write(ctx, path, encode(certificateBlock, issue(c, by)), host.Attributes{Mode: modeOf(certificateMode), Owner: "root", Group: "root"}); err != nil {
			return err
		}
	}
	return nil
}

// by is who issues: the certificate and the key of the authority.
func (s CertificatesSpec) by(ctx context.Context, r host.FileReader) (certificate, ed25519.PrivateKey, error) {
	path := s.Authority + authorityKey
	issuer, err := readCertificate([]byte(s.Issuer))
	if err != nil {
		return issuer, nil, fmt.Errorf("the issuer %w", err)
	}
	found, err := readFiles(ctx, r, path)
	if err != nil {
		return issuer, nil, err
	}
	key, _, err := readKey(found.content(path))
	switch {
	case found[path] == nil:
		return issuer, nil, fmt.Errorf("there is no authority in %s; a step \"tls_authority\" before it makes one: %w", s.Authority, step.ErrNotYet)
	case err != nil:
		return issuer, nil, fmt.Errorf("the key %s %w; a step \"tls_authority\" before it makes a new one: %w", path, err, step.ErrNotYet)
	case !issuer.signedBy(key.Public().(ed25519.PublicKey)):
		return issuer, nil, fmt.Errorf("the issuer is not the authority whose key is %s: a step \"tls_authority\" before it makes them fit: %w", path, step.ErrNotYet)
	}
	return issuer, key, nil
}
