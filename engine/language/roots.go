package language

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
)

// mark is the type of the marks that values carry.
type mark string

const (
	// sensitive values are in no message, and their paths are in Unit.Secret.
	sensitive mark = "sensitive"
	// asAbsent marks the null that means "managed to be absent".
	asAbsent mark = "absent"
)

// absentValue is what the root variable `absent` stands for.
func absentValue() cty.Value { return cty.NullVal(cty.DynamicPseudoType).Mark(asAbsent) }

// isAbsent says whether v is `absent`. The mark alone does not tell: a
// conditional passes on the marks of both its arms.
func isAbsent(v cty.Value) bool { return v.IsNull() && v.HasMark(asAbsent) }

// errUnknown is how [LeaveUnknown] answers.
var errUnknown = errors.New("left unknown")

// LeaveUnknown is an Inputs.Ask that leaves variables without a value unknown,
// for work that is done without the operator's values.
func LeaveUnknown(string, bool) (string, error) { return "", errUnknown }

// The roots of expressions.
const (
	rootVar    = "var"
	rootLocal  = "local"
	rootHost   = "host"
	rootHosts  = "hosts"
	rootRole   = "role"
	rootStep   = "step"
	rootEach   = "each"
	rootParam  = "param"
	rootAbsent = "absent"
)
