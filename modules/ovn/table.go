package ovn

import (
	"context"
	"fmt"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// A table says how a kind keeps its rows in the northbound database. An attribute
// of the kind's spec is the column of its name, unless it is said otherwise here.
//
// A row is found by its name where OVN's tables have one, and else by the owner
// that weft leaves in its external_ids: a NAT rule whose address changes is still
// the step's.
type table struct {
	name  string // "Logical_Router_Port"
	title string // what messages call a row: "logical router port"
	// named says by which column the label is a row's name; empty where rows have none.
	named string
	// unique names are the database's own law (an index of its schema): it refuses a
	// second row of one, and need not be asked to look for it.
	unique bool
	// labelled rows have no name, and get one in external_ids (weft-name) for others
	// to refer to them by.
	labelled bool
	// parents own the rows; none where the table's rows stand for themselves. Of
	// several a step names one.
	parents []relative
	// natural are attributes that make two rows of one parent the same to OVN. Only
	// where there is no name.
	natural []string
	// columns are those of attributes that have another name.
	columns map[string]string
	// unset is what an attribute means whose column is empty, and always are those
	// whose column has the zero of its type then.
	unset  map[string]any
	always []string
	// means makes one spelling of all that mean the same.
	means map[string]func(string) string
	// refs are attributes that name rows which the row refers to, and holders those
	// which refer to the row: a holder without an attribute is looked at when the row
	// goes, so that undo can put it back.
	refs    map[string]relative
	holders []relative
	// mentions says which row is missing that the text of an attribute speaks of; nil
	// where none does.
	mentions func(context.Context, host.View, fields) error
	// parts are attributes that are rows themselves, which live with the row.
	parts map[string]part
	// inUse is the column whose rows of others keep the row from being removed.
	inUse string
	// seen is what the latest look for a row came upon beside it.
	seen seen
}

// seen spares a step questions: a change that follows a look asks again only by having
// its transaction wait for what was seen.
type seen struct {
	row   string              // the UUID of the row
	above map[namedRow]string // of the wanted parents, those that are the only ones of their name
}

// A namedRow is one of a relative table, by its name.
type namedRow struct {
	relative
	name string
}

// A relative is a table whose rows refer to others, or are referred to.
type relative struct {
	attribute string // of the spec, which names the rows; may be empty, see holders
	table     string
	column    string // that refers
	labelled  bool   // rows are named in external_ids, see table
}

// nameKey is the key in external_ids with the name of a row that has no column for
// one.
const nameKey = "weft-name"

// called is the condition that a row has a name.
func (r relative) called(name string) ovsdb.Condition {
	if r.labelled {
		return row.Includes("external_ids", row.Strmap(map[string]string{nameKey: name}))
	}
	return row.Is("name", name)
}

// nameOf is the name of a row.
func (r relative) nameOf(found ovsdb.Row) string {
	if r.labelled {
		return row.Map(found, "external_ids")[nameKey]
	}
	return row.String(found, "name")
}

// columns are those that say of a row what it is called.
func (r relative) columns() []string {
	if r.labelled {
		return []string{"_uuid", "external_ids"}
	}
	return []string{"_uuid", "name"}
}

// strong are the columns by which rows of a table own those of another (ovn-nb(5)):
// these live as long as they are referred to.
func strong(table string) map[string]string {
	return map[string]map[string]string{
		"Logical_Switch":      {"ports": portTable, "acls": "ACL", "qos_rules": "QoS", "forwarding_groups": "Forwarding_Group"},
		"Logical_Router":      {"ports": "Logical_Router_Port", "static_routes": "Logical_Router_Static_Route", "policies": "Logical_Router_Policy", "nat": "NAT"},
		"Logical_Router_Port": {"gateway_chassis": "Gateway_Chassis"},
		"HA_Chassis_Group":    {"ha_chassis": "HA_Chassis"},
		"Port_Group":          {"acls": "ACL"},
		"Load_Balancer":       {"health_check": "Load_Balancer_Health_Check"},
	}[table]
}

// hidden are the columns of a table that ovn-northd writes.
func hidden(table string) []string {
	if table == portTable {
		return []string{"up"}
	}
	return nil
}

// A tree is a row and what lives with it, as it was read.
type tree struct {
	Table  string     `json:"table"`
	Column string     `json:"column,omitzero"` // by which the row above owns it
	Row    row.Record `json:"row"`
	Below  []tree     `json:"below,omitzero"`
}

// rowFound is what was read of a row.
type rowFound struct {
	Tree    *tree               `json:"tree,omitzero"`
	Parent  *tree               `json:"parent,omitzero"`  // its UUID, its name and the column
	Names   map[string][]string `json:"names,omitzero"`   // of rows that it refers to, by attribute
	Holders []holder            `json:"holders,omitzero"` // that refer to it
}

// holder is a row that refers to another.
type holder struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Name   string `json:"name"`
}

// rows makes a resource of a table. S is a spec with the fields ExternalIDs, State and
// Found, and Adopt where a row has a name or the like.
type rows[S any] struct {
	*table
	owner owner
	shape shape // of S
}

func (r rows[S]) Read(ctx context.Context, v host.View, want S) (S, error) {
	have := want
	err := r.read(ctx, v, r.owner, r.shape.of(&want), r.shape.of(&have))
	return have, err
}

func (rows[S]) Diff(have, want S) []step.Delta { return step.Compare(have, want) }

func (r rows[S]) Write(ctx context.Context, h host.Host, have, want S) error {
	return r.write(ctx, h, r.owner, r.shape.of(&have), r.shape.of(&want))
}

// rowStep waits for the rows that a change needs, which a step above may bring.
type rowStep struct {
	step.Step
	needs func(context.Context, host.View) error
}

func (s rowStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f, err := s.Step.Check(ctx, v)
	if err != nil || !f.Changed() {
		return f, err
	}
	if err := s.needs(ctx, v); err != nil {
		return step.Finding{Object: f.Object}, fmt.Errorf("read %s: %w", f.Object, err)
	}
	return f, nil
}

// A part is a table whose rows are elements of an attribute, a list of structs: an
// element's attributes are columns by name.
type part struct {
	table string
	// more is what a new row has beside; of is the name of the row that it is for.
	more func(of string, element ovsdb.Row) ovsdb.Row
}

// madeRow is the step of a unit whose spec is kept in a table.
func madeRow[S any](u step.Unit, t *table, resource func(rows[S]) step.Resource[S]) (step.Step, error) {
	want, err := step.Decode[S](u)
	if err != nil {
		return nil, err
	}
	o := ownerOf(u)
	a := fieldsOf(&want)
	a.setKey("external_ids", ownerKey, o.tag)
	if t.labelled {
		a.setKey("external_ids", nameKey, a.text("name"))
	}
	inner := step.Of(t.title+" "+a.text("name"), resource(rows[S]{t, o, a.shape}), want)
	if !a.state().There() {
		return inner, nil
	}
	return rowStep{inner, func(ctx context.Context, v host.View) error { return t.needs(ctx, v, a) }}, nil
}
