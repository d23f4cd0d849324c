package graph

import (
	"fmt"
	"slices"
	"strings"
)

// faults is how many things that are wrong a summary names.
const faults = 3

// summarise puts a host into a few lines: what it has, its bonds, and what is
// wrong.
func (m *cardMaker) summarise() {
	c := m.card
	count := map[rowKind]int{}
	var bridges, bonds, wrong []string
	for _, b := range c.boxes {
		if b.kind != linksBox {
			bridges = append(bridges, b.name)
		}
		if b.wrong != "" {
			wrong = append(wrong, fmt.Sprintf("%s: %s", b.name, b.wrong))
		}
		for _, r := range b.rows {
			if r.wrong != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s", r.name, r.wrong))
			}
			if r.kind == bondRow {
				bonds = append(bonds, words(r.name, strings.TrimPrefix(r.text, "bond · ")))
			}
			count[r.kind]++
		}
	}
	if len(bridges) > 4 {
		bridges = append(bridges[:3], fmt.Sprintf("and %d more", len(bridges)-3))
	}
	c.text = append(c.text, strings.Join(bridges, ", "))
	var counts []string
	for _, k := range []struct {
		kind rowKind
		noun string
	}{{nicRow, "NIC"}, {guestRow, "guest"}, {patchRow, "patch port"}, {internalRow, "internal port"}} {
		if n := count[k.kind]; n > 0 {
			counts = append(counts, plural(n, k.noun))
		}
	}
	c.text = append(append(c.text, strings.Join(counts, ", ")), bonds...)
	c.text = slices.DeleteFunc(c.text, func(t string) bool { return t == "" })
	if len(wrong) > faults {
		wrong = append(wrong[:faults], fmt.Sprintf("and %d more", len(wrong)-faults))
	}
	c.wrong = append(c.wrong, wrong...)
	c.boxes, c.lines = nil, nil
}
