package fake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// A schema describes the tables of a database by name.
type schema map[string]*table

type table struct {
	name    string
	root    bool // rows live without being referred to
	maxRows int  // 0 for any number
	indexes [][]string
	columns []*column // sorted by name
}

func (t *table) column(name string) *column {
	i := slices.IndexFunc(t.columns, func(c *column) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return t.columns[i]
}

type column struct {
	name      string
	key       base
	value     *base // of a map
	min, max  int
	immutable bool
	// daemon marks what a daemon writes for itself: no part of the state
	// that snapshots show.
	daemon bool
}

const unlimited = 1 << 30

// base is the type of an atom.
type base struct {
	kind   string // "string", "integer", "real", "boolean", "uuid"
	enum   []string
	lo, hi int // of an integer, where bounded
	ranged bool
	ref    string // the table that a uuid refers to
	weak   bool
}

// parseSchema reads a description:
//
//	table Port                    rows that nobody refers to vanish
//	root table Bridge             rows live by themselves
//	root table NB_Global max 1
//	index name                    unique, over one or more columns
//	name string immutable
//	tag optional integer 0..4095
//	mode optional string access|trunk
//	interfaces some strong:Interface
//	options map string string
//	ofport optional integer daemon
//
// The shapes are optional, set, some (a set that is never empty) and map; the
// types string, integer, real, boolean, uuid, strong:TABLE and weak:TABLE.
func parseSchema(text string) schema {
	s := schema{}
	var t *table
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "table" || words[0] == "root" && words[1] == "table":
			t = parseTable(words)
			s[t.name] = t
		case words[0] == "index":
			t.indexes = append(t.indexes, words[1:])
		default:
			t.columns = append(t.columns, parseColumn(words))
		}
	}
	for _, t := range s {
		t.columns = append(t.columns, &column{name: "_uuid", key: base{kind: "uuid"}, min: 1, max: 1, immutable: true})
		slices.SortFunc(t.columns, func(a, b *column) int { return strings.Compare(a.name, b.name) })
	}
	return s
}

func parseTable(words []string) *table {
	t := &table{root: words[0] == "root"}
	if t.root {
		words = words[1:]
	}
	t.name = words[1]
	if len(words) == 4 && words[2] == "max" {
		t.maxRows = number(words[3])
	}
	return t
}

func parseColumn(words []string) *column {
	c := &column{name: words[0], min: 1, max: 1}
	rest := words[1:]
	switch rest[0] {
	case "optional":
		c.min, rest = 0, rest[1:]
	case "set":
		c.min, c.max, rest = 0, unlimited, rest[1:]
	case "some":
		c.max, rest = unlimited, rest[1:]
	case "map":
		value := parseBase(rest[2])
		c.min, c.max, c.value = 0, unlimited, &value
	}
	if c.value != nil {
		c.key, rest = parseBase(rest[1]), rest[3:]
	} else {
		c.key, rest = parseBase(rest[0]), rest[1:]
	}
	for _, word := range rest {
		lo, hi, bounds := strings.Cut(word, "..")
		switch {
		case word == "immutable":
			c.immutable = true
		case word == "daemon":
			c.daemon = true
		case bounds:
			c.key.lo, c.key.hi, c.key.ranged = number(lo), number(hi), true
		default:
			c.key.enum = strings.Split(word, "|")
		}
	}
	return c
}

func parseBase(word string) base {
	refType, ref, isRef := strings.Cut(word, ":")
	switch {
	case isRef && (refType == "strong" || refType == "weak"):
		return base{kind: "uuid", ref: ref, weak: refType == "weak"}
	case slices.Contains([]string{"string", "integer", "real", "boolean", "uuid"}, word):
		return base{kind: word}
	}
	panic("fake: no type of a column: " + word)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	must(err)
	return n
}

func schemaOf(db host.Database) schema {
	switch db {
	case host.OpenVSwitch:
		return parseSchema(openVSwitchTables)
	case host.Northbound:
		return parseSchema(northboundTables)
	case host.Southbound:
		return parseSchema(southboundTables)
	}
	panic(fmt.Sprintf("fake: there is no schema for a database %q", db))
}
