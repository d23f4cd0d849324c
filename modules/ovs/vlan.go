package ovs

import (
	"slices"
	"strconv"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// vlans is what every kind of port has in common: the columns of table Port that
// say which VLANs it carries.
type vlans struct {
	Tag    step.Attr[int]
	Trunks []int
	CVLANs []int
	Mode   step.Attr[string]
}

// wholeVLANs manages all of them, to record a port that goes.
func wholeVLANs() vlans {
	return vlans{Tag: step.None[int](), Trunks: []int{}, CVLANs: []int{}, Mode: step.None[string]()}
}

// problems are mistakes that can be seen without a machine.
func (v vlans) problems() []step.Problem {
	var problems []step.Problem
	outside := func(at string, n int) {
		if n < 0 || n > 4095 {
			problems = append(problems, step.Problem{Path: at, Message: strconv.Itoa(n) + " is no VLAN", Hint: "0 to 4095"})
		}
	}
	if n, ok := v.Tag.Get(); ok {
		outside("tag", n)
	}
	for _, n := range v.Trunks {
		outside("trunks", n)
	}
	for _, n := range v.CVLANs {
		outside("cvlans", n)
	}
	mode, _ := v.Mode.Get()
	if _, tagged := v.Tag.Get(); mode == "trunk" && tagged {
		problems = append(problems, step.Problem{Path: "tag", Message: "has no effect on a port whose vlan_mode is trunk", Hint: "native-tagged and native-untagged are trunks with a native VLAN"})
	}
	return problems
}

// read answers what is managed of a port.
func (v vlans) read(port ovsdb.Row) vlans {
	have := vlans{
		Tag:    readInt(v.Tag, port, "tag"),
		Trunks: readInts(v.Trunks, port, "trunks"),
		CVLANs: readInts(v.CVLANs, port, "cvlans"),
		Mode:   readString(v.Mode, port, "vlan_mode"),
	}
	if n, ok := row.Int(port, "tag"); ok && v.Tag.Managed() {
		have.Tag = step.Is(n) // 0 is a VLAN, too
	}
	return have
}

func (v vlans) set(c *columns) {
	optional(c, "tag", v.Tag)
	set(c, "trunks", v.Trunks)
	set(c, "cvlans", v.CVLANs)
	optional(c, "vlan_mode", v.Mode)
}

func (v vlans) keep(k *kept) {
	k.number("tag", v.Tag)
	k.numbers("trunks", v.Trunks)
	k.numbers("cvlans", v.CVLANs)
	k.text("vlan_mode", v.Mode)
}

// vlanSet is a list of VLANs in order, each once; nil stays nil.
func vlanSet(list []int) []int {
	if list == nil {
		return nil
	}
	return append([]int{}, slices.Compact(slices.Sorted(slices.Values(list)))...)
}
