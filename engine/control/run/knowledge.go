package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"weft/engine/host"
	"weft/engine/language"
)

// knowledge is what expressions can know of hosts: facts, frozen for the run,
// and outputs as they arrive. It grows and never changes its mind: of outputs that
// turn out to be others it knows nothing more.
type knowledge struct {
	mu      sync.RWMutex
	facts   map[string]*host.Facts
	outputs map[string]map[string]json.RawMessage
	lost    map[string]bool // hosts that will say nothing more
	version int             // grows with every new fact or output, and with every host that is lost
	// memos, by play, keep what the evaluations of several hosts have in
	// common. They are of one version.
	memos       map[string]*language.Memo
	memoVersion int
}

func newKnowledge() *knowledge {
	return &knowledge{facts: map[string]*host.Facts{}, outputs: map[string]map[string]json.RawMessage{}, lost: map[string]bool{}}
}

// view is what can be known now, for the evaluation of a play.
func (k *knowledge) view(play string) language.Known {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.memos == nil || k.memoVersion != k.version {
		k.memos, k.memoVersion = map[string]*language.Memo{}, k.version
	}
	if k.memos[play] == nil {
		k.memos[play] = new(language.Memo)
	}
	return language.Known{
		Memo: k.memos[play],
		Facts: func(host string) *host.Facts {
			k.mu.RLock()
			defer k.mu.RUnlock()
			return k.facts[host]
		},
		Outputs: func(host, address string) json.RawMessage {
			k.mu.RLock()
			defer k.mu.RUnlock()
			return k.outputs[host][address]
		},
		Lost: func(host string) bool {
			k.mu.RLock()
			defer k.mu.RUnlock()
			return k.lost[host]
		},
	}
}

func (k *knowledge) now() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.version
}

func (k *knowledge) setFacts(host string, f *host.Facts) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.facts[host] = f
	k.version++
}

// lose notes that a host will say nothing more.
func (k *knowledge) lose(host string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.lost[host] {
		k.lost[host] = true
		k.version++
	}
}

// setOutputs adds a step's outputs. One that was known and is another now is an
// error: steps were planned with the old value. Neither value is known from then
// on, so that what other hosts have yet to do is not done by the old one.
func (k *knowledge) setOutputs(host, address string, outputs json.RawMessage) error {
	if len(outputs) == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.outputs[host][address]
	if bytes.Equal(old, outputs) {
		return nil
	}
	var before, after map[string]json.RawMessage // null, of a step left out, has no keys
	if err := json.Unmarshal(outputs, &after); err != nil {
		return fmt.Errorf("the outputs of %s are no object: %w", address, err)
	}
	if old != nil {
		_ = json.Unmarshal(old, &before) // it came in by this door
	}
	for name, was := range before {
		if is, ok := after[name]; ok && !bytes.Equal(was, is) {
			delete(k.outputs[host], address)
			k.version++
			return fmt.Errorf("%s of %s was planned as %s and is %s now: plan again", name, address, was, is)
		}
	}
	if k.outputs[host] == nil {
		k.outputs[host] = map[string]json.RawMessage{}
	}
	k.outputs[host][address] = outputs
	k.version++
	return nil
}
