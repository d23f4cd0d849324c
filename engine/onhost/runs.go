package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/host/topology"
	"weft/engine/onhost/facts"
	"weft/engine/onhost/journal"
	"weft/engine/wire"
)

// fresh is how long a runner's file is kept though no run names it: another
// controller may have pushed it a moment ago.
const fresh = 24 * time.Hour

// listRuns says what the host remembers, the oldest first. A journal that
// cannot be read hides no other.
func (s *session) listRuns() error {
	names, err := s.store.Names()
	if err != nil {
		return err
	}
	var broken []error
	for _, name := range names {
		j, err := s.peek(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			broken = append(broken, err)
			continue
		}
		s.out.say(wire.Event{Run: runEvent(j)})
	}
	return errors.Join(broken...)
}

func runEvent(j *journal.Journal) *wire.RunEvent {
	changed, undone := j.Counts()
	e := &wire.RunEvent{
		Run: j.Header.Run, Owner: j.Owner, Playbook: j.Playbook, Began: j.Began,
		Changed: changed, Undone: undone, State: "done",
	}
	switch {
	case j.Open():
		e.State = "open"
	case slices.ContainsFunc(j.Records, func(r *journal.Record) bool { return r.State == journal.Conflict }):
		e.State = "conflict"
	case changed == 0 && undone > 0:
		e.State = "undone"
	}
	for _, rec := range j.Records {
		i := slices.IndexFunc(e.Plays, func(p wire.PlayChange) bool { return p.Name == rec.Play })
		if i < 0 {
			i = len(e.Plays)
			e.Plays = append(e.Plays, wire.PlayChange{Name: rec.Play, Index: rec.Index})
		}
		if rec.InForce() {
			e.Plays[i].Changed++
		}
	}
	return e
}

// closeJournals ends this session's use of its journals, and forgets what is
// old, and what nothing needs any more, where something new was written.
func (s *session) closeJournals() error {
	if s.own == nil { // the hello did not get that far
		return nil
	}
	var errs []error
	written := false
	for _, j := range slices.Concat(s.journals(), s.rolled) {
		written = written || j.Written()
		errs = append(errs, j.Close())
	}
	if written {
		errs = append(errs, s.forget())
	}
	if written || s.tookBack {
		errs = append(errs, s.forgetKept(context.Background()))
	}
	return errors.Join(errs...)
}

// forget drops old runs, and the runners that no run names any more.
func (s *session) forget() error {
	named, err := s.store.Prune(time.Now())
	if err != nil {
		return err
	}
	bin := filepath.Join(s.State, "bin")
	entries, err := os.ReadDir(bin)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || named[e.Name()] || e.Name() == s.Digest || time.Since(info.ModTime()) < fresh {
			continue
		}
		if err := os.RemoveAll(filepath.Join(bin, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) facts(ctx context.Context) (*host.Facts, error) {
	return facts.Collect(ctx, s.Host.View())
}

// topology answers what the network is made of.
func (s *session) topology(ctx context.Context) error {
	t, err := topology.Read(ctx, s.Host.View())
	if err != nil {
		return fmt.Errorf("read the topology: %w", err)
	}
	s.out.now(wire.Event{Topology: t})
	return nil
}

// exec runs a program for `weft exec`.
func (s *session) exec(ctx context.Context, e wire.Exec) error {
	if len(e.Argv) == 0 {
		return errors.New("no program to run")
	}
	s.Host.Memo.Forget()
	defer s.Host.Memo.Forget()
	r, err := s.Host.Commands.Run(ctx, host.Command{Argv: e.Argv})
	var exit *host.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	s.out.now(wire.Event{Exec: &wire.ExecEvent{Stdout: r.Stdout, Stderr: r.Stderr, Exit: r.Exit}})
	return nil
}
