package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// A Journal is a run's journal that can be written on. Nothing is on the disk
// before the first line. It is not for several goroutines.
type Journal struct {
	*Run
	store Store
	file  File   // nil until the first line of this session
	size  int64  // of what is good on the disk
	held  []byte // behind that in the file, and to come to the disk with the next line
	lost  bool   // and no longer in the file
	fresh bool   // there is no file yet
	spent bool   // the reserve was given back to a full disk
}

// Written says whether this session wrote any line.
func (j *Journal) Written() bool { return j.file != nil }

// Change is what goes on record before a step's first effect.
type Change struct {
	Play    string
	Index   int
	Unit    step.Unit
	Finding step.Finding
	Needs   []step.Need
	Adopts  []Ref
	At      Moment
}

// Record writes a change down. It is on the disk with the change's first effect, or
// at once where it takes over what other records hold.
func (j *Journal) Record(c Change) (*Record, error) {
	recs, err := j.RecordAll([]Change{c})
	if err != nil {
		return nil, err
	}
	return recs[0], nil
}

// RecordAll is Record for changes that begin together.
func (j *Journal) RecordAll(all []Change) ([]*Record, error) {
	before := len(j.Records)
	lines := make([]line, len(all))
	for i, c := range all {
		lines[i] = line{
			Kind: lineRecord, Record: before + 1 + i, Play: c.Play, Index: c.Index, Unit: &c.Unit,
			Finding: &c.Finding, Needs: c.Needs, Adopts: c.Adopts, Moment: c.At,
			waits: len(c.Adopts) == 0,
		}
	}
	if err := j.write(together(lines)); err != nil {
		return nil, err
	}
	return j.Records[before:], nil
}

// Effect announces an effect of a change.
func (j *Journal) Effect(rec *Record, e host.Effect) error {
	return j.EffectAll([]Announced{{rec, e}})
}

// Announced is an effect of a change that is about to begin.
type Announced struct {
	Record *Record
	Effect host.Effect
}

// EffectAll is Effect for several at once.
func (j *Journal) EffectAll(all []Announced) error {
	lines := make([]line, len(all))
	for i, a := range all {
		lines[i] = line{Kind: lineEffect, Record: a.Record.number(), Effect: &a.Effect}
	}
	return j.write(together(lines))
}

// FollowUp announces an effect of what follows a change: an undo, or, without
// a record, the settling of a need. It may use the reserve.
func (j *Journal) FollowUp(rec *Record, e host.Effect) error {
	return j.insist(line{Kind: lineEffect, Record: rec.number(), Effect: &e})
}

func (rec *Record) number() int {
	if rec == nil {
		return 0
	}
	return rec.N
}

// Pending says that a change is applied and waits for its needs.
func (j *Journal) Pending(rec *Record, at Moment) error {
	return j.insist(line{Kind: linePending, Record: rec.N, Moment: at})
}

// Verified says that a change was seen in force.
func (j *Journal) Verified(rec *Record, at Moment) error {
	return j.VerifiedAll([]*Record{rec}, at)
}

// VerifiedAll is Verified for several at once.
func (j *Journal) VerifiedAll(recs []*Record, at Moment) error {
	lines := make([]line, len(recs))
	for i, rec := range recs {
		lines[i] = line{Kind: lineVerified, Record: rec.N, Moment: at}
	}
	return j.insist(together(lines))
}

// Failed notes why a change did not succeed. It stays half made.
func (j *Journal) Failed(rec *Record, reason string) error {
	return j.insist(line{Kind: lineFailed, Record: rec.N, Error: reason})
}

// Settled closes a need in all records of the run.
func (j *Journal) Settled(n step.Need) error {
	return j.insist(line{Kind: lineSettled, Need: &n})
}

// SettledOf closes a need in one record alone.
func (j *Journal) SettledOf(rec *Record, n step.Need) error {
	return j.insist(line{Kind: lineSettled, Record: rec.N, Need: &n})
}

// Booting announces that the machine is told to boot anew, for what the run
// changed or for what was taken back of it.
func (j *Journal) Booting(d Direction, at Moment) error {
	return j.insist(line{Kind: kind(d), Moment: at})
}

// Undoing announces the undo of a record. The first effect of it raises the
// record's needs again.
func (j *Journal) Undoing(rec *Record) error {
	return j.insist(line{Kind: lineUndoing, Record: rec.N})
}

// Sorted says what an undo leaves to another hand, and what it saw to be of the
// change itself, before it writes anything.
func (j *Journal) Sorted(rec *Record, foreign, own []string) error {
	return j.insist(line{Kind: lineSorted, Record: rec.N, Foreign: foreign, Own: own})
}

// Undone says that a change was taken back.
func (j *Journal) Undone(rec *Record, at Moment) error {
	return j.insist(line{Kind: lineUndone, Record: rec.N, Moment: at})
}

// Conflict says that a change was taken back but for what another hand did.
func (j *Journal) Conflict(rec *Record, at Moment, reason string) error {
	return j.insist(line{Kind: lineConflict, Record: rec.N, Moment: at, Error: reason})
}

// Stuck says that a change could not be taken back, this time.
func (j *Journal) Stuck(rec *Record, reason string) error {
	return j.insist(line{Kind: lineStuck, Record: rec.N, Error: reason})
}

// Final says that a change cannot be taken back at all.
func (j *Journal) Final(rec *Record, reason string) error {
	return j.insist(line{Kind: lineFinal, Record: rec.N, Error: reason})
}

// Adopted says that a record of another run now holds what this one found.
func (j *Journal) Adopted(rec *Record, by string) error {
	return j.insist(line{Kind: lineAdopted, Record: rec.N, Run: by})
}

// Close ends this session's use of the journal. A run with nothing half made
// loses its marker, so that later sessions need not look at it. A journal that
// was not written is closed too where it only waited for that.
func (j *Journal) Close() error {
	if j.fresh && j.file == nil {
		return nil
	}
	if j.Open() {
		return j.closeFile()
	}
	if !j.Closed {
		if err := j.insist(line{Kind: lineClosed}); err != nil {
			return errors.Join(err, j.closeFile())
		}
	}
	return errors.Join(j.closeFile(), j.store.unmark(j.Header.Run))
}

func (j *Journal) closeFile() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// together makes one line of several. It waits where each of them does.
func together(lines []line) line {
	if len(lines) == 1 {
		return lines[0]
	}
	return line{Kind: lineTogether, Lines: lines, waits: !slices.ContainsFunc(lines, func(l line) bool { return !l.waits })}
}

// write appends a line and does not touch the reserve: on a full disk nothing
// new is begun.
func (j *Journal) write(l line) error {
	if j.file == nil || j.spent {
		if err := j.store.reserve(); err != nil {
			return j.broken(err)
		}
		j.spent = false
	}
	if err := j.append(l); err != nil {
		return j.broken(err)
	}
	return j.apply(l)
}

// insist appends a line about something that has happened, or takes something
// back. On a full disk it gives the reserve back and tries again.
func (j *Journal) insist(l line) error {
	err := j.append(l)
	if errors.Is(err, syscall.ENOSPC) {
		if release := j.store.release(); release != nil {
			return j.broken(errors.Join(err, release))
		}
		j.spent = true
		err = j.append(l)
	}
	if err != nil {
		return j.broken(err)
	}
	return j.apply(l)
}

// A WriteError says that a journal could not be written, so that what it was
// to announce has not been begun.
type WriteError struct {
	Dir string // the state directory
	Err error
}

// Error says what to do where the disk is full.
func (e *WriteError) Error() string {
	if errors.Is(e.Err, syscall.ENOSPC) {
		return fmt.Sprintf("the journal cannot be written, make room below %s: %v", e.Dir, e.Err)
	}
	return fmt.Sprintf("the journal cannot be written: %v", e.Err)
}

// Unwrap returns what the system said.
func (e *WriteError) Unwrap() error { return e.Err }

func (j *Journal) broken(err error) error { return &WriteError{Dir: j.store.Dir, Err: err} }

// append puts a line on the disk, or leaves the disk as it was. A line that waits comes
// there with the next: a record and its first effect are one sync.
func (j *Journal) append(l line) error {
	if err := j.open(); err != nil {
		return err
	}
	l.At = time.Now().UTC()
	body := encode(l)
	behind := body
	if j.lost {
		behind = slices.Concat(j.held, body)
	}
	_, err := j.file.Write(behind)
	if err == nil && !l.waits {
		err = j.file.Sync()
	}
	if err != nil { // what a sync could not write is not tried again by the next
		j.lost = len(j.held) > 0
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.held, j.lost = append(j.held, body...), false
	if !l.waits {
		j.size, j.held = j.size+int64(len(j.held)), nil
	}
	return nil
}

// open marks the run as open, and opens its file at the end of what is good.
func (j *Journal) open() error {
	if j.file != nil {
		return nil
	}
	if err := j.store.mark(j.Header.Run); err != nil {
		return err
	}
	path := j.store.path(j.Header.Run)
	f, err := j.store.openFile(path)
	if err != nil {
		return err
	}
	if j.fresh {
		err = j.writeHeader(f)
	} else {
		err = f.Truncate(j.size)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.file = f
	return nil
}

func (j *Journal) writeHeader(f File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if latest := j.store.latest(j.Header.Run); !j.Began.After(latest) {
		j.Began = latest.Add(time.Microsecond) // the clock went backwards
	}
	body := encode(j.Header)
	if _, err := f.Write(body); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(j.store.path(j.Header.Run))); err != nil {
		return err
	}
	j.size, j.fresh = int64(len(body)), false
	return nil
}

// load reads a run's journal from the disk.
func (s Store) load(run string) (*Journal, error) {
	path := s.path(run)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	folded, good, err := fold(content)
	if errors.Is(err, errNoHeader) {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal %s: %w", path, err)
	}
	if folded.Run != run { // its name is a path: what is written must go where it was read
		return nil, fmt.Errorf("read the journal %s: it is that of another run, %q", path, folded.Run)
	}
	return &Journal{Run: folded, store: s, size: int64(good)}, nil
}
