package ovn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// ConnectionSpec is the attributes of an ovn_connection.
type ConnectionSpec struct {
	Database        string                       `json:"database" weft:"required,enum=northbound|southbound" doc:"Which of OVN's two databases is meant. It is changed over its local socket, so the step's host is a central."`
	Target          string                       `json:"target" weft:"required" doc:"Connection method of ovsdb(7): \"ptcp:6642:10.127.0.2\" listens at that address, \"pssl:…\" with TLS. It identifies the row: another target is another connection."`
	InactivityProbe step.Attr[int]               `json:"inactivity_probe,omitzero" doc:"Milliseconds of silence after which the peer is asked whether it is there; 0 never asks. OVN's own default is 5000."`
	MaxBackoff      step.Attr[int]               `json:"max_backoff,omitzero" doc:"Milliseconds between attempts to connect, at most; at least 1000. For targets that dial."`
	Role            step.Attr[string]            `json:"role,omitzero" doc:"Southbound, with TLS: role-based access control, \"ovn-controller\"."`
	ReadOnly        step.Attr[bool]              `json:"read_only,omitzero" doc:"Southbound: whether peers may only read."`
	ExternalIDs     map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	State           step.State                   `json:"state,omitzero" default:"present" doc:"Whether the connection should be there."`

	// Listening is whether something listens at the target; unmanaged where
	// nothing does, so that an undo does not ask for what was not there.
	Listening step.Attr[bool] `json:"listening,omitzero" weft:"found"`
	Found     row.Record      `json:"found,omitzero" weft:"found"`
}

// ConnectionOutputs is what other steps may ask of an ovn_connection.
type ConnectionOutputs struct {
	Endpoint string `json:"endpoint" doc:"What clients dial: \"tcp:10.127.0.2:6642\". Unknown where the target names no address."`
}

func connectionKind() step.Kind {
	return step.Kind{
		Name:    "ovn_connection",
		Summary: "A listener of the northbound or southbound database.",
		Doc: `The row is in the table Connection of the database, where ovsdb-server finds it by itself and
keeps it over restarts; other connections stay as they are. The step is done when the host really
listens at the target: an address that the host does not have, or a port that is taken, fails it.

Name the address: "ptcp:6642" alone listens on all addresses of the host, and these databases ask
nobody for a password. With "pssl:…" they ask for a certificate; the step wants the row SSL of the
database, which ovsdb_ssl writes, and the files that it names.`,
		Spec:    ConnectionSpec{},
		Outputs: ConnectionOutputs{},
		Example: `step "ovn_connection" "southbound" {
  database = "southbound"
  target   = "ptcp:6642:${host.vars.underlay}"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[ConnectionSpec](u)
			if err != nil {
				return nil, err
			}
			if t, err := parseTarget(want.Target); err == nil && t.passive() {
				want.Listening = step.Is(true)
			}
			return withKeys{step.Of("connection "+want.Target+" of "+want.Database, connections{ownerOf(u)}, want), want}, nil
		},
	}
}

// Validate finds targets that ovsdb-server would not understand, and columns
// that the northbound database does not have.
func (s *ConnectionSpec) Validate() []step.Problem {
	problems := slices.Concat(validKeys("external_ids", s.ExternalIDs),
		validRange("inactivity_probe", s.InactivityProbe, 0, 1<<31-1),
		validRange("max_backoff", s.MaxBackoff, 1000, 1<<31-1))
	if _, err := parseTarget(s.Target); err != nil {
		problems = append(problems, step.Problem{Path: "target", Message: err.Error(), Hint: `write a listener as "ptcp:6642:10.127.0.2"`})
	}
	if s.Database != "northbound" {
		return problems
	}
	if s.Role.Managed() {
		problems = append(problems, step.Problem{Path: "role", Message: "is a column of the southbound database alone"})
	}
	if s.ReadOnly.Managed() {
		problems = append(problems, step.Problem{Path: "read_only", Message: "is a column of the southbound database alone"})
	}
	return problems
}

// door is the database and its root table.
func (s ConnectionSpec) door() (db host.Database, root string) {
	if s.Database == "southbound" {
		return host.Southbound, "SB_Global"
	}
	return host.Northbound, "NB_Global"
}

type connections struct{ owner owner }

func (connections) Read(ctx context.Context, v host.View, want ConnectionSpec) (ConnectionSpec, error) {
	have := ConnectionSpec{Database: want.Database, Target: want.Target, State: step.Absent}
	db, _ := want.door()
	found, err := selectRows(ctx, v.OVSDB, db, row.Select("Connection", nil, row.Is("target", want.Target)))
	if err != nil || len(found[0]) == 0 {
		return have, err
	}
	r := found[0][0]
	have.State, have.Found = step.Present, row.Record(r)
	have.InactivityProbe = optional(want.InactivityProbe, func() (int, bool) { return row.Int(r, "inactivity_probe") })
	have.MaxBackoff = optional(want.MaxBackoff, func() (int, bool) { return row.Int(r, "max_backoff") })
	have.Role = optional(want.Role, func() (string, bool) {
		role := row.String(r, "role")
		return role, role != "" || !want.Role.Absent()
	})
	have.ReadOnly = optional(want.ReadOnly, func() (bool, bool) {
		readOnly, _ := row.Bool(r, "read_only")
		return readOnly, readOnly || !want.ReadOnly.Absent()
	})
	have.ExternalIDs = keysLike(want.ExternalIDs, row.Map(r, "external_ids"))
	ok, err := isListening(ctx, v, want.Target)
	if ok {
		have.Listening = step.Is(true)
	}
	return have, err
}

func isListening(ctx context.Context, v host.View, at string) (bool, error) {
	t, err := parseTarget(at)
	if err != nil || !t.passive() {
		return false, nil // an odd target that another hand made
	}
	all, err := sockets(ctx, v.Kernel)
	return err == nil && listens(all, t), err
}

func (connections) Diff(have, want ConnectionSpec) []step.Delta {
	deltas := step.Compare(have, want)
	if have.State.There() && want.State.There() && want.Listening.Or(false) && !have.Listening.Or(false) {
		deltas = append(deltas, step.Change("listening", nil, true))
	}
	return deltas
}

// Advise answers the endpoint, and warns of listeners that are open to all.
func (connections) Advise(f *step.Finding, have, want ConnectionSpec) {
	t, err := parseTarget(want.Target)
	if err != nil {
		return
	}
	f.Outputs = []byte("{}")
	if endpoint := t.endpoint(); endpoint != "" {
		f.Outputs = []byte(`{"endpoint":` + strconv.Quote(endpoint) + `}`)
	}
	if want.State.There() && t.passive() && (!t.address.IsValid() || t.address.IsUnspecified()) {
		f.Warnings = append(f.Warnings, want.Target+" listens on all addresses of the host: whoever reaches one of them may change the network; write ptcp:"+strconv.Itoa(int(t.port))+":ADDRESS")
	}
	if have.State.There() && !want.State.There() {
		f.Cost.Disruption = "clients of " + want.Target + " are disconnected"
	}
}

func (c connections) Write(ctx context.Context, h host.Host, have, want ConnectionSpec) error {
	if !have.State.There() && !want.State.There() {
		return nil
	}
	db, root := want.door()
	global, err := rootRow(ctx, h.View(), db, root)
	if err != nil {
		return err
	}
	var tx row.Tx
	r := ovsdb.Row(have.Found)
	switch {
	case !want.State.There():
		tx.Guard("Connection", r, "target", "inactivity_probe", "max_backoff", "external_ids")
		tx.Mutate(root, global, row.RemoveRefs("connections", row.ID(r)))
	case !have.State.There():
		tx.GuardNone("Connection", row.Is("target", want.Target))
		tx.Insert("Connection", "connection", c.newConnection(want))
		tx.Mutate(root, global, row.AddRefs("connections", "connection"))
	default:
		if columns := connectionColumns(have, want); len(columns) > 0 {
			tx.Update("Connection", row.ID(r), columns)
		}
		if keys := row.SetKeys("external_ids", changedKeys(have.ExternalIDs, want.ExternalIDs)); keys != nil {
			tx.Mutate("Connection", row.ID(r), keys...)
		}
	}
	if err := conflicts(tx.Commit(ctx, h.OVSDB, db)); err != nil {
		return err
	}
	if want.State.There() && want.Listening.Or(false) {
		return awaitListener(ctx, h.View(), want.Target)
	}
	return nil
}

// rootRow is the UUID of the row that refers to the connections. Just after an
// installation ovn-northd has yet to make it.
func rootRow(ctx context.Context, v host.View, db host.Database, root string) (id string, err error) {
	err = step.Await(ctx, 10*time.Second, func() error {
		found, err := selectRows(ctx, v.OVSDB, db, row.Select(root, []string{"_uuid"}))
		switch {
		case err != nil:
			return err
		case len(found[0]) == 0:
			return fmt.Errorf("%s has no row: ovn-northd makes it when it first runs; see `systemctl status ovn-northd`", root)
		}
		id = row.ID(found[0][0])
		return nil
	})
	return id, err
}

func (c connections) newConnection(want ConnectionSpec) ovsdb.Row {
	if want.Found != nil {
		return want.Found.Insertable("is_connected", "status")
	}
	r := connectionColumns(ConnectionSpec{}, want)
	ids := map[string]string{ownerKey: c.owner.tag}
	maps.Copy(ids, values(want.ExternalIDs))
	r["target"], r["external_ids"] = want.Target, row.Strmap(ids)
	return r
}

// connectionColumns are the columns, external_ids left out, that must change.
func connectionColumns(have, want ConnectionSpec) ovsdb.Row {
	columns := ovsdb.Row{}
	for _, d := range step.Compare(have, want) {
		switch d.Path {
		case "inactivity_probe":
			columns[d.Path] = setOf(want.InactivityProbe)
		case "max_backoff":
			columns[d.Path] = setOf(want.MaxBackoff)
		case "role":
			columns[d.Path] = want.Role.Or("")
		case "read_only":
			columns[d.Path] = want.ReadOnly.Or(false)
		}
	}
	return columns
}

// awaitListener waits until ovsdb-server has opened the socket, which it does
// as soon as it sees the row.
func awaitListener(ctx context.Context, v host.View, at string) error {
	return step.Await(ctx, 5*time.Second, func() error {
		ok, err := isListening(ctx, v, at)
		if err == nil && !ok {
			err = errors.New("nothing listens there: is the address on this host, and is the port free? ovsdb-server says why in /var/log/ovn/")
		}
		return err
	})
}
