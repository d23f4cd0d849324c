package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

var header = Header{
	Run: "20261121T080000-1", Owner: "anna", Site: "lab", Playbook: "p.hcl", Host: "h1", Runner: "d1",
	Began: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
}

func must[T any](t *testing.T, p pair[T]) T {
	t.Helper()
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.v
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func aChange(object string, needs ...step.Need) Change {
	return Change{
		Play: "p", Unit: step.Unit{Address: "file.x", Kind: "file", Spec: []byte(`{}`)},
		Finding: step.Finding{Object: object, Before: []byte(`{"content":"old"}`)}, Needs: needs, At: Moment{Boot: "b", Micros: 1},
	}
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "state")}
	j, err := s.Run(header)
	ok(t, err)
	if names := must(t, first(s.Names())); len(names) != 0 {
		t.Errorf("a journal without a line is on the disk: %v", names)
	}
	need := step.Need{Verb: step.RestartUnit, Object: "d.service", Reason: "file.x"}
	one := must(t, first(j.Record(aChange("file /a", need))))
	ok(t, j.Effect(one, host.Effect{Door: "files", Verb: "write", Object: "/a"}))
	ok(t, j.Verified(one, Moment{"b", 2}))
	two := must(t, first(j.Record(aChange("file /b"))))
	ok(t, j.Effect(two, host.Effect{Door: "files", Verb: "write", Object: "/b"}))
	three := must(t, first(j.Record(aChange("file /c"))))
	ok(t, j.Close())

	if marked := must(t, first(s.Marked())); len(marked) != 1 {
		t.Fatalf("marked: %v", marked)
	}
	again := must(t, first(s.Load(header.Run)))
	got, wanted := show(again.Run), show(j.Run)
	if got != wanted {
		t.Errorf("read:\n%s\nwritten:\n%s", got, wanted)
	}
	if two.State != Applying || three.State != Recorded || three.InForce() {
		t.Errorf("states: %s %s", two.State, three.State)
	}
	for _, path := range []string{"runs", "runs/" + header.Run, "open"} {
		if info := must(t, first(os.Stat(filepath.Join(s.Dir, path)))); info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	if info := must(t, first(os.Stat(s.path(header.Run)))); info.Mode().Perm() != 0o600 {
		t.Errorf("the journal has mode %v", info.Mode())
	}
	// It goes on where it ended, and is closed when nothing is open.
	j = again
	ok(t, j.Settled(need))
	ok(t, j.Undoing(j.Records[1]))
	ok(t, j.Undone(j.Records[1], Moment{"b", 3}))
	ok(t, j.Close())
	if marked := must(t, first(s.Marked())); len(marked) != 0 {
		t.Errorf("still marked: %v", marked)
	}
	if changed, undone := j.Counts(); changed != 1 || undone != 1 {
		t.Errorf("%d changed, %d undone", changed, undone)
	}
}

type pair[T any] struct {
	v   T
	err error
}

// first takes the two results of a call, for must.
func first[T any](v T, err error) pair[T] { return pair[T]{v, err} }

func show(r *Run) string {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestTheHeaderIsFrozen(t *testing.T) {
	h := header
	h.Version = Version
	const golden = `{"weft":1,"run":"20261121T080000-1","owner":"anna","site":"lab","playbook":"p.hcl",` +
		`"host":"h1","runner":"d1","began":"2026-11-21T08:00:00Z"}` + "\n"
	if got := string(encode(h)); got != golden {
		t.Errorf("the header became\n%s", got)
	}
}

func TestATornLastLineIsLeftOut(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	j := must(t, first(s.Run(header)))
	one := must(t, first(j.Record(aChange("file /a"))))
	ok(t, j.Effect(one, host.Effect{Door: "files", Verb: "write", Object: "/a"}))
	whole := show(j.Run)
	ok(t, j.Close())
	good := must(t, first(os.ReadFile(s.path(header.Run))))
	line := `{"line":"verified","at":"2026-11-21T08:00:00Z","record":1}`
	for _, torn := range []string{line[:1], line[:30], line, "\x00\x00\x00", line[:20] + "\x00\x00\n\x00", "\n\x00"} {
		ok(t, os.WriteFile(s.path(header.Run), append(append([]byte{}, good...), torn...), 0o600))
		j, err := s.Load(header.Run)
		if err != nil {
			t.Errorf("%q: %v", torn, err)
			continue
		}
		if show(j.Run) != whole {
			t.Errorf("%q was taken for a line", torn)
		}
		ok(t, j.Verified(j.Records[0], Moment{}))
		ok(t, j.Close())
		again := must(t, first(s.Load(header.Run)))
		if again.Records[0].State != Verified || !again.Closed {
			t.Errorf("%q: writing went on in the wrong place", torn)
		}
	}
}

func TestGarbageNamesItsPlace(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	ok(t, os.MkdirAll(filepath.Dir(s.path("r")), 0o700))
	h := `{"weft":1,"run":"r"}` + "\n"
	for text, place := range map[string]string{
		h + "garbage\n" + `{"line":"closed"}` + "\n": "line 2",
		h + `{"line":"verified","record":7}` + "\n":  "line 2",
		h + `{"line":"dances","record":0}` + "\n":    "line 2",
		`{"weft":0,"run":"r"}` + "\n" + h:            "line 1",
	} {
		ok(t, os.WriteFile(s.path("r"), []byte(text), 0o600))
		_, err := s.Load("r")
		if err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), s.path("r")) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, none := range []string{"", "\x00\x00", `{"weft":1,"run"`} {
		ok(t, os.WriteFile(s.path("r"), []byte(none), 0o600))
		if _, err := s.Load("r"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", none, err)
		}
	}
}

func TestAJournalOfAnotherVersionShowsItsHeader(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	ok(t, os.MkdirAll(filepath.Dir(s.path("r")), 0o700))
	ok(t, os.WriteFile(s.path("r"), []byte(`{"weft":9,"run":"r","runner":"d9"}`+"\n[1,2]\nwhatever\n"), 0o600))
	j, err := s.Load("r")
	if err != nil || j.Runner != "d9" {
		t.Errorf("%+v, %v", j, err)
	}
}

// fullDisk is a disk with room for a number of bytes, some of which the
// reserve takes.
type fullDisk struct{ room int64 }

func (d *fullDisk) open(path string) (File, error) {
	f, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	return &fullFile{File: f, disk: d, reserve: filepath.Base(path) == "reserve"}, nil
}

type fullFile struct {
	File
	disk    *fullDisk
	reserve bool
}

func (f *fullFile) Write(b []byte) (int, error) {
	if int64(len(b)) > f.disk.room {
		n, _ := f.File.Write(b[:f.disk.room]) // what fits is written, as write(2) does
		f.disk.room = 0
		return n, &fs.PathError{Op: "write", Path: "journal", Err: syscall.ENOSPC}
	}
	f.disk.room -= int64(len(b))
	return f.File.Write(b)
}

func TestAFullDiskBeginsNothingAndStillUndoes(t *testing.T) {
	disk := &fullDisk{room: 1 << 20}
	s := Store{Dir: t.TempDir(), OpenFile: disk.open}
	j := must(t, first(s.Run(header)))
	one := must(t, first(j.Record(aChange("file /a"))))
	ok(t, j.Effect(one, host.Effect{Door: "files", Verb: "write", Object: "/a"}))
	disk.room = 10
	var full *WriteError
	_, err := j.Record(aChange("file /b"))
	if !errors.As(err, &full) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room below "+s.Dir) {
		t.Fatalf("a record on a full disk: %v", err)
	}
	if err := j.Effect(one, host.Effect{}); !errors.As(err, &full) {
		t.Fatalf("an effect on a full disk: %v", err)
	}
	if len(j.Records) != 1 {
		t.Error("what could not be written is believed")
	}
	disk.room = 0
	if err := j.Undoing(one); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is full and the reserve gives nothing in this test, yet: %v", err)
	}
	mustBeGone(t, filepath.Join(s.Dir, "reserve"))
	disk.room = reserveBytes // as if giving the reserve back had made it
	ok(t, j.Undoing(one))
	ok(t, j.FollowUp(one, host.Effect{}))
	ok(t, j.Undone(one, Moment{}))
	ok(t, j.Close())
	again := must(t, first(s.Load(header.Run)))
	if show(again.Run) != show(j.Run) {
		t.Errorf("read:\n%s\nwritten:\n%s", show(again.Run), show(j.Run))
	}
}

func TestNoReserveNoRun(t *testing.T) {
	disk := &fullDisk{room: reserveBytes / 2}
	s := Store{Dir: t.TempDir(), OpenFile: disk.open}
	j := must(t, first(s.Run(header)))
	if _, err := j.Record(aChange("file /a")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a run without a reserve: %v", err)
	}
	mustBeGone(t, filepath.Join(s.Dir, "reserve"))
}

func mustBeGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v)", path, err)
	}
}

func TestPrune(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	now := time.Now()
	for run, c := range map[string]struct {
		age    time.Duration
		digest string
		open   bool
	}{
		"1-old": {KeepFor + time.Hour, "d1", false}, "2-old-open": {KeepFor + time.Hour, "d2", true}, "3-new": {time.Hour, "d3", false},
	} {
		h := header
		h.Run, h.Runner = run, c.digest
		j := must(t, first(s.Run(h)))
		rec := must(t, first(j.Record(aChange("file /a"))))
		ok(t, j.Effect(rec, host.Effect{}))
		if !c.open {
			ok(t, j.Verified(rec, Moment{}))
		}
		ok(t, j.Close())
		ok(t, os.Chtimes(s.path(run), now.Add(-c.age), now.Add(-c.age)))
	}
	must(t, first(s.Prune(now)))
	if names := must(t, first(s.Names())); strings.Join(names, " ") != "1-old 2-old-open 3-new" {
		t.Errorf("of few that look old %v is kept", names)
	}
	for i := range KeepLeast - 1 {
		h := header
		h.Run, h.Runner = fmt.Sprintf("4-new-%02d", i), "d3"
		j := must(t, first(s.Run(h)))
		must(t, first(j.Record(aChange("file /a"))))
		ok(t, j.Close())
	}
	runners := must(t, first(s.Prune(now)))
	if names := must(t, first(s.Names())); strings.Join(names[:2], " ") != "2-old-open 3-new" || len(names) != KeepLeast+1 {
		t.Errorf("kept %v", names)
	}
	if len(runners) != 2 || !runners["d2"] || !runners["d3"] {
		t.Errorf("runners %v", runners)
	}
}

func TestValidRun(t *testing.T) {
	for name, valid := range map[string]bool{
		"20261121T080000Z-1f": true, "a.b_c:d": true, "": false, ".": false, "..": false, ".x": false, "a/b": false,
		"a\x00b": false, "a b": false, "ä": false, strings.Repeat("a", 201): false,
	} {
		if ValidRun(name) != valid {
			t.Errorf("ValidRun(%q) = %v", name, !valid)
		}
	}
}

func FuzzFold(f *testing.F) {
	s := Store{Dir: f.TempDir()}
	j, err := s.Run(header)
	if err != nil {
		f.Fatal(err)
	}
	need := step.Need{Verb: step.RestartUnit, Object: "d.service"}
	rec, err := j.Record(aChange("file /a", need))
	if err != nil {
		f.Fatal(err)
	}
	for _, err := range []error{
		j.Effect(rec, host.Effect{Door: "files"}), j.Pending(rec, Moment{}), j.FollowUp(nil, host.Effect{Object: "d.service"}),
		j.Settled(need), j.Verified(rec, Moment{}), j.Undoing(rec), j.Stuck(rec, "why"), j.Undone(rec, Moment{}), j.Close(),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(s.path(header.Run))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-7])
	f.Add([]byte("{\"weft\":1,\"run\":\"r\"}\n{\"line\":\"settled\"}\n"))
	f.Add([]byte("{\"weft\":1,\"run\":\"r\"}\n{\"line\":\"effect\",\"record\":-1}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, good, err := fold(content)
		if err != nil {
			return
		}
		again, size, err := fold(content[:good])
		if err != nil || size != good || show(again) != show(r) {
			t.Fatalf("the good part of %q reads as another journal: %v", content, err)
		}
	})
}

// A clock that goes backwards does not turn the order of runs around.
func TestRunsKeepTheirOrder(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "state")}
	var last time.Time
	for i, began := range []time.Time{header.Began, header.Began.Add(-24 * time.Hour), header.Began, header.Began.Add(time.Hour)} {
		h := header
		h.Run, h.Began = header.Run+strings.Repeat("x", i), began
		j, err := s.Run(h)
		ok(t, err)
		_, err = j.Record(aChange("file /x"))
		ok(t, err)
		ok(t, j.Close())
		read := must(t, first(s.Load(h.Run)))
		if !read.Began.After(last) || began.After(last) && !read.Began.Equal(began) {
			t.Errorf("run %d began %v, after one that began %v", i, read.Began, last)
		}
		last = read.Began
	}
}
