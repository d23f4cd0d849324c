package testlab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// remains says whether anything of the lab is on this machine.
func (l *Lab) remains() bool {
	if _, err := os.Stat(l.dir()); err == nil {
		return true
	}
	if names, err := labNetns(l.spec.Name); err == nil && len(names) > 0 {
		return true
	}
	groups, err := openCgroups()
	if err != nil {
		return false
	}
	defer groups.close()
	return groups.at(l.spec.Name).exists()
}

// downTime is how long killed processes may take to end.
const downTime = 30 * time.Second

// Down takes the lab away: processes, cgroups, namespaces, links, files. It goes by names alone, so it also clears up
// after a crash; what it cannot take away it names, and takes the rest. Where there is no lab it does nothing.
func (l *Lab) Down(ctx context.Context) error {
	return l.locked(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, downTime)
		defer cancel()
		if err := l.takeAway(ctx); err != nil {
			return fmt.Errorf("take lab %s away: %w", l.spec.Name, err)
		}
		return nil
	})
}

func (l *Lab) takeAway(ctx context.Context) error {
	groups, err := openCgroups()
	if err != nil {
		return err
	}
	defer groups.close()
	// The processes first: a supervisor that still lived would make anew what we remove.
	if err := errors.Join(groups.at(l.spec.Name).end(ctx), groups.tidy()); err != nil {
		return err
	}
	mistakes := []error{removeMachineLinks(l.spec.Name)}
	names, err := labNetns(l.spec.Name)
	mistakes = append(mistakes, err)
	for _, name := range names {
		mistakes = append(mistakes, removeNetns(name))
	}
	user := cache{dir: l.options.Cache}.user(l.recordPath())
	if err := os.Remove(user); err != nil && !errors.Is(err, fs.ErrNotExist) {
		mistakes = append(mistakes, err)
	}
	return errors.Join(append(mistakes, os.RemoveAll(l.dir()))...)
}
