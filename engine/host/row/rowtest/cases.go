package rowtest

import (
	"errors"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

func cases() []contractCase {
	return slices.Concat(rowCases(), refusalCases(), mutationCases(), integrityCases(), guardCases())
}

func rowCases() []contractCase {
	return []contractCase{
		{"a named row may be used before its insert", func(p player) {
			root := p.rows("Open_vSwitch", nil)[0]
			p.must(func(tx *row.Tx) {
				tx.Mutate("Open_vSwitch", row.ID(root), row.AddRefs("bridges", "later"))
				tx.Insert("Bridge", "later", ovsdb.Row{"name": "br0"})
			})
			if p.names("Bridge") != "br0" {
				p.t.Error("no br0")
			}
		}},
		{"an insert fills in defaults, and reads back typed", func(p player) {
			_, port := p.bridge("br0")
			p.must(func(tx *row.Tx) {
				tx.Update("Port", port, ovsdb.Row{"tag": row.Optional(5), "trunks": row.Set(7), "external_ids": row.Strmap(map[string]string{"a": "b"})})
			})
			r := p.rows("Port", nil)[0]
			p.want(r, "tag", 5) // a set of one is the element
			p.want(r, "trunks", 7)
			p.want(r, "cvlans", ovsdb.OvsSet{GoSet: []any{}})
			p.want(r, "protected", false)
			p.want(r, "bond_updelay", 0)
			p.want(r, "name", "br0")
			p.want(r, "external_ids", ovsdb.OvsMap{GoMap: map[any]any{"a": "b"}})
			if n := len(row.Refs(r, "interfaces")); n != 1 || row.ID(r) != port {
				p.t.Errorf("%d interfaces, port %s", n, row.ID(r))
			}
			p.must(func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"tag": row.Empty(), "trunks": row.Set(9, 3)}) })
			r = p.rows("Port", []string{"tag", "trunks"})[0]
			p.want(r, "tag", ovsdb.OvsSet{GoSet: []any{}})
			if got := row.Ints(r, "trunks"); !slices.Equal(got, []int{3, 9}) {
				p.t.Errorf("trunks %v", got)
			}
		}},
		{"conditions", func(p player) {
			p.bridge("br0")
			_, port := p.bridge("br1")
			p.must(func(tx *row.Tx) {
				tx.Update("Port", port, ovsdb.Row{"trunks": row.Set(1, 2, 3), "tag": row.Optional(9), "external_ids": row.Strmap(map[string]string{"a": "b", "c": "d"})})
			})
			cond := func(column, function string, value any) ovsdb.Condition {
				return ovsdb.NewCondition(column, ovsdb.ConditionFunction(function), value)
			}
			for _, c := range []struct {
				where ovsdb.Condition
				want  string
			}{
				{cond("trunks", "includes", row.Set(1, 2)), "br1"},
				{cond("trunks", "includes", row.Set(1, 4)), ""},
				{cond("trunks", "includes", row.Empty()), "br0 br1"},
				{cond("trunks", "excludes", row.Set(1, 4)), "br0"},
				{cond("trunks", "excludes", row.Set(4)), "br0 br1"},
				{cond("trunks", "==", row.Empty()), "br0"},
				{cond("external_ids", "includes", row.Strmap(map[string]string{"a": "b"})), "br1"},
				{cond("external_ids", "includes", row.Strmap(map[string]string{"a": "x"})), ""},
				{cond("external_ids", "excludes", row.Strmap(map[string]string{"a": "x"})), "br0 br1"},
				{cond("tag", ">", 8), "br1"},
				{cond("tag", "<=", 9), "br1"},
				{cond("tag", "!=", row.Optional(9)), "br0"},
				{cond("name", "!=", "br0"), "br1"},
				{row.IsRow(port), "br1"},
			} {
				if got := p.names("Port", c.where); got != c.want {
					p.t.Errorf("%v: %q, want %q", c.where, got, c.want)
				}
			}
		}},
	}
}

func refusalCases() []contractCase {
	return []contractCase{
		{"what is refused by itself", func(p player) {
			_, port := p.bridge("br0")
			p.refuse("constraint violation", "update", "Port", func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"tag": 4096}) })
			p.refuse("constraint violation", "update", "Port", func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"vlan_mode": "sideways"}) })
			p.refuse("syntax error", "update", "Port", func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"tag": "5"}) })
			p.refuse("syntax error", "update", "Port", func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"tag": row.Set(5, 6)}) })
			p.refuse("constraint violation", "update", "Port", func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"name": "other"}) })
			p.refuse("unknown column", "update", "Port", func(tx *row.Tx) { tx.Update("Port", port, ovsdb.Row{"colour": "red"}) })
			p.refuse("syntax error", "insert", "Colour", func(tx *row.Tx) { tx.Insert("Colour", "", nil) })
			p.refuse("aborted", "abort", "", func(tx *row.Tx) {
				tx.Update("Port", port, ovsdb.Row{"tag": 1})
				tx.Add(ovsdb.Operation{Op: "abort"})
			})
		}},
		{"a miss is no success", func(p player) {
			gone := "11111111-1111-4111-8111-111111111111"
			for _, build := range []func(*row.Tx){
				func(tx *row.Tx) { tx.Update("Port", gone, ovsdb.Row{"tag": 1}) },
				func(tx *row.Tx) {
					tx.Mutate("Port", gone, row.SetKeys("external_ids", map[string]*string{"a": nil})...)
				},
				func(tx *row.Tx) { tx.Delete("Port", gone) },
			} {
				if _, err := p.commit(build); err == nil {
					p.t.Error("nobody noticed that the row is not there")
				}
			}
		}},
	}
}

func mutationCases() []contractCase {
	return []contractCase{
		{"mutations of maps and sets", func(p player) {
			_, port := p.bridge("br0")
			one, two := "1", "2"
			mutate := func(m ...ovsdb.Mutation) ovsdb.Row {
				p.must(func(tx *row.Tx) { tx.Mutate("Port", port, m...) })
				return p.rows("Port", []string{"external_ids", "trunks"})[0]
			}
			r := mutate(row.SetKeys("external_ids", map[string]*string{"a": &one, "b": &one})...)
			p.want(r, "external_ids", row.Strmap(map[string]string{"a": "1", "b": "1"}))
			r = mutate(*ovsdb.NewMutation("external_ids", "insert", row.Strmap(map[string]string{"a": "9", "c": "3"})))
			p.want(r, "external_ids", row.Strmap(map[string]string{"a": "1", "b": "1", "c": "3"})) // a stays
			r = mutate(row.SetKeys("external_ids", map[string]*string{"a": &two, "b": nil})...)
			p.want(r, "external_ids", row.Strmap(map[string]string{"a": "2", "c": "3"}))
			r = mutate(*ovsdb.NewMutation("external_ids", "delete", row.Strmap(map[string]string{"a": "wrong", "c": "3"})))
			p.want(r, "external_ids", row.Strmap(map[string]string{"a": "2"}))
			r = mutate(*ovsdb.NewMutation("trunks", "insert", row.Set(5, 4)), *ovsdb.NewMutation("trunks", "delete", row.Set(5, 6)))
			p.want(r, "trunks", 4)
		}},
		{"mutations of numbers", func(p player) {
			root := row.ID(p.rows("Open_vSwitch", nil)[0])
			p.must(func(tx *row.Tx) {
				tx.Mutate("Open_vSwitch", root, row.Increment("next_cfg"), row.Increment("next_cfg"))
				tx.Mutate("Open_vSwitch", root, *ovsdb.NewMutation("next_cfg", "*=", 10), *ovsdb.NewMutation("next_cfg", "-=", 1))
			})
			p.want(p.rows("Open_vSwitch", nil)[0], "next_cfg", 19)
			p.refuse("domain error", "mutate", "Open_vSwitch", func(tx *row.Tx) {
				tx.Mutate("Open_vSwitch", root, *ovsdb.NewMutation("next_cfg", "/=", 0))
			})
		}},
		{"a select sees the operations before it", func(p player) {
			root := row.ID(p.rows("Open_vSwitch", nil)[0])
			at := 0
			results := p.must(func(tx *row.Tx) {
				tx.Mutate("Open_vSwitch", root, row.Increment("next_cfg"))
				at = tx.Read("Open_vSwitch", []string{"next_cfg"})
			})
			p.want(results[at].Rows[0], "next_cfg", 1)
		}},
	}
}

func integrityCases() []contractCase {
	return []contractCase{
		{"rows that nobody refers to vanish", func(p player) {
			bridge, _ := p.bridge("br0")
			p.bridge("br1")
			root := row.ID(p.rows("Open_vSwitch", nil)[0])
			p.must(func(tx *row.Tx) { tx.Mutate("Open_vSwitch", root, row.RemoveRefs("bridges", bridge)) })
			if got := p.names("Bridge") + "," + p.names("Port") + "," + p.names("Interface"); got != "br1,br1,br1" {
				p.t.Errorf("left are %s", got)
			}
			p.must(func(tx *row.Tx) { tx.Insert("Bridge", "", ovsdb.Row{"name": "orphan"}) })
			if got := p.names("Bridge"); got != "br1" {
				p.t.Errorf("left are %s", got)
			}
		}},
		{"references must lead somewhere", func(p player) {
			bridge, port := p.bridge("br0")
			gone := "11111111-1111-4111-8111-111111111111"
			p.refuse("referential integrity violation", "", "", func(tx *row.Tx) { tx.Mutate("Bridge", bridge, row.AddRefs("ports", gone)) })
			p.refuse("referential integrity violation", "", "", func(tx *row.Tx) { tx.Delete("Port", port) })
			p.refuse("constraint violation", "mutate", "Port", func(tx *row.Tx) {
				r := p.rows("Port", nil)[0]
				tx.Mutate("Port", port, row.RemoveRefs("interfaces", row.Refs(r, "interfaces")...))
			})
		}},
		{"weak references are dropped", func(p player) {
			bridge, _ := p.bridge("br0")
			p.must(func(tx *row.Tx) {
				tx.Insert("Interface", "i", ovsdb.Row{"name": "p1"})
				tx.Insert("Port", "p", ovsdb.Row{"name": "p1", "interfaces": row.UUID("i")})
				tx.Insert("Mirror", "m", ovsdb.Row{"name": "m", "output_port": row.UUID("p")})
				tx.Mutate("Bridge", bridge, row.AddRefs("ports", "p"), row.AddRefs("mirrors", "m"))
			})
			p1 := row.ID(p.rows("Port", nil, row.Is("name", "p1"))[0])
			p.must(func(tx *row.Tx) { tx.Mutate("Bridge", bridge, row.RemoveRefs("ports", p1)) })
			p.want(p.rows("Mirror", nil)[0], "output_port", ovsdb.OvsSet{GoSet: []any{}})
		}},
		{"indexes are unique", func(p player) {
			bridge, _ := p.bridge("br0")
			p.refuse("constraint violation", "", "", func(tx *row.Tx) {
				tx.Insert("Interface", "i", ovsdb.Row{"name": "br0"})
				tx.Insert("Port", "p", ovsdb.Row{"name": "p1", "interfaces": row.UUID("i")})
				tx.Mutate("Bridge", bridge, row.AddRefs("ports", "p"))
			})
			p.refuse("constraint violation", "", "", func(tx *row.Tx) { tx.Insert("Open_vSwitch", "", nil) })
			p.refuse("duplicate uuid-name", "insert", "Interface", func(tx *row.Tx) {
				tx.Insert("Interface", "i", ovsdb.Row{"name": "a"})
				tx.Insert("Interface", "i", ovsdb.Row{"name": "b"})
			})
		}},
	}
}

func guardCases() []contractCase {
	return []contractCase{
		{"a guard holds what was read", func(p player) {
			_, port := p.bridge("br0")
			r := p.rows("Port", nil)[0]
			set := func(tag int) func(tx *row.Tx) {
				return func(tx *row.Tx) {
					tx.Guard("Port", r, "tag", "trunks", "external_ids")
					tx.Update("Port", port, ovsdb.Row{"tag": tag})
				}
			}
			p.must(set(5))
			p.refuse("timed out", "wait", "Port", set(6))
			if _, err := p.commit(set(6)); !errors.Is(err, row.ErrChanged) {
				p.t.Errorf("%v does not say that another hand was faster", err)
			}
			p.want(p.rows("Port", nil)[0], "tag", 5)
		}},
		{"a guard holds that nothing is there", func(p player) {
			p.must(func(tx *row.Tx) { tx.GuardNone("Bridge", row.Is("name", "br0")) })
			p.bridge("br0")
			p.refuse("timed out", "wait", "Bridge", func(tx *row.Tx) { tx.GuardNone("Bridge", row.Is("name", "br0")) })
			p.must(func(tx *row.Tx) { tx.GuardNone("Bridge", row.Is("name", "br1")) })
		}},
		{"a reading door refuses to write", func(p player) {
			if _, err := p.door.Select(p.t.Context(), host.OpenVSwitch, ovsdb.Operation{Op: "delete", Table: "Bridge"}); err == nil {
				p.t.Error("Select deleted")
			}
		}},
	}
}
