package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/engine/host"
)

// A long journal ends in zeros while it is written. Who reads it then, as after a power
// cut, reads all of it, and goes on behind its last line; one that was closed has none.
func TestLongJournals(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "state")}
	long := aChange("file /a")
	long.Unit.Spec = []byte(`"` + strings.Repeat("x", padFrom/8) + `"`)
	write := func(j *Journal, n int) {
		t.Helper()
		for range n {
			rec := must(t, first(j.Record(long)))
			ok(t, j.Effect(rec, host.Effect{Door: "files", Verb: "write", Object: "/a"}))
		}
	}
	zeros := func() int {
		return bytes.Count(must(t, first(os.ReadFile(s.path(header.Run)))), []byte{0})
	}
	j := must(t, first(s.Run(header)))
	write(j, 20)
	if zeros() == 0 {
		t.Error("no room was made")
	}
	again := must(t, first(s.Run(header))) // the first was killed
	if got, wanted := show(again.Run), show(j.Run); got != wanted {
		t.Errorf("read:\n%s\nwritten:\n%s", got, wanted)
	}
	write(again, 60)
	ok(t, again.Close())
	if n := zeros(); n != 0 {
		t.Errorf("%d zeros are left in a journal that was closed", n)
	}
	last := must(t, first(s.Load(header.Run)))
	if got, wanted := show(last.Run), show(again.Run); got != wanted {
		t.Errorf("read:\n%s\nwritten:\n%s", got, wanted)
	}
	if len(last.Records) != 80 {
		t.Errorf("%d records", len(last.Records))
	}
}

// Of lines that are synced at once a power cut leaves any of their blocks, and zeros for
// the others. They are left out from the first that is not whole; a journal that is damaged
// further up is not read.
func TestBlocksThatNeverCame(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "state")}
	j := must(t, first(s.Run(header)))
	effect := host.Effect{Door: "files", Verb: "write", Object: "/a"}
	one := must(t, first(j.Record(aChange("file /a"))))
	ok(t, j.Effect(one, effect))
	good := int(j.size)
	ok(t, j.Verified(one, Moment{}))
	two := must(t, first(j.Record(aChange("file /b"))))
	ok(t, j.Effect(two, effect))
	whole := must(t, first(os.ReadFile(s.path(header.Run))))
	for from := good; from < len(whole); from += 7 {
		left := bytes.Clone(whole)
		clear(left[from:min(from+40, len(left))])
		r, n, err := fold(append(left, make([]byte, 100)...))
		if err != nil || n > from || len(r.Records) > 2 || r.Records[0].State != Applying && r.Records[0].State != Verified {
			t.Fatalf("zeros from %d of %d: %d bytes are good: %v", from, len(whole), n, err)
		}
	}
	damaged := bytes.Clone(whole)
	clear(damaged[bytes.IndexByte(damaged, '\n')+5:][:40])
	if _, _, err := fold(damaged); err == nil {
		t.Error("a journal that is damaged before its last lines is read")
	}
}
