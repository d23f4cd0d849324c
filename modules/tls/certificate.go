package tls

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// CertificateSpec is the attributes of a tls_certificate.
type CertificateSpec struct {
	Path        string        `json:"path" weft:"label" doc:"Absolute path of the certificate's file, on the authority's host. Its directory must be there."`
	Authority   string        `json:"authority" weft:"required" doc:"Directory of the tls_authority that issues it."`
	Request     string        `json:"request" weft:"required" doc:"Request of the key that it is for: the output of a tls_key."`
	CommonName  string        `json:"common_name" weft:"required" doc:"Whom it is for. With role-based access control of the southbound database that is the name of a chassis."`
	Names       []string      `json:"names,omitzero" weft:"set" doc:"DNS names that it is good for. Open vSwitch and OVN ask for none."`
	Addresses   []string      `json:"addresses,omitzero" weft:"set" doc:"IP addresses that it is good for."`
	Lifetime    time.Duration `json:"lifetime,omitzero" default:"8760h" doc:"How long a new certificate lives."`
	RenewBefore time.Duration `json:"renew_before,omitzero" doc:"How long before its end it is renewed; a third of lifetime where left out."`
	State       step.State    `json:"state,omitzero" default:"present" doc:"Whether the certificate should be there. One that is removed stays good until its end."`

	// Issuer is the authority's certificate.
	Issuer string `json:"issuer,omitzero" weft:"found"`
	Found  files  `json:"found,omitzero" weft:"found,whole"`
}

// CertificateOutputs are the outputs of a tls_certificate.
type CertificateOutputs struct {
	Certificate string `json:"certificate" doc:"The certificate, in PEM, for a step file on the host that it is for."`
	NotAfter    string `json:"not_after" doc:"When it ends: \"2027-11-21T22:00:00Z\"."`
}

func certificateKind(m material) step.Kind {
	return step.Kind{
		Name:    "tls_certificate",
		Summary: "A certificate that an authority on this host issues for a key of another.",
		Doc: `The step runs on the host of the tls_authority and keeps the certificate in a file there; its output goes to the host of the key by
a step file. What the certificate says is in the playbook: of the request the public key counts alone.

A certificate whose end is nearer than renew_before is a difference, so it is renewed by whoever applies the playbook then: have a timer
do that more often than renew_before is long. Renewal keeps the key. Daemons read the new file by themselves when they next connect or are
connected to; connections that stand are not cut.`,
		Spec: CertificateSpec{}, Outputs: CertificateOutputs{},
		Example: `step "tls_certificate" "host" {
  for_each    = { for h in role.compute : h.name => h }
  path        = "/etc/weft-tls/${each.key}.crt"
  authority   = "/etc/weft-tls"
  request     = hosts[each.key].step.tls_key.self.request
  common_name = each.key
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[CertificateSpec](u)
			if err != nil {
				return nil, err
			}
			object, r := "certificate "+want.Path, certificates{m}
			back := func(files) step.Step {
				return step.Of(object, certificates{material{now: never, key: m.key}}, want)
			}
			return made{step.Of(object, r, want), path.Dir(want.Path), want.State, back}, nil
		},
	}
}

// dnsName is a host name or a domain name, with a wildcard maybe (RFC 1123, RFC 6125).
var dnsName = regexp.MustCompile(`^(\*\.)?([0-9A-Za-z_]([0-9A-Za-z_-]{0,62})\.)*[0-9A-Za-z_]([0-9A-Za-z_-]{0,62})$`)

// Validate finds mistakes that can be seen without a machine.
func (s *CertificateSpec) Validate() []step.Problem {
	problems := slices.Concat(pathProblems("path", s.Path), pathProblems("authority", s.Authority),
		nameProblems("common_name", s.CommonName), lifeOf(s.Lifetime, s.RenewBefore).problems())
	if _, err := readRequest([]byte(s.Request)); err != nil {
		problems = append(problems, step.Problem{Path: "request", Message: err.Error(), Hint: "it is the output request of a tls_key"})
	}
	for _, name := range s.Names {
		if !dnsName.MatchString(name) {
			problems = append(problems, step.Problem{Path: "names", Message: fmt.Sprintf("%q is no DNS name", name)})
		}
	}
	for _, address := range s.Addresses {
		if a, err := netip.ParseAddr(address); err != nil || a.Zone() != "" {
			problems = append(problems, step.Problem{Path: "addresses", Message: fmt.Sprintf("%q is not an IP address", address), Hint: "without a prefix length"})
		}
	}
	return problems
}

// wanted is what the certificate is to say, but for its life.
func (s CertificateSpec) wanted(issuer certificate) (certificate, error) {
	key, err := readRequest([]byte(s.Request))
	if err != nil {
		return certificate{}, fmt.Errorf("the request %w", err)
	}
	c := certificate{issuer: issuer.subject, issuerID: keyID(issuer.key), subject: s.CommonName, key: key, names: slices.Clone(s.Names)}
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

type certificates struct{ material }

func (certificates) Read(ctx context.Context, v host.View, want CertificateSpec) (CertificateSpec, error) {
	have := want
	found, err := readFiles(ctx, v.Files, want.Path, want.Authority+authorityCertificate)
	if err != nil {
		return have, err
	}
	have.Issuer = string(found.content(want.Authority + authorityCertificate))
	have.Found = files{want.Path: found[want.Path]}
	have.State = have.Found.state()
	if !want.State.There() || want.Found != nil {
		return have, nil
	}
	switch issuer, err := readCertificate([]byte(have.Issuer)); {
	case have.Issuer == "":
		return have, fmt.Errorf("there is no authority in %s; a step \"tls_authority\" before it makes one: %w", want.Authority, step.ErrNotYet)
	case err != nil:
		return have, fmt.Errorf("%s %w; a step \"tls_authority\" before it makes a new one: %w", want.Authority+authorityCertificate, err, step.ErrNotYet)
	case !issuer.authority():
		return have, fmt.Errorf("%s is the certificate of no authority", want.Authority+authorityCertificate)
	}
	_, err = want.wanted(certificate{})
	return have, err
}

func (r certificates) Diff(have, want CertificateSpec) []step.Delta {
	switch there := have.State.There(); {
	case want.Found != nil:
		return have.Found.diff(want.Found)
	case there != want.State.There():
		return stateDelta(want.State)
	case !there:
		return nil
	}
	found := have.Found[want.Path]
	c, err := readCertificate(found.Content)
	issuer, gone := readCertificate([]byte(have.Issuer))
	w, odd := want.wanted(issuer)
	switch {
	case err != nil:
		return []step.Delta{step.Change("certificate", errForeign.Error(), "a new one")}
	case gone != nil || odd != nil: // an undo, after the authority went
		return []step.Delta{step.Change("authority", c.issuer, nil)}
	}
	var deltas []step.Delta
	differ := func(differs bool, attribute string, from, to any) {
		if differs {
			deltas = append(deltas, step.Change(attribute, from, to))
		}
	}
	differ(c.issuer != w.issuer || !c.signedBy(issuer.key), "authority", signer(c.issuer, c.issuerID), signer(issuer.subject, keyID(issuer.key)))
	differ(!c.key.Equal(w.key), "request", fingerprint(c.key), fingerprint(w.key))
	differ(c.subject != w.subject, "common_name", c.subject, w.subject)
	differ(!slices.Equal(c.names, w.names), "names", c.names, w.names)
	differ(!slices.Equal(c.addresses, w.addresses), "addresses", c.addresses, w.addresses)
	differ(found.Mode != certificateMode, "mode", found.Mode.String(), certificateMode.String())
	return append(deltas, lifeOf(want.Lifetime, want.RenewBefore).diff(c, r.now())...)
}

func signer(name string, id []byte) string { return fmt.Sprintf("%s, key %x", name, id[:min(len(id), 4)]) }

func fingerprint(key ed25519.PublicKey) string { return fmt.Sprintf("key sha256 %x", sha256.Sum256(key)) }

// Advise answers the certificate.
func (certificates) Advise(f *step.Finding, have, want CertificateSpec) {
	c, err := readCertificate(have.Found.content(want.Path))
	if want.State.There() && !f.Changed() && err == nil {
		f.Outputs, _ = json.Marshal(CertificateOutputs{string(encode(certificateBlock, c.der)), c.to.Format(timeFormat)})
	}
}

func (r certificates) Write(ctx context.Context, h host.Host, have, want CertificateSpec) error {
	if want.Found != nil {
		return have.Found.write(ctx, h.Files, want.Found)
	}
	if !want.State.There() {
		return have.Found.write(ctx, h.Files, files{want.Path: nil})
	}
	by, err := authority(ctx, h.Files, want.Authority)
	if err != nil {
		return err
	}
	issuer, err := readCertificate([]byte(have.Issuer))
	if err != nil {
		return err
	}
	if !issuer.signedBy(by.Public().(ed25519.PublicKey)) {
		return errors.New("the authority's key is not that of its certificate; a step \"tls_authority\" before it makes a new one")
	}
	c, err := want.wanted(issuer)
	if err != nil {
		return err
	}
	lifeOf(want.Lifetime, want.RenewBefore).begins(&c, r.now())
	return h.Files.Write(ctx, want.Path, encode(certificateBlock, issue(c, by)), host.Attributes{Mode: modeOf(certificateMode), Owner: "root", Group: "root"})
}

// authority is the key of an authority.
func authority(ctx context.Context, r host.FileReader, directory string) (ed25519.PrivateKey, error) {
	content, err := r.Read(ctx, directory+authorityKey)
	if err != nil {
		return nil, err
	}
	key, _, err := readKey(content)
	if err != nil {
		return nil, fmt.Errorf("%s %w", directory+authorityKey, err)
	}
	return key, nil
}
