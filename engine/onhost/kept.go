package onhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"weft/engine/onhost/journal"
)

// forgetKept removes what is kept in files of its own for undos that will never
// come: its name, which is its sha256, is in what no change in force found. Where
// a journal cannot be read nothing is removed.
func (s *session) forgetKept(ctx context.Context) error {
	if s.Host.Kept == "" {
		return nil
	}
	names, err := s.Host.Files.List(ctx, s.Host.Kept)
	if errors.Is(err, fs.ErrNotExist) || len(names) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	wanted, err := s.keptFor(names)
	if err != nil {
		s.logf("what is kept for undos stays: %v", err)
		return nil
	}
	for _, name := range names {
		if wanted[name] {
			continue
		}
		if err := s.Host.Files.Remove(ctx, path.Join(s.Host.Kept, name)); err != nil {
			return err
		}
	}
	return nil
}

// keptFor says which of the kept files some undo wants.
func (s *session) keptFor(names []string) (map[string]bool, error) {
	runs, err := s.store.Names()
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, run := range runs {
		j, err := s.store.Load(run)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && j.Version != journal.Version {
			err = fmt.Errorf("run %s has a journal of another age", run)
		}
		if err != nil {
			return nil, err
		}
		for _, rec := range j.Records {
			for _, name := range names {
				if rec.InForce() && bytes.Contains(rec.Finding.Before, []byte(name)) {
					wanted[name] = true
				}
			}
		}
	}
	return wanted, nil
}
