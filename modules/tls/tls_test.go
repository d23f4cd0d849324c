package tls

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// stepOf makes a step of a kind.
func stepOf(t *testing.T, k step.Kind, spec any) step.Step {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(step.Unit{Address: k.Name + "." + steptest.Prefix, Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// applied checks and applies, and returns what was found and the outputs after it.
func applied(t *testing.T, m *fake.Machine, s step.Step) (f step.Finding, outputs map[string]any) {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil && f.Changed() {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	after, err2 := s.Check(t.Context(), m.Host().View())
	if err = errors.Join(err, err2, json.Unmarshal(after.Outputs, &outputs)); err != nil || after.Changed() {
		t.Fatalf("%v, %v", after.Deltas, err)
	}
	f.Settled = true
	return f, outputs
}

// TestRenewal lets two years go by, as someone who applies a playbook every five days.
func TestRenewal(t *testing.T) {
	m, now := machine(), lawsTime
	clock := material{now: func() time.Time { return now }, key: randomKey}
	ca := stepOf(t, authorityKind(clock), AuthoritySpec{Directory: lawsDirectory, CommonName: "lab", Lifetime: 3 * year})
	made, own := applied(t, m, ca)
	leaf := func(issuer any) step.Step {
		spec := lawsCertificates()
		spec.Issuer = issuer.(string)
		return stepOf(t, certificatesKind(clock), spec)
	}
	foundLeaf, issued := applied(t, m, leaf(own["certificate"]))
	if len(made.Deltas) != 1 || made.Deltas[0].Path != "state" || len(foundLeaf.Deltas) != 2 {
		t.Errorf("%v, %v", made.Deltas, foundLeaf.Deltas)
	}
	for day := 0; day <= 2*365; day += 5 {
		now = lawsTime.Add(time.Duration(day) * 24 * time.Hour)
		foundCA, nextCA := applied(t, m, ca)
		found, next := applied(t, m, leaf(nextCA["certificate"]))
		if renewed := !reflect.DeepEqual(next, issued); renewed != (day == 245 || day == 490) {
			t.Errorf("day %d: %v", day, found.Deltas)
		}
		if renewed := nextCA["certificate"] != own["certificate"]; renewed != (day == 730) {
			t.Errorf("day %d: the authority: %v", day, foundCA.Deltas)
		}
		issued, own = next, nextCA
	}
	now = now.Add(10 * year) // time is nobody's hand
	if err := errors.Join(leaf(own["certificate"]).Undo(t.Context(), m.Host(), foundLeaf), ca.Undo(t.Context(), m.Host(), made)); err != nil {
		t.Errorf("undo after years: %v", err)
	}
	for _, path := range []string{lawsKey, lawsCA, lawsIssued} {
		if _, there := m.File(path); there {
			t.Errorf("%s is left", path)
		}
	}
}

// Where several runs go back together, what an older one left out is filled from a later
// one: that there was no file is not left out.
func TestNoFileIsOnRecord(t *testing.T) {
	m := machine()
	hand("", "0600", authorityFiles(keyOf(1), "lab", lawsTime.Add(10*year))).Fake(m)
	f, err := stepOf(t, certificatesKind(sameAlways()), lawsCertificates()).Check(t.Context(), m.Host().View())
	if err != nil || strings.Count(string(f.Before), `"found":null`) != 2 {
		t.Errorf("%s, %v", f.Before, err)
	}
}

// A key that another hand put in the place of the step's is not taken away.
func TestUndoLeavesTheKeyOfAnotherHand(t *testing.T) {
	const path = lawsDirectory + "/x.key"
	m := machine()
	s := stepOf(t, keyKind(sameAlways()), KeySpec{Path: path, Owner: "root"})
	f, _ := applied(t, m, s)
	m.WriteFile(path, string(newKey(keyOf(5), "")))
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("a key: %v", err)
	}
	if _, there := m.File(path); !there {
		t.Error("the key is gone")
	}
	ca := stepOf(t, authorityKind(sameAlways()), AuthoritySpec{Directory: lawsDirectory, CommonName: "lab", Lifetime: year})
	f, _ = applied(t, m, ca)
	m.WriteFile(lawsKey, string(newKey(keyOf(5), "")))
	m.WriteFile(lawsCA, string(authorityOf(keyOf(5), "lab", lawsTime.Add(year))))
	if err := ca.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("an authority: %v", err)
	}
	if _, there := m.File(lawsKey); !there {
		t.Error("the authority is gone")
	}
}

func TestKeysAreSeenByNobody(t *testing.T) {
	m := machine()
	hand("", "0644", authorityFiles(keyOf(1), "lab", lawsTime.Add(year))).Fake(m)
	secret := string(encode(keyBlock, privateKey(keyOf(1))))[40:80]
	for _, s := range []step.Step{
		stepOf(t, authorityKind(sameAlways()), AuthoritySpec{Directory: lawsDirectory, CommonName: "lab", Lifetime: year}),
		stepOf(t, keyKind(sameAlways()), KeySpec{Path: lawsKey, Owner: "root"}),
	} {
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil || len(f.Deltas) != 1 || !strings.HasSuffix(f.Deltas[0].Path, "mode") {
			t.Fatalf("a key that all may read: %v, %v", f.Deltas, err)
		}
		f.Before, f.Want = nil, nil // these stay on the host
		if b, err := json.Marshal(f); err != nil || strings.Contains(string(b), secret) {
			t.Errorf("the finding of %s says the key: %v", f.Object, err)
		}
		applied(t, m, s)
		if info, err := m.Host().Files.Stat(t.Context(), lawsKey); err != nil || info.Mode != keyMode {
			t.Errorf("its mode is %v, %v", info.Mode, err)
		}
		m.Chmod(lawsKey, 0o644)
	}
}

func TestChecksWaitAndRefuse(t *testing.T) {
	odd := lawsCertificates()
	odd.Subjects["compute1"] = Subject{Request: "x"}
	leaf := CertificateSpec{Path: lawsDirectory + "/x.crt", Key: lawsDirectory + "/x.key", Certificate: string(issuedBy(keyOf(1), func(*certificate) {}))}
	for name, c := range map[string]struct {
		kind   step.Kind
		spec   any
		files  map[string][]byte
		says   string
		notYet bool
	}{
		"no directory":      {keyKind(sameAlways()), KeySpec{Path: "/etc/none/x.key", Owner: "root"}, nil, "directory /etc/none is not there", true},
		"no key":            {certificateKind(), leaf, nil, "x.key is not there", true},
		"no such key":       {certificateKind(), leaf, map[string][]byte{leaf.Key: []byte("x")}, "x.key is not of the kind", true},
		"another's key":     {certificateKind(), leaf, map[string][]byte{leaf.Key: newKey(keyOf(5), "")}, "of another key", true},
		"no authority":      {certificatesKind(sameAlways()), lawsCertificates(), nil, "there is no authority", true},
		"no such authority": {certificatesKind(sameAlways()), lawsCertificates(), map[string][]byte{lawsKey: []byte("x")}, "is not of the kind", true},
		"another authority": {certificatesKind(sameAlways()), lawsCertificates(), map[string][]byte{lawsKey: newKey(keyOf(5), "")}, "is not the authority", true},
		"an odd request":    {certificatesKind(sameAlways()), odd, map[string][]byte{lawsKey: newKey(keyOf(1), "")}, "the request of compute1 is not of the kind", false},
	} {
		m := machine()
		hand("", "0644", c.files).Fake(m)
		_, err := stepOf(t, c.kind, c.spec).Check(t.Context(), m.Host().View())
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, step.ErrNotYet) != c.notYet {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := machine()
	m.Mkdir(lawsKey)
	if _, err := stepOf(t, keyKind(sameAlways()), KeySpec{Path: lawsKey, Owner: "root"}).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "does not replace") {
		t.Errorf("a directory in the way: %v", err)
	}
}

func TestValidate(t *testing.T) {
	changed := func(name string, s Subject) *CertificatesSpec {
		spec := lawsCertificates()
		spec.Subjects[name] = s
		return &spec
	}
	for _, tt := range []struct {
		spec step.Validator
		want string
	}{
		{&AuthoritySpec{Directory: "/x", CommonName: "x", Lifetime: year}, ""},
		{&AuthoritySpec{Directory: "x", Lifetime: time.Second}, "directory lifetime common_name"},
		{&AuthoritySpec{Directory: "/x", CommonName: strings.Repeat("x", 65), Lifetime: year, RenewBefore: year}, "renew_before common_name"},
		{&KeySpec{Path: "/x/../y", Owner: "0", Group: "adm"}, "path owner"},
		{changed("compute1", lawsCertificates().Subjects["compute1"]), ""},
		{changed("authority", lawsCertificates().Subjects["compute1"]), "subjects.authority"},
		{changed("../x", lawsCertificates().Subjects["compute1"]), "subjects.../x"},
		{&CertificatesSpec{Authority: "/x", Issuer: string(issuedBy(keyOf(1), func(*certificate) {})), Lifetime: year}, "issuer"},
		{changed("x", Subject{Request: "x", Names: []string{"a b"}, Addresses: []string{"192.0.2.3/24"}}), "subjects.x.request subjects.x.names subjects.x.addresses"},
	} {
		var paths []string
		for _, p := range tt.spec.Validate() {
			paths = append(paths, p.Path)
		}
		if got := strings.Join(paths, " "); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.spec, got, tt.want)
		}
	}
}

// Daemons read a certificate again where the file of its key is another one.
func TestAKeyNamesItsCertificate(t *testing.T) {
	for _, file := range [][]byte{newKey(keyOf(2), "weft tls_key.x"), encode(keyBlock, privateKey(keyOf(2)))} {
		first := showing(file, "1")
		second := showing(first, "2")
		for digest, f := range map[string][]byte{"": file, "1": first, "2": second} {
			if k, _, err := readKey(f); err != nil || !k.Equal(keyOf(2)) || shownWith(f) != digest {
				t.Errorf("%q, %v in\n%s", shownWith(f), err, f)
			}
		}
		if back := showing(second, ""); string(back) != string(file) {
			t.Errorf("%s\nis not\n%s", back, file)
		}
	}
	if f := []byte("no key"); shownWith(f) != "" || string(showing(f, "")) != "no key" {
		t.Error("what is no key is spoilt")
	}
}

// An undo puts no key back, and has none on record: the key may be another by then.
func TestUndoOfACertificateLeavesTheKey(t *testing.T) {
	m := machine()
	spec := CertificateSpec{Path: lawsDirectory + "/x.crt", Key: lawsDirectory + "/x.key", Certificate: string(issuedBy(keyOf(1), func(*certificate) {}))}
	m.WriteFile(spec.Key, string(newKey(keyOf(2), "")))
	s := stepOf(t, certificateKind(), spec)
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if file := base64.StdEncoding.EncodeToString(newKey(keyOf(2), "")); strings.Contains(string(f.Before)+string(f.Want), file) {
		t.Error("the key is on record")
	}
	f.Settled = true
	m.WriteFile(spec.Key, string(showing(newKey(keyOf(5), "by hand"), digest(spec.Certificate))))
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if key, _ := m.File(spec.Key); key != string(newKey(keyOf(5), "by hand")) {
		t.Errorf("the key is\n%s", key)
	}
	if _, there := m.File(spec.Path); there {
		t.Error("the certificate is left")
	}
}
