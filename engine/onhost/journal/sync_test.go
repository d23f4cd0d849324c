package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
)

// A disk knows how many lines of a journal a power cut would leave.
type disk struct {
	File
	path  string
	lines int
	syncs int
}

func (d *disk) Sync() error {
	content, err := os.ReadFile(d.path)
	d.lines = bytes.Count(content, []byte("\n"))
	d.syncs++
	return err
}

// What announces an effect is on the disk before it, with all that was written before;
// what announces none waits, unless nothing could tell again what it says.
func TestOneSyncAnEffect(t *testing.T) {
	d := &disk{}
	s := Store{Dir: filepath.Join(t.TempDir(), "state"), OpenFile: func(path string) (File, error) {
		f, err := OpenFile(path)
		if filepath.Base(path) != "journal" {
			return f, err
		}
		d.File, d.path = f, path
		return d, err
	}}
	j := must(t, first(s.Run(header)))
	effect := host.Effect{Door: "files", Verb: "write", Object: "/a"}
	onDisk := func(when string, lines int) {
		t.Helper()
		if d.lines != lines {
			t.Errorf("%s: %d lines are on the disk, not %d", when, d.lines, lines)
		}
	}
	one := must(t, first(j.Record(aChange("file /a"))))
	onDisk("recorded", 1) // the header
	ok(t, j.Effect(one, effect))
	onDisk("the effect is next", 3)
	ok(t, j.Verified(one, Moment{}))
	two := must(t, first(j.Record(aChange("file /b"))))
	onDisk("recorded", 3)
	ok(t, j.Effect(two, effect))
	onDisk("the effect is next", 6)
	if d.syncs != 3 {
		t.Errorf("%d syncs for two changes and the header", d.syncs)
	}
	ok(t, j.Verified(two, Moment{}))
	ok(t, j.Sync())
	onDisk("synced", 7)

	blind := aChange("command")
	blind.Finding.Blind = true
	three := must(t, first(j.Record(blind)))
	ok(t, j.Verified(three, Moment{}))
	onDisk("nothing can tell again that a command ran", 9)
	adopting := aChange("file /c")
	adopting.Adopts = []Ref{{Run: "r0", Record: 1}}
	must(t, first(j.Record(adopting)))
	onDisk("the record that it takes over is closed next", 10)
	four := must(t, first(j.Record(aChange("file /d", step.Need{Verb: step.RestartUnit, Object: "d.service"}))))
	ok(t, j.Verified(four, Moment{}))
	onDisk("the unit was restarted for it", 12)
	ok(t, j.Close())
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
