package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
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

// onDisk is a store whose journal lies on a disk of which a test knows what it holds.
func onDisk(t *testing.T) (Store, *disk) {
	d := &disk{}
	return Store{Dir: filepath.Join(t.TempDir(), "state"), OpenFile: func(path string) (File, error) {
		f, err := OpenFile(path)
		if filepath.Base(path) != "journal" {
			return f, err
		}
		d.File, d.path = f, path
		return d, err
	}}, d
}

// What announces an effect is on the disk before it, with all that was written before;
// a record waits for its first effect.
func TestOneSyncAnEffect(t *testing.T) {
	s, d := onDisk(t)
	j := must(t, first(s.Run(header)))
	effect := host.Effect{Door: "files", Verb: "write", Object: "/a"}
	holds := func(when string, lines int) {
		t.Helper()
		if d.lines != lines {
			t.Errorf("%s: %d lines are on the disk, not %d", when, d.lines, lines)
		}
	}
	one := must(t, first(j.Record(aChange("file /a"))))
	holds("recorded", 1) // the header
	ok(t, j.Effect(one, effect))
	holds("the effect is next", 3)
	ok(t, j.Verified(one, Moment{}))
	holds("seen in force", 4)
	two := must(t, first(j.Record(aChange("file /b"))))
	holds("recorded", 4)
	ok(t, j.Effect(two, effect))
	holds("the effect is next", 6)
	if d.syncs != 4 {
		t.Errorf("%d syncs for the header, two effects and a verification", d.syncs)
	}
	ok(t, j.Verified(two, Moment{}))
	three := must(t, first(j.Record(aChange("file /c"))))
	ok(t, j.Verified(three, Moment{}))
	holds("nothing was left to do", 9)
	adopting := aChange("file /c")
	adopting.Adopts = []Ref{{Run: "r0", Record: 1}}
	must(t, first(j.Record(adopting)))
	holds("the record that it takes over is closed next", 10)
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
	more := must(t, first(j.RecordAll([]Change{aChange("file /b"), aChange("file /c")})))
	ok(t, j.EffectAll([]Announced{{more[0], effect}, {more[1], effect}}))
	whole := must(t, first(os.ReadFile(s.path(header.Run))))
	for from := good; from < len(whole); from += 7 {
		left := bytes.Clone(whole)
		clear(left[from:min(from+40, len(left))])
		r, n, err := fold(append(left, make([]byte, 100)...))
		if err != nil || n > from || len(r.Records) != 1 && len(r.Records) != 3 || r.Records[0].State != Verified {
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
	s, d := onDisk(t)
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

// tightFile is a file on a disk that is full as long as the reserve is on it.
type tightFile struct {
	File
	full func() bool
}

func (f tightFile) Write(b []byte) (int, error) {
	if f.full() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(b)
}

// What the reserve was given back for is the undo: nothing new is begun with it.
func TestTheReserveIsNotEatenByNewWork(t *testing.T) {
	full := false
	s := Store{Dir: filepath.Join(t.TempDir(), "state")}
	reserve := filepath.Join(s.Dir, "reserve")
	s.OpenFile = func(path string) (File, error) {
		f, err := OpenFile(path)
		return tightFile{f, func() bool {
			_, missing := os.Stat(reserve)
			return full && (path == reserve || missing == nil)
		}}, err
	}
	j := must(t, first(s.Run(header)))
	effect := host.Effect{Door: "files", Verb: "write", Object: "/a"}
	one := must(t, first(j.Record(aChange("file /a"))))
	ok(t, j.Effect(one, effect))
	full = true
	ok(t, j.Verified(one, Moment{}))
	if _, err := os.Stat(reserve); err == nil {
		t.Fatal("the reserve was not given back")
	}
	if _, err := j.Record(aChange("file /b")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a change is begun in the room for the undo: %v", err)
	}
	ok(t, j.Undoing(one))
	ok(t, j.FollowUp(one, effect))
	full = false
	must(t, first(j.Record(aChange("file /c"))))
	ok(t, j.Close())
}
