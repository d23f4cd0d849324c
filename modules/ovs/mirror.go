package ovs

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// MirrorSpec is the attributes of ovs_mirror.
type MirrorSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the mirror. On its bridge no other may have it."`
	State       step.State                   `json:"state,omitzero" doc:"Whether the mirror should be there."`
	Bridge      string                       `json:"bridge" weft:"required" doc:"The bridge whose packets are mirrored. It and the name say which mirror is meant."`
	SelectAll   step.Attr[bool]              `json:"select_all,omitzero" doc:"Whether packets of all ports are selected."`
	SelectSrc   []string                     `json:"select_src_port,omitzero" weft:"set" doc:"Ports whose arriving packets are selected."`
	SelectDst   []string                     `json:"select_dst_port,omitzero" weft:"set" doc:"Ports whose departing packets are selected."`
	SelectVLAN  []int                        `json:"select_vlan,omitzero" weft:"set" doc:"VLANs that selected packets must be in, 0 to 4095; [] is any."`
	OutputPort  step.Attr[string]            `json:"output_port,omitzero" doc:"Port that gets the copies, and nothing else from then on: what it receives is dropped."`
	OutputVLAN  step.Attr[int]               `json:"output_vlan,omitzero" doc:"VLAN that gets the copies (RSPAN), 1 to 4095."`
	Snaplen     step.Attr[int]               `json:"snaplen,omitzero" doc:"Bytes of a packet that are copied, 14 to 65535; absent is all."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids; absent removes a key, keys left out stay."`

	Found row.Record `json:"found,omitzero" weft:"found"` // newer schemas have more columns
	Seen  mirrorSeen `json:"seen,omitzero" weft:"found"`
}

// mirrorSeen is for costs.
type mirrorSeen struct {
	Cuts []string `json:"cuts,omitzero"` // links whose traffic ends where the output port is one
}

// Validate implements [step.Validator].
func (s *MirrorSpec) Validate() []step.Problem {
	var problems []step.Problem
	add := func(at, message, hint string) {
		problems = append(problems, step.Problem{Path: at, Message: message, Hint: hint})
	}
	if s.Name == "" {
		add("name", "is empty", "")
	}
	for _, p := range nameProblems(s.Bridge) {
		add("bridge", p.Message, p.Hint)
	}
	if !s.State.There() {
		return problems
	}
	if !s.SelectAll.Or(false) && len(s.SelectSrc)+len(s.SelectDst) == 0 {
		add("select_all", "is not true, and no port is selected: nothing would be mirrored", "VLANs only narrow what ports select; say select_all = true, or name ports")
	}
	port, toPort := s.OutputPort.Get()
	vlan, toVLAN := s.OutputVLAN.Get()
	switch {
	case toPort == toVLAN:
		add("output_port", "and output_vlan: exactly one of the two says where the copies go", "")
	case toPort && (slices.Contains(s.SelectSrc, port) || slices.Contains(s.SelectDst, port)):
		add("output_port", port+" is selected too, and Open vSwitch would not mirror it", "take it out of the selected ports")
	case toVLAN && (vlan < 1 || vlan > 4095):
		add("output_vlan", strconv.Itoa(vlan)+" is no VLAN for copies", "1 to 4095")
	}
	for _, n := range s.SelectVLAN {
		if n < 0 || n > 4095 {
			add("select_vlan", strconv.Itoa(n)+" is no VLAN", "0 to 4095")
		}
	}
	if n, ok := s.Snaplen.Get(); ok && (n < 14 || n > 65535) {
		add("snaplen", strconv.Itoa(n)+" bytes cannot be kept of a packet", "14 to 65535")
	}
	return problems
}

// complete makes the selection and the output whole: what is left out of them is
// absent.
func (s MirrorSpec) complete() MirrorSpec {
	if !s.State.There() {
		return s
	}
	if !s.SelectAll.Managed() {
		s.SelectAll = step.None[bool]()
	}
	for _, list := range []*[]string{&s.SelectSrc, &s.SelectDst} {
		*list = append([]string{}, *list...)
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	s.SelectVLAN = append([]int{}, s.SelectVLAN...)
	slices.Sort(s.SelectVLAN)
	s.SelectVLAN = slices.Compact(s.SelectVLAN)
	if !s.OutputPort.Managed() {
		s.OutputPort = step.None[string]()
	}
	if !s.OutputVLAN.Managed() {
		s.OutputVLAN = step.None[int]()
	}
	return s
}

// portNames are all ports that the mirror names.
func (s MirrorSpec) portNames() []string {
	names := slices.Concat(s.SelectSrc, s.SelectDst)
	if out, ok := s.OutputPort.Get(); ok {
		names = append(names, out)
	}
	return names
}

// columns are what an insert or an update sets. The ports must be there.
func (s MirrorSpec) columns(t tables, home ovsdb.Row) (*columns, error) {
	c := newColumns()
	ids := func(names []string) ([]string, error) {
		out := []string{}
		for _, name := range names {
			p, there := t.portOn(home, name)
			if !there {
				return nil, fmt.Errorf("there is no port %s on bridge %s", name, s.Bridge)
			}
			out = append(out, row.ID(p))
		}
		return out, nil
	}
	output := []string{}
	if name, ok := s.OutputPort.Get(); ok {
		output = append(output, name)
	}
	for column, names := range map[string][]string{"select_src_port": s.SelectSrc, "select_dst_port": s.SelectDst, "output_port": output} {
		refs, err := ids(names)
		if err != nil {
			return nil, err
		}
		if names != nil && (column != "output_port" || s.OutputPort.Managed()) {
			c.row[column] = row.UUIDs(refs...)
		}
	}
	plain(c, "select_all", s.SelectAll)
	set(c, "select_vlan", s.SelectVLAN)
	optional(c, "output_vlan", s.OutputVLAN)
	optional(c, "snaplen", s.Snaplen)
	c.keys("external_ids", s.ExternalIDs)
	return c, nil
}

// portOn finds a port of a bridge.
func (t tables) portOn(bridge ovsdb.Row, name string) (ovsdb.Row, bool) {
	p, there := named(t.ports, name)
	return p, there && slices.Contains(row.Refs(bridge, "ports"), row.ID(p))
}

func mirrorKind() step.Kind {
	return step.Kind{
		Name:    "ovs_mirror",
		Summary: "A mirror of an Open vSwitch bridge: copies of its packets to a port (SPAN) or a VLAN (RSPAN).",
		Doc: `The selection (` + "`select_all`, `select_src_port`, `select_dst_port`, `select_vlan`" + `) and the output are managed as a whole: what is left
out of them is not selected. The ports must be on the bridge: a step above makes them, and the mirror loses a port that goes.

The output port is the mirror's alone: whatever it receives is dropped, so a NIC or a port with addresses that becomes one is cut off;
the plan names it. A tunnel (` + "`ovs_tunnel`" + ` of gre) carries the copies to another host.

` + "`output_vlan`" + ` needs switches that learn addresses for each VLAN, and no learning in that VLAN (the column flood_vlans of the bridge): the
section of the table Mirror in ovs-vswitchd.conf.db(5) says what happens else.

Open vSwitch keeps the mirror in its database over a reboot.`,
		Spec: MirrorSpec{},
		Example: `step "ovs_mirror" "span" {
  bridge          = "br-ext"
  select_src_port = ["eth1"]
  select_dst_port = ["eth1"]
  output_port     = "tap-ids"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[MirrorSpec](u)
			if err != nil {
				return nil, err
			}
			spec = spec.complete()
			return mirrorStep{step.Of("mirror "+spec.Name+" of bridge "+spec.Bridge, mirror{}, spec), spec}, nil
		},
	}
}
