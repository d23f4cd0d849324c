package ovn

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// SwitchPortSpec is the attributes of an ovn_switch_port.
type SwitchPortSpec struct {
	Name         string                       `json:"name,omitzero" weft:"label" doc:"Name of the port, which is unique in the database: what an interface's iface-id says."`
	Switch       string                       `json:"switch" weft:"required" doc:"Name of the logical switch that the port is on. A port on another switch is moved."`
	Type         step.Attr[string]            `json:"type,omitzero" doc:"Type of ovn-nb(5): empty for a VIF, router, localnet, localport, l2gateway, vtep, external, virtual, remote."`
	Addresses    []string                     `json:"addresses,omitzero" weft:"set" doc:"Elements like \"02:ac:10:ff:00:11 172.16.255.11\", \"02:ac:10:ff:00:11 dynamic\", dynamic, unknown, router."`
	PortSecurity []string                     `json:"port_security,omitzero" weft:"set" doc:"Ethernet addresses, each with the IP addresses or networks that may be used with it. Empty: no port security."`
	Options      map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: network_name, l2gateway-chassis, requested-chassis, …. Keys that are left out stay as they are."`
	ParentName   step.Attr[string]            `json:"parent_name,omitzero" doc:"Of a container inside a VM: name of the VM's port."`
	Tag          step.Attr[int]               `json:"tag,omitzero" doc:"VLAN of a localnet or l2gateway port, 1 to 4095."`
	TagRequest   step.Attr[int]               `json:"tag_request,omitzero" doc:"Of a container inside a VM: VLAN of its traffic, 1 to 4095; 0 lets ovn-northd choose."`
	Enabled      step.Attr[bool]              `json:"enabled,omitzero" doc:"Whether packets pass. OVN's own default is true."`
	ExternalIDs  map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt        bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a port that weft did not make may be managed, moved and removed."`
	State        step.State                   `json:"state,omitzero" default:"present" doc:"Whether the port should be there."`

	Found *portFound `json:"found,omitzero" weft:"found"`
}

// portFound is a port as it was read, and the row of the switch it was on.
type portFound struct {
	Row    row.Record `json:"row,omitzero"`
	Switch row.Record `json:"switch,omitzero"` // name and ports alone
}

const portTable = "Logical_Switch_Port"

func switchPortKind() step.Kind {
	return step.Kind{
		Name:    "ovn_switch_port",
		Summary: "A port of a logical switch in the northbound database.",
		Doc: `The port carries the step's owner in external_ids (weft-owner). A port of the same name that
belongs to OpenStack Neutron, ovn-kubernetes, another step or nobody is refused unless adopt = true.

A port is bound where an OVS interface has its name as external_ids:iface-id; probe_ovn_port waits
for it. What a host's iface-id says must be this name exactly.

A removal records the port whole, and rollback makes it again on its switch in one transaction.`,
		Spec:   SwitchPortSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_switch_port" "ls1-vm1" {
  switch        = "ls1"
  addresses     = ["02:ac:10:ff:00:11 172.16.255.11"]
  port_security = ["02:ac:10:ff:00:11 172.16.255.11"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[SwitchPortSpec](u)
			if err != nil {
				return nil, err
			}
			o := ownerOf(u)
			want.ExternalIDs = withKey(want.ExternalIDs, ownerKey, o.tag)
			return portStep{step.Of("logical switch port "+want.Name, ports{o}, want), want}, nil
		},
	}
}

// Validate finds what the database would refuse or ovn-northd ignore.
func (s *SwitchPortSpec) Validate() []step.Problem {
	problems := slices.Concat(
		validName("name", s.Name), validName("switch", s.Switch),
		validAddresses("addresses", s.Addresses), validPortSecurity("port_security", s.PortSecurity),
		validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs),
		validRange("tag", s.Tag, 1, 4095), validRange("tag_request", s.TagRequest, 0, 4095))
	types := []string{"", "router", "localnet", "localport", "l2gateway", "vtep", "external", "virtual", "remote"}
	if kind, ok := s.Type.Get(); ok && !slices.Contains(types, kind) {
		problems = append(problems, step.Problem{Path: "type", Message: fmt.Sprintf("%q is no type of port", kind), Hint: "ovn-nb(5) has: \"\" for a VIF, router, localnet, localport, l2gateway, vtep, external, virtual, remote"})
	}
	required := map[string][]string{"l2gateway": {"network_name", "l2gateway-chassis"}, "localnet": {"network_name"}, "router": {"router-port"}}
	for _, option := range required[s.Type.Or("")] {
		if a, there := s.Options[option]; s.State.There() && (!there || a.Absent()) {
			problems = append(problems, step.Problem{Path: "options", Message: fmt.Sprintf("a port of type %s needs options:%s", s.Type.Or(""), option)})
		}
	}
	return problems
}

// portStep waits for the switch, which a step above may bring.
type portStep struct {
	step.Step
	want SwitchPortSpec
}

func (s portStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if s.want.State.There() {
		found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select("Logical_Switch", []string{"_uuid"}, row.Is("name", s.want.Switch)))
		if err == nil && len(found[0]) == 0 {
			err = fmt.Errorf("there is no logical switch %q: %w", s.want.Switch, step.ErrNotYet)
		}
		if err != nil {
			return step.Finding{Object: "logical switch port " + s.want.Name}, fmt.Errorf("read logical switch port %s: %w", s.want.Name, err)
		}
	}
	return s.Step.Check(ctx, v)
}

type ports struct{ owner owner }

func (r ports) Read(ctx context.Context, v host.View, want SwitchPortSpec) (SwitchPortSpec, error) {
	have := SwitchPortSpec{Name: want.Name, Adopt: want.Adopt, State: step.Absent, Found: &portFound{}}
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, nil, row.Is("name", want.Name)))
	if err != nil || len(found[0]) == 0 {
		return have, err
	}
	port := found[0][0]
	if err := r.owner.admit("logical switch port "+want.Name, port, want.Adopt); err != nil {
		return have, err
	}
	on, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select("Logical_Switch", []string{"_uuid", "name", "ports"}, row.Includes("ports", row.UUIDs(row.ID(port)))))
	if err != nil {
		return have, err
	}
	if len(on[0]) == 0 {
		return have, nil // taken off its switch between the two reads: gone with the next commit
	}
	have.State, have.Switch = step.Present, row.String(on[0][0], "name")
	have.Found.Row, have.Found.Switch = row.Record(port), row.Record(on[0][0])
	have.answer(port, want)
	if !want.State.There() {
		return have, noneInside(ctx, v, want.Name)
	}
	return have, nil
}

// noneInside refuses to remove a port that carries the ports of containers.
func noneInside(ctx context.Context, v host.View, name string) error {
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, []string{"name"}, row.Is("parent_name", name)))
	if err != nil || len(found[0]) == 0 {
		return err
	}
	return fmt.Errorf("logical switch port %s is the parent of %s, which must go first: %w", name, strings.Join(names(found[0], "name"), ", "), step.ErrConflict)
}

// answer fills in the attributes that want manages, in want's spelling where
// it means the same.
func (s *SwitchPortSpec) answer(port ovsdb.Row, want SwitchPortSpec) {
	if want.Type.Managed() {
		if kind := row.String(port, "type"); kind != "" || !want.Type.Absent() {
			s.Type = step.Is(kind)
		} else {
			s.Type = step.None[string]()
		}
	}
	if want.Addresses != nil {
		s.Addresses = spelled(row.Strings(port, "addresses"), want.Addresses)
	}
	if want.PortSecurity != nil {
		s.PortSecurity = spelled(row.Strings(port, "port_security"), want.PortSecurity)
	}
	s.Options = keysLike(want.Options, row.Map(port, "options"))
	s.ExternalIDs = keysLike(want.ExternalIDs, row.Map(port, "external_ids"))
	s.ParentName = optional(want.ParentName, func() (string, bool) { return row.OptionalString(port, "parent_name") })
	s.Tag = optional(want.Tag, func() (int, bool) { return row.Int(port, "tag") })
	s.TagRequest = optional(want.TagRequest, func() (int, bool) { return row.Int(port, "tag_request") })
	s.Enabled = optional(want.Enabled, func() (bool, bool) {
		enabled, set := row.Bool(port, "enabled")
		return enabled || !set, set || !want.Enabled.Absent()
	})
}

// optional answers an attribute from an optional column, where want manages it.
func optional[T any](want step.Attr[T], column func() (T, bool)) step.Attr[T] {
	if !want.Managed() {
		return step.Attr[T]{}
	}
	if v, ok := column(); ok {
		return step.Is(v)
	}
	return step.None[T]()
}

func (ports) Diff(have, want SwitchPortSpec) []step.Delta { return step.Compare(have, want) }

func (r ports) Write(ctx context.Context, h host.Host, have, want SwitchPortSpec) error {
	var tx row.Tx
	port, on := ovsdb.Row(have.Found.Row), ovsdb.Row(have.Found.Switch)
	switch {
	case !want.State.There() && !have.State.There():
		return nil
	case !want.State.There():
		if err := noneInside(ctx, h.View(), have.Name); err != nil {
			return err
		}
		tx.Guard(portTable, port, "name", "external_ids", "options", "type", "addresses", "port_security")
		tx.Mutate("Logical_Switch", row.ID(on), row.RemoveRefs("ports", row.ID(port)))
	case !have.State.There():
		to, err := switchNamed(ctx, h.View(), want.Switch)
		if err != nil {
			return err
		}
		tx.GuardNone(portTable, row.Is("name", want.Name))
		tx.Insert(portTable, "port", newPort(want))
		tx.Mutate("Logical_Switch", row.ID(to), row.AddRefs("ports", "port"))
	default:
		tx.Guard(portTable, port, "name", "external_ids")
		if err := change(ctx, h, &tx, have, want); err != nil {
			return err
		}
	}
	return commit(ctx, h, &tx)
}

// change moves the port where it is on another switch, and sets what differs.
func change(ctx context.Context, h host.Host, tx *row.Tx, have, want SwitchPortSpec) error {
	port, on := ovsdb.Row(have.Found.Row), ovsdb.Row(have.Found.Switch)
	if have.Switch != want.Switch {
		to, err := switchNamed(ctx, h.View(), want.Switch)
		if err != nil {
			return err
		}
		tx.Mutate("Logical_Switch", row.ID(on), row.RemoveRefs("ports", row.ID(port)))
		tx.Mutate("Logical_Switch", row.ID(to), row.AddRefs("ports", row.ID(port)))
	}
	if columns := portColumns(have, want); len(columns) > 0 {
		tx.Update(portTable, row.ID(port), columns)
	}
	mutations := append(
		row.SetKeys("options", changedKeys(have.Options, want.Options)),
		row.SetKeys("external_ids", changedKeys(have.ExternalIDs, want.ExternalIDs))...)
	if len(mutations) > 0 {
		tx.Mutate(portTable, row.ID(port), mutations...)
	}
	return nil
}

// newPort is the row of a port that is not there: of a record where there is
// one, else of the attributes.
func newPort(want SwitchPortSpec) ovsdb.Row {
	port := ovsdb.Row{"name": want.Name}
	if want.Found != nil && want.Found.Row != nil {
		port = want.Found.Row.Insertable("up")
	}
	for column, value := range portColumns(SwitchPortSpec{}, want) {
		port[column] = value
	}
	if len(want.Options) > 0 {
		port["options"] = row.Strmap(values(want.Options))
	}
	if _, recorded := port["external_ids"]; !recorded {
		port["external_ids"] = row.Strmap(values(want.ExternalIDs))
	}
	return port
}

// portColumns are the columns, maps left out, that must change. A column that
// was recorded gets its own spelling back.
func portColumns(have, want SwitchPortSpec) ovsdb.Row {
	columns := ovsdb.Row{}
	var now, found ovsdb.Row
	if have.Found != nil {
		now = ovsdb.Row(have.Found.Row)
	}
	if want.Found != nil {
		found = ovsdb.Row(want.Found.Row)
	}
	for _, d := range step.Compare(have, want) {
		switch column := d.Path; column {
		case "type":
			columns[column] = want.Type.Or("")
		case "addresses":
			columns[column] = row.Set(spelled(want.Addresses, row.Strings(found, column), row.Strings(now, column))...)
		case "port_security":
			columns[column] = row.Set(spelled(want.PortSecurity, row.Strings(found, column), row.Strings(now, column))...)
		case "parent_name":
			columns[column] = setOf(want.ParentName)
		case "tag":
			columns[column] = setOf(want.Tag)
		case "tag_request":
			columns[column] = setOf(want.TagRequest)
		case "enabled":
			columns[column] = setOf(want.Enabled)
			if raw, recorded := found[column]; recorded {
				columns[column] = raw // an empty column means true as well
			}
		}
	}
	return columns
}

func setOf[T string | int | bool](a step.Attr[T]) ovsdb.OvsSet {
	if v, ok := a.Get(); ok {
		return row.Optional(v)
	}
	return row.Empty()
}

func switchNamed(ctx context.Context, v host.View, name string) (ovsdb.Row, error) {
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select("Logical_Switch", []string{"_uuid", "name"}, row.Is("name", name)))
	if err != nil {
		return nil, err
	}
	if len(found[0]) != 1 {
		return nil, fmt.Errorf("there are %d logical switches named %q; a port needs exactly one", len(found[0]), name)
	}
	return found[0][0], nil
}
