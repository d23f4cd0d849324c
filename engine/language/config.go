package language

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"weft/engine/step"
)

// Config is what the files say, before any variable has a value. It does not
// change; its methods are safe for concurrent use.
type Config struct {
	sources   Sources
	files     *fileSet
	kinds     map[string]*kind
	functions *functions
	facts     *outputsShape

	sites     []*hclsyntax.Attribute
	variables []*variable
	locals    []*local
	hosts     []*hostBlock
	groups    []*groupBlock
	labs      []*hclsyntax.Block
	plays     []*playBlock
	lists     map[string]*list

	// broken are the top words of which a block has a mistake of syntax:
	// names that are not found may stand there.
	broken map[string]bool
	// checked are the names of all expressions.
	checked []check
	// slots counts the nodes whose value is the same for all hosts.
	slots int
	// named is what all the steps together ask of other hosts.
	factNames map[string]bool
	farSteps  map[string]stepName
}

// kind is a step.Kind with its types described.
type kind struct {
	step.Kind
	spec      *shape
	outputs   *outputsShape
	validator bool
	early     bool // a step.EarlyValidator
}

type variable struct {
	name        string
	at          hcl.Range
	typ         cty.Type
	typed       bool
	optional    *typeexpr.Defaults
	fallback    hclsyntax.Expression // nil for none
	sensitive   bool
	validations []validation
	broken      bool // by a mistake told already; its value is unknown
}

type validation struct {
	condition, message hclsyntax.Expression
}

type local struct {
	name string
	at   hcl.Range
	expr hclsyntax.Expression
	used *names
}

type hostBlock struct {
	name string
	at   hcl.Range
	body *hclsyntax.Body // nil for a host of a list "a,b"
}

type groupBlock struct {
	name string
	at   hcl.Range
	body *hclsyntax.Body
}

type playBlock struct {
	name   string
	at     hcl.Range
	body   *hclsyntax.Body
	broken bool // by a mistake of syntax
	steps  []*stepDef
	named  *playNames
}

// list is a `steps` block.
type list struct {
	name   string
	at     hcl.Range
	body   *hclsyntax.Body
	broken bool // by a mistake of syntax
	params []*param
}

type param struct {
	name     string
	at       hcl.Range
	typ      cty.Type
	optional *typeexpr.Defaults
	fallback hclsyntax.Expression
}

// use is one use of a list in a play, or in another list.
type use struct {
	list   *list
	name   string
	at     hcl.Range
	outer  *use // nil in a play
	args   map[string]*argument
	when   *condition
	tags   hclsyntax.Expression
	prefix string   // of the names of its steps: "base/"
	varies variance // of its arguments
}

type argument struct {
	expr hclsyntax.Expression
	used *names
}

// condition is a `when`, with where it is evaluated.
type condition struct {
	expr hclsyntax.Expression
	used *names
}

// stepDef is a step of a play before it is evaluated.
type stepDef struct {
	kind    *kind
	address string // KIND.NAME, the uses before the name
	name    string
	label   string // as written in the step's block
	at      hcl.Range
	nameAt  hcl.Range
	use     *use
	when    *condition
	forEach *condition
	tags    []hclsyntax.Expression
	needs   *node
	guard   *condition
	limit   *condition
	nodes   []*node
	used    []*names
	varies  variance // of all that is in it
	told    bool     // it has a mistake that was told at load: it makes no unit
	slot    int      // for the whole unit, where nothing does
	named   bool     // another step names its outputs
	index   int      // in the play
}
