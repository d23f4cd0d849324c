package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"weft/engine/host"
)

// A disk knows how many lines of a journal a power cut would leave.
type disk struct {
	File
	path  string
	lines int
	syncs int
	fails error
}

func (d *disk) Sync() error {
	content, err := os.ReadFile(d.path)
	d.lines = bytes.Count(content, []byte("\n"))
	d.syncs++
	return errors.Join(d.fails, err)
}

// What announces an effect is on the disk before it, with all that was written before;
// a record waits for its first effect.
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
	onDisk("seen in force", 4)
	two := must(t, first(j.Record(aChange("file /b"))))
	onDisk("recorded", 4)
	ok(t, j.Effect(two, effect))
	onDisk("the effect is next", 6)
	if d.syncs != 4 {
		t.Errorf("%d syncs for the header, two effects and a verification", d.syncs)
	}
	ok(t, j.Verified(two, Moment{}))
	three := must(t, first(j.Record(aChange("file /c"))))
	ok(t, j.Verified(three, Moment{}))
	onDisk("nothing was left to do", 9)
	adopting := aChange("file /c")
	adopting.Adopts = []Ref{{Run: "r0", Record: 1}}
	must(t, first(j.Record(adopting)))
	onDisk("the record that it takes over is closed next", 10)
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
	ok(t, j.Verified(one, Moment{}))
	good := int(j.size)
	two := must(t, first(j.Record(aChange("file /b"))))
	ok(t, j.Effect(two, effect))
	whole := must(t, first(os.ReadFile(s.path(header.Run))))
	for from := good; from < len(whole); from += 7 {
		left := bytes.Clone(whole)
		clear(left[from:min(from+40, len(left))])
		r, n, err := fold(append(left, make([]byte, 100)...))
		if err != nil || n > from || len(r.Records) > 2 || r.Records[0].State != Verified {
			t.Fatalf("zeros from %d of %d: %d bytes are good: %v", from, len(whole), n, err)
		}
	}
	damaged := bytes.Clone(whole)
	clear(damaged[bytes.IndexByte(damaged, '\n')+5:][:40])
	if _, _, err := fold(damaged); err == nil {
		t.Error("a journal that is damaged before its last lines is read")
	}
}

// What a disk failed to write is written again with what comes next, and leaves no hole.
func TestASyncThatFails(t *testing.T) {
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
	one := must(t, first(j.Record(aChange("file /a"))))
	d.fails = errors.New("input/output error")
	if err := j.Effect(one, host.Effect{Door: "files", Verb: "write", Object: "/a"}); !errors.Is(err, d.fails) {
		t.Errorf("an effect that is not on the disk is announced: %v", err)
	}
	if content := must(t, first(os.ReadFile(d.path))); bytes.Count(content, []byte("\n")) != 1 {
		t.Errorf("what never came to the disk is read:\n%s", content)
	}
	d.fails = nil
	ok(t, j.Failed(one, "why"))
	ok(t, j.Close())
	again := must(t, first(s.Load(header.Run)))
	if got, wanted := show(again.Run), show(j.Run); got != wanted {
		t.Errorf("read:\n%s\nwritten:\n%s", got, wanted)
	}
}
