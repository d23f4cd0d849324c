package step

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// A Kind is what a step can be: the word after `step` in a playbook.
type Kind struct {
	Name    string // "ovs_bridge"
	Summary string // one sentence for lists
	Doc     string // what a user must know beyond the attributes; Markdown paragraphs
	Spec    any    // the zero struct of its attributes
	Outputs any    // the zero struct of its outputs, or nil
	Target  Target
	// Abreast says that steps of one for_each have nothing to do with one another, so that
	// several may be under way at once: none reads or writes what another makes, none
	// remembers an answer ([host.Recall]), and the machine refuses where two make the same.
	Abreast bool
	// Example is a step as a playbook would hold it.
	Example string

	// Exactly one of these is set. A unit's Spec is decoded by [Decode].
	Make  func(Unit) (Step, error)
	Probe func(Unit) (Prober, error)
}

// Target is what a kind writes to.
type Target string

// The targets. A row of a shared database is written by one host of a play.
const (
	ThisHost         Target = ""
	SharedNorthbound Target = "OVN northbound database"
	SharedSouthbound Target = "OVN southbound database"
)

// Unit is a step as plain data: what the language makes and the runner does.
type Unit struct {
	// Address is KIND.NAME, or KIND.NAME["KEY"] under for_each; unique on a
	// host across all plays.
	Address string `json:"address"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	// Owner tags what a shared database holds of this step: the
	// inventory's site and the address.
	Owner string `json:"owner,omitzero"`
	// Spec is the object of the attributes that are known.
	Spec json.RawMessage `json:"spec"`
	// Unknown are the paths of attributes that wait for an output.
	Unknown []string `json:"unknown,omitzero"`
	// Secret are the paths of sensitive attributes: "password",
	// "options.key".
	Secret []string `json:"secret,omitzero"`
	// Parts are the sensitive values that those attributes are made of, where
	// they are not the whole of one: a tool may print the password alone that
	// stood in a configuration. They are said aloud nowhere.
	Parts []string `json:"parts,omitzero"`
	// Triggers are the addresses of the steps that this step's attributes
	// tagged "trigger" name.
	Triggers []string `json:"triggers,omitzero"`
	// AfterNeeds are systemd units, or [Machine], whose open needs are settled
	// before this step is checked.
	AfterNeeds []string `json:"after_needs,omitzero"`
	// Guard asks for a guard before this step's first effect: unless it is
	// confirmed over a new connection in this time, the host takes the play
	// back by itself. Zero asks for none.
	Guard time.Duration `json:"guard,omitzero"`
	// Limit is the longest that the step may take, from its check to its
	// verification, and again its undo; zero is no limit.
	Limit time.Duration `json:"limit,omitzero"`
	// Reboot is what becomes of a reboot that the change needs.
	Reboot RebootPolicy `json:"reboot,omitzero"`
}

// A Problem is a mistake in a spec that can be seen without a machine.
type Problem struct {
	Path    string // the attribute: "options.peer"
	Message string // "is not an Ethernet address"
	Hint    string // "write it as 02:00:00:00:00:01"; may be empty
}

// A Validator is a spec that knows more about itself than its types say. The
// language asks it once all attributes are known, on a pointer to the decoded
// spec.
type Validator interface {
	Validate() []Problem
}

// An EarlyValidator is a Validator that judges each attribute by itself. It is
// asked also where some are not known yet; of what it says then, only what is
// about those that are known counts.
type EarlyValidator interface {
	Validator
	Early()
}

// Decode reads a unit's spec into the module's struct. A field that the struct
// does not have is an error: front end and runner are always of one build.
func Decode[S any](u Unit) (S, error) {
	var s S
	d := json.NewDecoder(bytes.NewReader(u.Spec))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("decode the spec of %s: %w", u.Address, err)
	}
	return s, nil
}

// Table is all kinds by name.
type Table map[string]Kind

// NewTable makes a table. Two kinds of one name, or a kind that is neither a
// step nor a probe, are mistakes in the program and panic.
func NewTable(families ...[]Kind) Table {
	t := Table{}
	for _, family := range families {
		for _, k := range family {
			if _, twice := t[k.Name]; twice || (k.Make == nil) == (k.Probe == nil) {
				panic("step: kind " + k.Name + " is there twice, or has not exactly one of Make and Probe")
			}
			t[k.Name] = k
		}
	}
	return t
}
