//go:build chaos

package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"weft/engine/host"
)

// chaos stops the runner at an effect, so that a test can hurt it there. It is
// in builds with the tag chaos alone, and does nothing where the file "chaos"
// is not in the runtime directory. That file is a [chaosOrder]. Where its
// effect comes, the order is renamed to chaos.reached, and the runner waits
// until the file chaos.go is there (which it removes) or it is killed.
type chaos struct{ seen int } // matching effects since the last stop

// A chaosOrder says where to stop. What is empty matches all.
type chaosOrder struct {
	Stage  string `json:"stage,omitempty"` // "apply", "undo" or "need"
	Kind   string `json:"kind,omitempty"`  // of the step, or the verb of the need
	Door   string `json:"door,omitempty"`
	Verb   string `json:"verb,omitempty"`
	Object string `json:"object,omitempty"` // a pattern as path.Match has it
	Nth    int    `json:"nth,omitempty"`    // of the matching effects of a session; the first where zero
	When   string `json:"when,omitempty"`   // "before" (where empty) or "after" it happened
	Record bool   `json:"record,omitempty"` // stop nowhere: add a line of JSON for every effect to chaos.effects

	At int64 `json:"at,omitempty"` // of a line there: Unix time in nanoseconds
}

func (c *chaos) around(dir, stage, kind string, e host.Effect, act func() error) error {
	order, err := readChaosOrder(filepath.Join(dir, "chaos"))
	switch {
	case err != nil:
		return fmt.Errorf("chaos: %w", err)
	case order == nil:
		return act()
	case order.Record:
		if err := recordChaos(filepath.Join(dir, "chaos.effects"), stage, kind, e); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
		return act()
	case !order.matches(stage, kind, e):
		return act()
	}
	if c.seen++; c.seen != max(order.Nth, 1) {
		return act()
	}
	c.seen = 0
	if order.When == "after" {
		return errors.Join(act(), standStill(dir))
	}
	return errors.Join(standStill(dir), act())
}

func (o chaosOrder) matches(stage, kind string, e host.Effect) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	object, _ := path.Match(o.Object, e.Object)
	return is(o.Stage, stage) && is(o.Kind, kind) && is(o.Door, e.Door) && is(o.Verb, e.Verb) && (o.Object == "" || object)
}

// readChaosOrder returns nil where there is no order.
func readChaosOrder(path string) (*chaosOrder, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := &chaosOrder{}
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// recordChaos notes one effect.
func recordChaos(path, stage, kind string, e host.Effect) error {
	line, err := json.Marshal(chaosOrder{Stage: stage, Kind: kind, Door: e.Door, Verb: e.Verb, Object: e.Object, At: time.Now().UnixNano()})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// standStill says that the runner is there, and waits.
func standStill(dir string) error {
	if err := os.Rename(filepath.Join(dir, "chaos"), filepath.Join(dir, "chaos.reached")); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	for {
		err := os.Remove(filepath.Join(dir, "chaos.go"))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("chaos: %w", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
