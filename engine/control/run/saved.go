package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"weft/engine/wire"
)

// savedFormat marks a file as a saved plan.
const savedFormat = "weft plan 1"

// Saved is a plan in a file: what was reviewed, and all that it takes to do
// exactly that. It holds the sources instead of their outcome, so that secrets
// are asked for again and never written.
type Saved struct {
	Format      string            `json:"format"`
	Build       string            `json:"build"`
	Playbook    string            `json:"playbook"`
	Inventories []string          `json:"inventories"`
	Files       map[string][]byte `json:"files"`                 // every file that was read; those of variables without the sensitive ones
	Vars        []string          `json:"vars"`                  // name=value, without the sensitive ones
	Environment map[string]string `json:"environment,omitempty"` // variables from there, the same
	VarFiles    []string          `json:"var_files"`
	Limit       []string          `json:"limit"`
	Tags        []string          `json:"tags"`
	SkipTags    []string          `json:"skip_tags"`
	// Steps are what the plan found, by host, in order.
	Steps map[string][]SavedStep `json:"steps"`
}

// SavedStep identifies a step's attributes and what it would change.
type SavedStep struct {
	Address string         `json:"address"`
	State   wire.UnitState `json:"state"`
	Spec    string         `json:"spec"`
	Changes string         `json:"changes,omitempty"`
}

// Save fills in what a plan pass found. It is refused where a host was not
// planned, or where it is not known which steps there will be.
func (s *Saved) Save(planned map[string][]Planned, failures int) error {
	if failures > 0 {
		return errors.New("a plan with failed or unreachable hosts cannot be saved; leave them out with --limit")
	}
	s.Format = savedFormat
	s.Steps = map[string][]SavedStep{}
	for host, steps := range planned {
		for _, p := range steps {
			if p.Undecided {
				return fmt.Errorf("%s on %s cannot be saved: whether there is such a step is only known after apply", p.Address, host)
			}
			s.Steps[host] = append(s.Steps[host], savedStep(p))
		}
	}
	return nil
}

func savedStep(p Planned) SavedStep {
	out := SavedStep{Address: p.Address, State: p.State, Spec: p.Spec}
	if p.Finding != nil {
		out.Changes = p.Finding.Digest()
	}
	return out
}

// Encode is the plan as a file.
func (s *Saved) Encode() []byte {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		panic("run: a plan that is no JSON: " + err.Error())
	}
	return append(b, '\n')
}

// ErrNoPlan says that a file is not a saved plan, and so perhaps a playbook.
var ErrNoPlan = errors.New("not a saved plan")

// DecodeSaved reads a saved plan of the same build of weft. A file that is not
// JSON at all is [ErrNoPlan].
func DecodeSaved(b []byte, build string) (*Saved, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		return nil, ErrNoPlan // no playbook begins like that
	}
	var s Saved
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("the saved plan is broken (%w): plan again", err)
	}
	switch {
	case s.Format != savedFormat:
		return nil, errors.New("it is JSON, but not a plan that this weft saved")
	case s.Build != build:
		return nil, fmt.Errorf("the plan was saved by weft %s and this is weft %s: plan again", s.Build, build)
	}
	return &s, nil
}

// Stale compares a fresh plan pass with the saved one, and says what is another
// than was reviewed; empty where nothing is. Hosts that were not reached are not
// judged: nothing is changed there either.
func (s *Saved) Stale(planned map[string][]Planned) []string {
	var out []string
	for host, steps := range planned {
		var now []SavedStep
		for _, p := range steps {
			now = append(now, savedStep(p))
		}
		out = append(out, stale(host, s.Steps[host], now)...)
	}
	slices.Sort(out)
	return out
}

func stale(host string, saved, now []SavedStep) []string {
	if len(saved) != len(now) {
		return []string{fmt.Sprintf("%s has %d steps, %d were reviewed", host, len(now), len(saved))}
	}
	var out []string
	for i := range now {
		switch {
		case now[i].Address != saved[i].Address || now[i].Spec != saved[i].Spec:
			out = append(out, fmt.Sprintf("%s on %s has other attributes than were reviewed", now[i].Address, host))
		case now[i] != saved[i]:
			out = append(out, fmt.Sprintf("%s on %s would change something else than was reviewed", now[i].Address, host))
		}
	}
	return out
}
