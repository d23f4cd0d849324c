package sealed

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const plainText = "token = \"canary-sealed\"\n"

func sealedFor(t testing.TB, text string, r age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func armored(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func key(t testing.TB) *age.X25519Identity {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// quick is a passphrase that costs little.
func quick(t testing.TB, text string) *age.ScryptRecipient {
	t.Helper()
	r, err := age.NewScryptRecipient(text)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10)
	return r
}

func kept(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func answers(text string) func(string) (string, error) {
	return func(string) (string, error) { return text, nil }
}

func TestOpen(t *testing.T) {
	mine, other := key(t), key(t)
	identity := kept(t, []byte("# mine\n"+mine.String()+"\n"))
	locked := kept(t, armored(t, sealedFor(t, mine.String()+"\n", quick(t, "correct horse"))))
	stranger := kept(t, []byte(other.String()+"\n"))
	public := kept(t, []byte(mine.Recipient().String()+"\n"))
	forMe, forWords := sealedFor(t, plainText, mine.Recipient()), sealedFor(t, plainText, quick(t, "correct horse"))
	changed := bytes.Clone(forMe)
	changed[len(changed)-1] ^= 1
	nobody := func(string) (string, error) { return "", errors.New("there is no terminal to ask at") }
	tests := []struct {
		name string
		o    Opener
		src  []byte
		says string // of the error; empty for none
	}{
		{"by its identity", Opener{Identities: []string{identity}}, forMe, ""},
		{"armored", Opener{Identities: []string{identity}}, append([]byte("\n"), armored(t, forMe)...), ""},
		{"by one of two", Opener{Identities: []string{stranger, identity}}, forMe, ""},
		{"by the identity at its place", Opener{Default: identity}, forMe, ""},
		{"by an identity that is locked itself", Opener{Identities: []string{locked}, Ask: answers("correct horse")}, forMe, ""},
		{"by a passphrase", Opener{Ask: answers("correct horse")}, forWords, ""},
		{"by a passphrase, armored", Opener{Ask: answers("correct horse")}, armored(t, forWords), ""},
		{"of others", Opener{Identities: []string{stranger}}, forMe, "no identity in " + stranger + " opens s.age: it is encrypted for others"},
		{"without an identity", Opener{Default: "/nowhere/identity"}, forMe, "--identity"},
		{"an identity that is not there", Opener{Identities: []string{"/nowhere/identity"}}, forMe, "/nowhere/identity: no such file"},
		{"a recipient for an identity", Opener{Identities: []string{public}}, forMe, "holds no identity of age"},
		{"a wrong passphrase", Opener{Ask: answers("battery staple")}, forWords, "the passphrase of s.age is wrong"},
		{"an empty passphrase", Opener{Ask: answers("")}, forWords, "the passphrase of s.age is wrong"},
		{"a wrong passphrase of the identity", Opener{Identities: []string{locked}, Ask: answers("no")}, forMe, "the passphrase of " + locked + " is wrong"},
		{"nobody to ask", Opener{Ask: nobody}, forWords, "encrypted with a passphrase: there is no terminal to ask at"},
		{"cut", Opener{Identities: []string{identity}}, forMe[:len(forMe)-7], "s.age is damaged"},
		{"changed", Opener{Identities: []string{identity}}, changed, "s.age is damaged"},
		{"cut in the header", Opener{Identities: []string{identity}}, forMe[:60], "s.age is damaged"},
		{"a plain file", Opener{Identities: []string{identity}}, []byte(plainText), "was never encrypted"},
		{"nothing", Opener{Identities: []string{identity}}, nil, "was never encrypted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.o.Open("s.age", tt.src)
			switch {
			case tt.says == "" && (err != nil || string(got) != plainText):
				t.Errorf("got %q, %v", got, err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("says %v, want %q", err, tt.says)
			case err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "SECRET-KEY-1"+mine.String()[16:])):
				t.Errorf("the error tells what it must not: %v", err)
			case err != nil && len(got) > 0:
				t.Errorf("an error, and yet %d bytes", len(got))
			}
		})
	}
}

// TestAskedOnce: the passphrase of an identity is asked for once, however many
// files it opens.
func TestAskedOnce(t *testing.T) {
	mine, asked := key(t), 0
	o := Opener{
		Identities: []string{kept(t, sealedFor(t, mine.String()+"\n", quick(t, "correct horse")))},
		Ask:        func(string) (string, error) { asked++; return "correct horse", nil },
	}
	for range 3 {
		if _, err := o.Open("s.age", sealedFor(t, plainText, mine.Recipient())); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// FuzzOpen takes any bytes for an encrypted file.
func FuzzOpen(f *testing.F) {
	mine := key(f)
	o := Opener{Ask: func(string) (string, error) { return "", errors.New("nobody") }, known: []age.Identity{mine}}
	f.Add(sealedFor(f, plainText, mine.Recipient()))
	f.Add(armored(f, sealedFor(f, plainText, quick(f, "words"))))
	f.Add([]byte("age-encryption.org/v1\n-> scrypt a 99\nb\n--- c\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if got, err := o.Open("s.age", src); err != nil && len(got) > 0 {
			t.Errorf("an error, and yet %d bytes", len(got))
		}
	})
}
