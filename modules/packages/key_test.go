package packages

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
)

// nextPacket is a key without user and signature, as it stands behind another.
var nextPacket = append([]byte{0xc6, 14}, "\x04\x00\x00\x00\x01\x16next key"...)

func armoured(raw []byte) string {
	return "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\n" + base64.StdEncoding.EncodeToString(raw) + "\n-----END PGP PUBLIC KEY BLOCK-----\n"
}

// withNextKey is the test's key with a next one, in one block and in two.
func withNextKey(t *testing.T) map[string]string {
	t.Helper()
	_, body, _ := strings.Cut(testKey, "BLOCK-----\n")
	body, _, _ = strings.Cut(body, "-----END")
	raw, err := unarmour(body)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"one block":  armoured(append(slices.Clone(raw), nextPacket...)),
		"two blocks": testKey + "\na comment\n" + armoured(nextPacket),
	}
}

func TestKeys(t *testing.T) {
	if keys, err := parseKeys(testKey); err != nil || len(keys) != 1 || keys[0].rpm() != testKeyRPM {
		t.Errorf("%v, %v", keys, err)
	}
	for name, text := range withNextKey(t) {
		if keys, err := parseKeys(text); err != nil || len(keys) != 2 || keys[0].rpm() != testKeyRPM || keys[1].time != "00000001" {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
	long := append([]byte{0xff&^0x39 | 0xc0, 0xff, 0, 0, 1, 0}, append([]byte("\x04\x00\x00\x00\x02"), make([]byte, 251)...)...)
	wide := append([]byte{0x9a, 0, 0, 0, 10}, "\x04\x00\x00\x00\x03wider"...)
	if keys, err := parseKeys(armoured(append(long, wide...))); err != nil || len(keys) != 2 || keys[1].time != "00000003" {
		t.Errorf("lengths of four bytes: %v, %v", keys, err)
	}
	for name, text := range map[string]string{
		"nothing":                     "",
		"a block without end":         "-----BEGIN PGP PUBLIC KEY BLOCK-----",
		"a second without end":        testKey + "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
		"no packet":                   armoured([]byte{0, 0, 0}),
		"another packet first":        armoured([]byte{0xc0 | 13, 1, 'x'}),
		"a packet in parts":           armoured([]byte{0xc6, 0xe1, 4, 0}),
		"a packet cut short":          armoured(nextPacket[:9]),
		"a second cut short":          armoured(append(slices.Clone(nextPacket), 0xc6, 14, 4)),
		"a second of another version": armoured(append(slices.Clone(nextPacket), "\xc6\x06\x06\x00\x00\x00\x00\x00"...)),
	} {
		if keys, err := parseKeys(text); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
}

// trustedBy are the keys of rpm's keyring.
func trustedBy(t *testing.T, m *fake.Machine) []string {
	t.Helper()
	names, err := m.Host().Files.List(t.Context(), "/var/lib/rpm")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestEachKeyOfAFileCounts: rpm trusts all of them, so all are asked for, and those go
// that the step brought.
func TestEachKeyOfAFileCounts(t *testing.T) {
	next, err := parseKeys(armoured(nextPacket))
	if err != nil {
		t.Fatal(err)
	}
	nextRPM := next[0].rpm()
	both := []string{nextRPM, testKeyRPM}
	slices.Sort(both)
	for name, text := range withNextKey(t) {
		for _, before := range [][]string{nil, {testKeyRPM}, {nextRPM}, both} {
			m := yumMachine()
			for _, key := range before {
				m.WriteFile("/var/lib/rpm/"+key, "")
			}
			s := repositoryStep(t, RepositorySpec{Name: "x", By: dnf, URIs: []string{"http://a.example"}, Key: step.Is(text)})
			f := applied(t, m, s)
			if got := trustedBy(t, m); !slices.Equal(got, both) {
				t.Errorf("%s, before %q: trusted are %q", name, before, got)
			}
			if err := s.Undo(t.Context(), m.Host(), f); err != nil {
				t.Fatal(err)
			}
			if got := trustedBy(t, m); !slices.Equal(got, before) {
				t.Errorf("%s, before %q: after undo %q", name, before, got)
			}
		}
	}
}

// TestUndoOfAnotherKey: the key that the step brought goes out of the keyring, and not
// the one that it replaced.
func TestUndoOfAnotherKey(t *testing.T) {
	m := yumMachine()
	applied(t, m, repositoryStep(t, RepositorySpec{Name: "x", By: dnf, URIs: []string{"http://a.example"}, Key: step.Is(testKey)}))
	before := m.Snapshot()
	s := repositoryStep(t, RepositorySpec{Name: "x", By: dnf, Key: step.Is(armoured(nextPacket))})
	f := applied(t, m, s)
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if now := m.Snapshot(); now != before {
		t.Errorf("was:\n%s\nis:\n%s", before, now)
	}
}

// repositoryStep makes a step of a spec.
func repositoryStep(t *testing.T, spec RepositorySpec) step.Step {
	t.Helper()
	if spec.State == "" {
		spec.State = step.Present
	}
	if problems := spec.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return step.Of("repository "+spec.Name, repositories{}, spec)
}

func FuzzKeys(f *testing.F) {
	f.Add(testKey)
	f.Add(armoured(nextPacket))
	f.Add("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxg==\n-----END PGP PUBLIC KEY BLOCK-----")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseKeys(text)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%v, %v", keys, err)
		}
		for _, k := range keys {
			if len(k.id) != 8 || len(k.time) != 8 {
				t.Errorf("%+v", k)
			}
		}
	})
}
