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
	"slices"
	"sync"
	"time"

	"weft/engine/host"
)

// chaos stops the runner at an effect, so that a test can hurt it there. It is
// in builds with the tag chaos alone, and does nothing where the file "chaos"
// is not in the runtime directory. That file is an array of [chaosOrder]. The
// first that matches an effect becomes the file chaos.reached, the others are
// removed, and the runner waits until the file chaos.go is there (which it
// removes) or it is killed.
type chaos struct{ choosing sync.Mutex }

// A chaosOrder says where to stop. What is empty matches all.
type chaosOrder struct {
	Stage  string `json:"stage,omitempty"` // "apply", "undo" or "need"
	Kind   string `json:"kind,omitempty"`  // of the step, or the verb of the need
	Door   string `json:"door,omitempty"`
	Verb   string `json:"verb,omitempty"`
	Object string `json:"object,omitempty"` // a pattern as path.Match has it
	When   string `json:"when,omitempty"`   // "before" (where empty) or "after" it happened
	Record bool   `json:"record,omitempty"` // stop nowhere: add a line of JSON for every effect to chaos.effects

	At int64 `json:"at,omitempty"` // of a line there: Unix time in nanoseconds
}

func (c *chaos) around(dir, stage, kind string, e host.Effect, act func() error) error {
	order, err := c.choose(dir, stage, kind, e)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	switch {
	case order == nil:
		return act()
	case order.Record:
		if err := recordChaos(filepath.Join(dir, "chaos.effects"), stage, kind, e); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
		return act()
	case order.When == "after":
		return errors.Join(act(), standStill(dir, *order))
	}
	return errors.Join(standStill(dir, *order), act())
}

// choose is the order that matches an effect; nil where none does. One that stops
// somewhere is chosen once, though effects may be under way at once.
func (c *chaos) choose(dir, stage, kind string, e host.Effect) (*chaosOrder, error) {
	c.choosing.Lock()
	defer c.choosing.Unlock()
	path := filepath.Join(dir, "chaos")
	orders, err := readChaosOrders(path)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(orders, func(o chaosOrder) bool { return o.matches(stage, kind, e) })
	if at < 0 {
		return nil, nil
	}
	if orders[at].Record {
		return &orders[at], nil
	}
	return &orders[at], os.Remove(path)
}

func (o chaosOrder) matches(stage, kind string, e host.Effect) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	object, _ := path.Match(o.Object, e.Object)
	return is(o.Stage, stage) && is(o.Kind, kind) && is(o.Door, e.Door) && is(o.Verb, e.Verb) && (o.Object == "" || object)
}

// readChaosOrders returns none where there is no file.
func readChaosOrders(path string) (orders []chaosOrder, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &orders); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return orders, nil
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

// standStill says where the runner is, and waits.
func standStill(dir string, order chaosOrder) error {
	text, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	for _, step := range []func() error{
		func() error { return os.WriteFile(filepath.Join(dir, "chaos.next"), text, 0o600) },
		func() error { return os.Rename(filepath.Join(dir, "chaos.next"), filepath.Join(dir, "chaos.reached")) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
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
