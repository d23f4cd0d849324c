package netconf

import (
	"context"

	"weft/engine/host"
)

// Wish is what a step wants of the files that keep a part.
type Wish struct {
	Keep bool   // the part is in the files; else nothing of it is
	By   Family // detected where empty
	// Files are those on record, which an undo brings back. Of the zero State
	// the part says what they are to be, and nil is no wish at all.
	Files *State
}

// Look reads the files of a part. Owner is the daemon that configures its
// device, as [Owner] has it.
func (w Wish) Look(ctx context.Context, v host.View, p Part, owner string) (*State, error) {
	if w.Files == nil {
		return nil, nil
	}
	if w.Files.Family != "" {
		s, err := LookBack(ctx, v, *w.Files)
		return &s, err
	}
	family := w.By
	if family == "" {
		var err error
		if family, err = detect(ctx, v, p, owner); err != nil {
			return nil, err
		}
	}
	change := family.Drop
	if w.Keep {
		change = family.Keep
		if err := family.Readable(ctx, v, p); err != nil {
			return nil, err
		}
	}
	s, err := Look(ctx, v, family, func(f Files) (Goal, error) { return change(f, p) })
	return &s, err
}

// Write makes the files of a part what they are to be, or brings back those on
// record. It returns those that were written.
func (w Wish) Write(ctx context.Context, h host.Host, p Part, owner string) (written []string, err error) {
	switch {
	case w.Files == nil:
		return nil, nil
	case w.Files.Family != "":
		return w.Files.Back(ctx, h)
	}
	s, err := w.Look(ctx, h.View(), p, owner)
	if err != nil {
		return nil, err
	}
	return s.Apply(ctx, h)
}

// Lines are the changes that are left to do of s, as a plan shows them: what
// goes and what comes, each line with its file.
func (s *State) Lines(want *State) (gone, come []string) {
	if s == nil || want == nil {
		return nil, nil
	}
	for _, c := range s.Changes(*want) {
		for _, l := range c.Gone {
			gone = append(gone, c.File+": "+Shown(c.File, l))
		}
		for _, l := range c.New {
			come = append(come, c.File+": "+Shown(c.File, l))
		}
		if len(c.Gone)+len(c.New) == 0 {
			come = append(come, c.File)
		}
	}
	return gone, come
}

// detect says what keeps a part. Of Open vSwitch that is ifupdown where it does
// so already, and NetworkManager only where that knows of it.
func detect(ctx context.Context, v host.View, p Part, owner string) (Family, error) {
	if !isOVS(p) {
		return Detect(ctx, v, p.Of(), owner)
	}
	for _, file := range ovsFiles(p) {
		if there, err := exists(ctx, v, file); err != nil || there {
			return Ifupdown, err
		}
	}
	if owner == NetworkManagerDaemon {
		knows, err := knowsOVS(ctx, v)
		if err != nil {
			return "", err
		}
		if !knows {
			owner = ""
		}
	}
	return Detect(ctx, v, p.Of(), owner)
}
