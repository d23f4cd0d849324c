package tls

import (
	"crypto/ed25519"
	"io/fs"
	"slices"
	"testing"
	"time"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

var modes = map[string]fs.FileMode{"0600": 0o600, "0644": 0o644}

const (
	year    = 365 * 24 * time.Hour
	lawsKey = lawsDirectory + authorityKey
	lawsCA  = lawsDirectory + authorityCertificate
)

// authorityFiles are those of an authority.
func authorityFiles(key ed25519.PrivateKey, name string, ends time.Time) map[string][]byte {
	return map[string][]byte{lawsKey: newKey(key, "weft tls_authority."+steptest.Prefix), lawsCA: authorityOf(key, name, ends)}
}

func TestLawsAuthority(t *testing.T) {
	far := lawsTime.Add(20 * year)
	laws(t, steptest.Subject{
		Kind: authorityKind(sameAlways()), Machine: machine,
		Found: []steptest.Hand{
			{Name: "absent"},
			hand("different", "0600", authorityFiles(keyOf(9), "other", far)),
			hand("a key alone", "0600", map[string][]byte{lawsKey: newKey(keyOf(9), "by hand")}),
			hand("no key", "0644", map[string][]byte{lawsKey: []byte("\xff\x00"), lawsCA: []byte("x")}),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: AuthoritySpec{Directory: lawsDirectory, CommonName: "lab", Lifetime: 10 * year},
				Drift: []steptest.Hand{
					removes("state", lawsKey, lawsCA),
					hand("common_name", "0600", authorityFiles(keyOf(1), "by hand", far)),
				},
			},
			{Name: "absent", Spec: AuthoritySpec{Directory: lawsDirectory, CommonName: "lab", State: step.Absent}, Drift: []steptest.Hand{
				hand("state", "0600", authorityFiles(keyOf(3), "lab", far)),
			}},
		},
		Policy:  []string{"lifetime", "renew_before"}, // renewal is tried by TestRenewal
		Touches: steptest.Touches{Files: []string{lawsDirectory}}, Clean: clean(),
	})
}

func TestLawsKey(t *testing.T) {
	const path = lawsDirectory + "/" + steptest.Prefix + ".key"
	laws(t, steptest.Subject{
		Kind: keyKind(sameAlways()), Machine: machine,
		Found: []steptest.Hand{
			{Name: "absent"},
			hand("by hand", "0644", map[string][]byte{path: newKey(keyOf(9), "")}),
			hand("no key", "0644", map[string][]byte{path: []byte("\xff")}),
		},
		Cases: []steptest.Case{
			{
				Name: "of a group", Spec: KeySpec{Path: path, Owner: "daemon", Group: "adm"},
				Drift: []steptest.Hand{
					removes("state", path),
					{Name: "owner", Fake: func(m *fake.Machine) { m.Chown(path, "root", "") }, Host: steptest.Run("chown", "root", path)},
					{Name: "group", Fake: func(m *fake.Machine) { m.Chown(path, "", "root") }, Host: steptest.Run("chgrp", "root", path)},
				},
			},
			{Name: "private", Spec: KeySpec{Path: path, Owner: "root"}},
			{Name: "absent", Spec: KeySpec{Path: path, Owner: "root", State: step.Absent}, Drift: []steptest.Hand{hand("state", "0600", map[string][]byte{path: newKey(keyOf(3), "")})}},
		},
		Touches: steptest.Touches{Files: []string{lawsDirectory}}, Clean: clean(),
	})
}

// issuedBy is the file of a certificate that differs from the one of the laws by what
// change does.
func issuedBy(by ed25519.PrivateKey, change func(c *certificate)) []byte {
	spec := lawsCertificates()
	c, err := spec.Subjects["compute1"].wanted("compute1")
	if err != nil {
		panic(err)
	}
	c.issuer = "lab"
	lifeOf(spec.Lifetime, spec.RenewBefore).begins(&c, lawsTime)
	change(&c)
	return encode(certificateBlock, issue(c, by))
}

// forged is the certificate of the laws, signed by somebody else in the authority's name.
func forged() []byte {
	c, err := readCertificate(issuedBy(keyOf(1), func(*certificate) {}))
	if err != nil {
		panic(err)
	}
	return encode(certificateBlock, signed(c.body(), keyOf(8)))
}

const lawsIssued = lawsDirectory + "/compute1.crt"

func lawsCertificates() CertificatesSpec {
	return CertificatesSpec{Authority: lawsDirectory, Issuer: string(authorityOf(keyOf(1), "lab", lawsTime.Add(10*year))), Lifetime: year, Subjects: map[string]Subject{
		"compute1": {Request: string(encode(requestBlock, request(keyOf(2)))), Names: []string{"compute1.example", "a.example"}, Addresses: []string{"192.0.2.3"}},
		"compute2": {Request: string(encode(requestBlock, request(keyOf(3)))), CommonName: "the second"},
	}}
}

func TestLawsCertificates(t *testing.T) {
	drift := func(by ed25519.PrivateKey, change func(c *certificate)) steptest.Hand {
		return hand("subjects.compute1", "0644", map[string][]byte{lawsIssued: issuedBy(by, change)})
	}
	ca := hand("", "0600", authorityFiles(keyOf(1), "lab", lawsTime.Add(10*year)))
	other := drift(keyOf(9), func(c *certificate) { c.subject = "other" })
	other.Name = "of another authority"
	spelling := drift(keyOf(1), func(c *certificate) { c.from = c.from.Add(time.Minute) })
	spelling.Name = "another start"
	laws(t, steptest.Subject{
		Kind:    certificatesKind(sameAlways()),
		Machine: func() *fake.Machine { m := machine(); ca.Fake(m); return m },
		Found:   []steptest.Hand{{Name: "absent"}, other, hand("none", "0600", map[string][]byte{lawsIssued: []byte("\xff")})},
		Cases: []steptest.Case{{
			Name: "whole", Spec: lawsCertificates(),
			Drift: []steptest.Hand{
				removes("subjects.compute1", lawsIssued),
				drift(keyOf(8), func(*certificate) {}),
				hand("subjects.compute1", "0644", map[string][]byte{lawsIssued: forged()}),
				drift(keyOf(1), func(c *certificate) { c.key = public(keyOf(7)) }),
				drift(keyOf(1), func(c *certificate) { c.subject = "compute9" }),
				drift(keyOf(1), func(c *certificate) { c.names = nil }),
				drift(keyOf(1), func(c *certificate) { c.addresses = nil }),
			},
			Spellings: []steptest.Hand{spelling},
		}},
		Policy:  []string{"lifetime", "renew_before", "issuer"}, // see TestRenewal; what another issued drifts by its subject
		Touches: steptest.Touches{Files: []string{lawsDirectory}}, Clean: slices.Concat(clean(), ca.Host),
	})
}

func TestLawsCertificate(t *testing.T) {
	const path, key = lawsDirectory + "/" + steptest.Prefix + ".crt", lawsDirectory + "/" + steptest.Prefix + ".key"
	good := string(issuedBy(keyOf(1), func(*certificate) {}))
	other := issuedBy(keyOf(9), func(*certificate) {})
	ownKey := hand("", "0600", map[string][]byte{key: newKey(keyOf(2), "weft tls_key.x")})
	whole := CertificateSpec{Path: path, Key: key, Certificate: good}
	absent := whole
	absent.State = step.Absent
	laws(t, steptest.Subject{
		Kind:    certificateKind(),
		Machine: func() *fake.Machine { m := machine(); ownKey.Fake(m); return m },
		Found: []steptest.Hand{
			{Name: "absent"},
			hand("another", "0600", map[string][]byte{path: other, key: showing(newKey(keyOf(2), "weft tls_key.x"), digest(string(other)))}),
			hand("none", "0644", map[string][]byte{path: []byte("\xff")}),
			hand("the same by hand", "0644", map[string][]byte{path: []byte(good)}),
		},
		Cases: []steptest.Case{
			{Name: "whole", Spec: whole, Drift: []steptest.Hand{
				removes("state", path),
				hand("certificate", "0644", map[string][]byte{path: []byte("by hand")}),
				hand("key", "0600", map[string][]byte{key: newKey(keyOf(2), "by hand")}),
			}},
			{Name: "absent", Spec: absent, Drift: []steptest.Hand{hand("state", "0644", map[string][]byte{path: other})}},
		},
		Touches: steptest.Touches{Files: []string{lawsDirectory}}, Clean: slices.Concat(clean(), ownKey.Host),
	})
}
