package ovn

import (
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step/steptest"
)

// A handed row is one of the step's in a table, which other hands are laid on: on
// the fake by transactions, on a real host by ovn-nbctl.
type handed struct {
	kind  string
	table string
	name  string // of the row; where it is empty, it is found by its owner
}

// which is the condition that finds the row, and its notation for ovn-nbctl find.
func (h handed) which() (ovsdb.Condition, string) {
	if h.name != "" {
		return row.Is("name", h.name), "name=" + h.name
	}
	tag := lawsOwner(h.kind)
	return row.Includes("external_ids", row.Strmap(map[string]string{ownerKey: tag})), `external_ids:` + ownerKey + `="` + tag + `"`
}

// run is a command of ovn-nbctl on the row, whose UUID stands where the words have @row.
func (h handed) run(words ...string) []host.Command {
	_, find := h.which()
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + w + "'"
		if w == "@row" {
			quoted[i] = `"$row"`
		}
	}
	return steptest.Run("sh", "-ec", nbctlRow+"\novn-nbctl "+strings.Join(quoted, " "), "sh", h.table, find)
}

// nbctlRow finds the row. A hand that finds none, or two, is a mistake in the test.
const nbctlRow = `row=$(ovn-nbctl --bare --columns=_uuid find "$1" "$2")
test "$(echo "$row" | wc -w)" = 1`

// drift sets a column.
func (h handed) drift(column string, value any, text string) steptest.Hand {
	where, _ := h.which()
	return steptest.Hand{
		Name: column, Host: h.run("set", h.table, "@row", column+"="+text),
		Fake: func(m *fake.Machine) {
			changed(m.Transact(host.Northbound, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: h.table, Where: []ovsdb.Condition{where}, Row: ovsdb.Row{column: value}}))
		},
	}
}

// key sets a key of a map, or removes it where the value is empty.
func (h handed) key(column, key, value string) steptest.Hand {
	where, _ := h.which()
	set, argv := &value, h.run("set", h.table, "@row", column+`:"`+key+`"="`+value+`"`)
	if value == "" {
		set, argv = nil, h.run("remove", h.table, "@row", column, `"`+key+`"`)
	}
	return steptest.Hand{
		Name: column + "." + key, Host: argv,
		Fake: func(m *fake.Machine) {
			changed(m.Transact(host.Northbound, ovsdb.Operation{Op: ovsdb.OperationMutate, Table: h.table, Where: []ovsdb.Condition{where}, Mutations: row.SetKeys(column, map[string]*string{key: set})}))
		},
	}
}

// as is a hand under the name of an attribute.
func as(name string, h steptest.Hand) steptest.Hand {
	h.Name = name
	return h
}

func changed(results []ovsdb.OperationResult) {
	if results[0].Count != 1 {
		panic("a hand did not find the row of the laws")
	}
}

// addRow makes a row of a table whose rows stand for themselves.
func addRow(table string, r ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert(table, "", r)
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

// removed takes the row away, which no other row owns.
func (h handed) removed() steptest.Hand {
	where, _ := h.which()
	return steptest.Hand{
		Name: "state", Host: h.run("destroy", h.table, "@row"),
		Fake: func(m *fake.Machine) {
			changed(m.Transact(host.Northbound, ovsdb.Operation{Op: ovsdb.OperationDelete, Table: h.table, Where: []ovsdb.Condition{where}}))
		},
	}
}

// owned is external_ids of a row that the step made, and more.
func owned(kind string, more ...string) ovsdb.OvsMap {
	ids := map[string]string{ownerKey: lawsOwner(kind)}
	for i := 0; i < len(more); i += 2 {
		ids[more[i]] = more[i+1]
	}
	return row.Strmap(ids)
}

// ownedText is owned, for ovn-nbctl.
func ownedText(kind string, more ...string) string {
	text := `external_ids={"` + ownerKey + `"="` + lawsOwner(kind) + `"`
	for i := 0; i < len(more); i += 2 {
		text += `,"` + more[i] + `"="` + more[i+1] + `"`
	}
	return text + "}"
}

// shown is what a snapshot of a real database has of the row.
func (h handed) shown(columns ...string) []host.Command {
	_, find := h.which()
	return steptest.Run(nbctl, "--format=csv", "--no-headings", "--columns="+strings.Join(columns, ","), "find", h.table, find)
}

// clean removes the row, which no other owns.
func (h handed) clean() []host.Command {
	_, find := h.which()
	return steptest.Run("sh", "-c", `for row in $(ovn-nbctl --bare --columns=_uuid find "$1" "$2"); do ovn-nbctl destroy "$1" "$row"; done`, "sh", h.table, find)
}

// A parent is a row that owns others by a column.
type parent struct{ table, name, column string }

// addTo makes a row that a parent owns.
func (h handed) addTo(p parent, r ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		var tx row.Tx
		tx.Insert(h.table, "made", r)
		for _, on := range m.Rows(host.Northbound, p.table) {
			if row.String(on, "name") == p.name {
				tx.Mutate(p.table, row.ID(on), row.AddRefs(p.column, "made"))
			}
		}
		m.Transact(host.Northbound, tx.Operations()...)
	}
}

// moved takes the row from a parent and gives it to others, of which there may be none.
func (h handed) moved(name string, from parent, to ...parent) steptest.Hand {
	where, _ := h.which()
	words := []string{"remove", from.table, from.name, from.column, "@row"}
	for _, p := range to {
		words = append(words, "--", "add", p.table, p.name, p.column, "@row")
	}
	return steptest.Hand{Name: name, Host: h.run(words...), Fake: func(m *fake.Machine) {
		found := m.Transact(host.Northbound, row.Select(h.table, nil, where))[0].Rows
		var tx row.Tx
		change := func(p parent, by func(string, ...string) ovsdb.Mutation) {
			for _, on := range m.Rows(host.Northbound, p.table) {
				if row.String(on, "name") == p.name {
					tx.Mutate(p.table, row.ID(on), by(p.column, row.ID(found[0])))
				}
			}
		}
		change(from, row.RemoveRefs)
		for _, p := range to {
			change(p, row.AddRefs)
		}
		m.Transact(host.Northbound, tx.Operations()...)
	}}
}
