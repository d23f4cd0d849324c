package steptest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
)

// Prefix is in the name of every object that a subject makes, so that on a real
// host nobody takes it for their own.
const Prefix = "weft-laws"

// A Subject is a kind, with all that is needed to walk it.
type Subject struct {
	Kind step.Kind

	// Machine makes the fake machine with the programs, units and databases
	// that the kind needs; fake.New where nil.
	Machine func() *fake.Machine

	// Found are the states that every case is applied from. Drift and
	// spellings are tried after each; on a real host after the first only.
	Found []Hand

	// Cases are specs worth walking. Together they manage every attribute.
	Cases []Case

	// Policy are attributes that say how a step works and are no part of the
	// state (a timeout, whether to purge): they have no drift.
	Policy []string

	// Fleeting are outputs that are known only while what they speak of is at
	// work.
	Fleeting []string

	// Forget takes away what a run left on a fake machine that the undo of a
	// later one is not to bring back: an order for the next boot, or what is
	// over with the next. Where nil, a later undo brings back even that.
	Forget func(m *fake.Machine)

	// Prepare brings a real host what the kind needs there and the fake has
	// by Machine. It runs once; what it brought it takes away by t.Cleanup.
	Prepare func(t *testing.T, h host.Host)
	// Elsewhere stands for the other hosts, where a real one is walked that no
	// controller speaks to. A fake has them by Machine ([fake.Machine.Arrive]).
	Elsewhere host.Elsewhere
	// Touches is what the kind may change of a real host.
	Touches Touches
	// Clean brings a real host back to where no case was ever applied. It
	// runs before every walk; what fails is ignored.
	Clean []host.Command
	// Borrows says why the kind is walked on an object of the real host that
	// cannot carry [Prefix] ("there is one such file a host"). Empty where
	// it can.
	Borrows string
}

// A Case is one spec.
type Case struct {
	Name string
	// Spec is the struct of the kind, or anything that encodes to the same
	// JSON. A label may be left out and is then [Prefix]; defaults are
	// filled in.
	Spec any
	// Drift changes one managed attribute each; Name is its path as a delta
	// shows it ("mode", "options.mtu_request", "state"). An attribute of
	// several may have several.
	Drift []Hand
	// Spellings write the value that is there in another way.
	Spellings []Hand
	// Irreversible is set where undo cannot bring back what was found. The
	// finding must then say so in its Cost, and Undo return
	// [step.ErrIrreversible].
	Irreversible bool
}

// A Hand is another hand than the module's: an editor, an administrator with
// the tools of the system. Both halves do the same.
type Hand struct {
	Name string
	Fake func(m *fake.Machine)
	Host []host.Command
}

// Run is a list of one command, for the Host half of a hand.
func Run(argv ...string) []host.Command { return []host.Command{{Argv: argv}} }

// Touches names what a snapshot of a real host compares.
type Touches struct {
	Files   []string       // files, links, and directories with all below
	Kernel  []string       // paths below /proc and /sys
	Units   []string       // LoadState, ActiveState, SubState and UnitFileState
	Queries []host.Command // read-only programs, by what they print
}

// Unit is the case as the engine would hand it to the kind.
func (s Subject) Unit(c Case) (step.Unit, error) {
	spec := map[string]any{}
	b, err := json.Marshal(c.Spec)
	if err == nil {
		err = json.Unmarshal(b, &spec)
	}
	if err != nil {
		return step.Unit{}, fmt.Errorf("the spec of case %s: %w", c.Name, err)
	}
	t := reflect.TypeOf(s.Kind.Spec)
	for i := range t.NumField() {
		f := step.FieldOf(t.Field(i))
		if _, given := spec[f.Name]; given || f.Name == "" {
			continue
		}
		if f.Has("label") {
			spec[f.Name] = Prefix
		} else if f.Default != "" {
			spec[f.Name] = defaultOf(f)
		}
	}
	if b, err = json.Marshal(spec); err != nil {
		return step.Unit{}, err
	}
	address := s.Kind.Name + "." + Prefix
	return step.Unit{Address: address, Kind: s.Kind.Name, Name: Prefix, Owner: Prefix + "/" + address, Spec: b}, nil
}

func defaultOf(f step.Field) any {
	if f.Type == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(f.Default)
		if err != nil {
			panic("steptest: the default of " + f.Name + " is no duration")
		}
		return d
	}
	switch f.Type.Kind() {
	case reflect.Bool:
		return f.Default == "true"
	case reflect.Int, reflect.Int64, reflect.Float64:
		n, err := strconv.ParseFloat(f.Default, 64)
		if err != nil {
			panic("steptest: the default of " + f.Name + " is no number")
		}
		return n
	}
	return f.Default
}
