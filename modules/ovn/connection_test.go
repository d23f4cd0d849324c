package ovn

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const sbctl = "ovn-sbctl"

// addConnection makes a Connection row as another hand does.
func addConnection(r ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		root := m.Rows(host.Southbound, "SB_Global")[0]
		var tx row.Tx
		tx.Insert("Connection", "connection", r)
		tx.Mutate("SB_Global", row.ID(root), row.AddRefs("connections", "connection"))
		m.Transact(host.Southbound, tx.Operations()...)
	}
}

func removeConnection(m *fake.Machine) {
	var tx row.Tx
	for _, c := range m.Rows(host.Southbound, "Connection") {
		if row.String(c, "target") == lawsTarget {
			tx.Mutate("SB_Global", row.ID(m.Rows(host.Southbound, "SB_Global")[0]), row.RemoveRefs("connections", row.ID(c)))
		}
	}
	m.Transact(host.Southbound, tx.Operations()...)
}

// lawsTarget is at an address that the fake central has; a real host under the
// laws gets it on its loopback link.
const lawsTarget = "ptcp:16642:10.127.0.2"

func connectionDrift(column string, value any, text string) steptest.Hand {
	return steptest.Hand{
		Name: column, Fake: update(host.Southbound, "Connection", "target", lawsTarget, ovsdb.Row{column: value}),
		Host: steptest.Run(sbctl, "set", "Connection", lawsTarget, column+"="+text),
	}
}

func TestLawsConnection(t *testing.T) {
	other := addConnection(ovsdb.Row{"target": "ptcp:6642:10.127.0.2", "inactivity_probe": row.Optional(60000)})
	byHand := addConnection(ovsdb.Row{
		"target": lawsTarget, "inactivity_probe": row.Optional(9000), "role": "ovn-controller",
		"other_config": row.Strmap(map[string]string{"dscp": "48"}), "external_ids": row.Strmap(map[string]string{"note": "kept"}),
	})
	byHandCommands := steptest.Run(sbctl, "--id=@c", "create", "Connection", `target="`+lawsTarget+`"`, "inactivity_probe=9000", "role=ovn-controller", "other_config:dscp=48", "external_ids:note=kept",
		"--", "add", "SB_Global", ".", "connections", "@c")
	laws(t, steptest.Subject{
		Kind: connectionKind(), Machine: central, Borrows: "a target holds no name",
		Found: []steptest.Hand{
			{Name: "absent", Fake: other, Host: steptest.Run("true")},
			{Name: "different", Fake: all(other, byHand), Host: byHandCommands},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: ConnectionSpec{
					Database: "southbound", Target: lawsTarget, InactivityProbe: step.Is(60000), MaxBackoff: step.Is(2000),
					ReadOnly: step.Is(true), Role: step.Is(""), ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					connectionDrift("inactivity_probe", row.Empty(), "[]"),
					connectionDrift("max_backoff", row.Optional(8000), "8000"),
					connectionDrift("read_only", false, "false"),
					connectionDrift("role", "ovn-controller", "ovn-controller"),
					{
						Name: "external_ids.by", Fake: setKey(host.Southbound, "Connection", "target", lawsTarget, "external_ids", "by", ""),
						Host: steptest.Run(sbctl, "remove", "Connection", lawsTarget, "external_ids", "by"),
					},
					{Name: "state", Fake: removeConnection, Host: steptest.Run(sbctl, "set-connection", "ptcp:16643:127.0.0.1")},
				},
			},
			{
				Name: "bare", Spec: ConnectionSpec{Database: "southbound", Target: lawsTarget, Role: step.None[string](), ReadOnly: step.None[bool](), InactivityProbe: step.None[int]()},
				Drift: []steptest.Hand{connectionDrift("inactivity_probe", row.Optional(1), "1")},
			},
			{
				Name: "absent", Spec: ConnectionSpec{Database: "southbound", Target: lawsTarget, State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: byHand, Host: byHandCommands}},
			},
		},
		Policy: []string{"database", "target"}, // they say which row is meant
		Touches: steptest.Touches{Queries: steptest.Run(sbctl, "--format=csv", "--no-headings",
			"--columns=target,inactivity_probe,max_backoff,read_only,role,other_config,external_ids", "find", "Connection", `target="`+lawsTarget+`"`)},
		Clean: slices.Concat(
			steptest.Run("ip", "address", "replace", "10.127.0.2/32", "dev", "lo"),
			steptest.Run(sbctl, "del-connection")),
	})
}

func TestConnectionListensOrFails(t *testing.T) {
	m := central()
	absent := made(t, connectionKind(), ConnectionSpec{Database: "northbound", Target: "ptcp:6641:10.9.9.9"})
	f, err := absent.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextThatEnds(t)
	defer cancel()
	if err := absent.Apply(ctx, m.Host(), f); err == nil || !strings.Contains(err.Error(), "nothing listens") {
		t.Errorf("an address that the host does not have: %v", err)
	}
	if f, err = absent.Check(t.Context(), m.Host().View()); err != nil || !f.Changed() {
		t.Errorf("a row that nobody listens for counts as done: %v", err)
	}
	if err := absent.Undo(t.Context(), m.Host(), step.Finding{Before: []byte(`{"database":"northbound","target":"ptcp:6641:10.9.9.9","state":"absent"}`), Want: f.Want}); err != nil {
		t.Fatal(err)
	}
	if rows := m.Rows(host.Northbound, "Connection"); len(rows) > 0 {
		t.Errorf("undo left %v", rows)
	}
}

func TestConnectionOutputsAndWarnings(t *testing.T) {
	for target, want := range map[string][2]string{
		"ptcp:6642:10.127.0.2":     {`{"endpoint":"tcp:10.127.0.2:6642"}`, ""},
		"pssl:6642:[fd00::2]":      {`{"endpoint":"ssl:[fd00::2]:6642"}`, ""},
		"ptcp:6642":                {`{}`, "all addresses"},
		"ptcp:6642:0.0.0.0":        {`{}`, "all addresses"},
		"tcp:10.127.0.9:6642":      {`{}`, ""},
		"ptcp::10.127.0.2":         {`{"endpoint":"tcp:10.127.0.2:6640"}`, ""},
		"pssl:6642:fd00::2":        {`{"endpoint":"ssl:[fd00::2]:6642"}`, ""},
		"ptcp:6642:[::]":           {`{}`, "all addresses"},
		"ssl:[fd00::9]:6642":       {`{}`, ""},
		"ptcp:6642:[fd00::2%eth0]": {`{"endpoint":"tcp:[fd00::2%eth0]:6642"}`, ""},
	} {
		spec := ConnectionSpec{Database: "southbound", Target: target}
		if p := spec.Validate(); len(p) > 0 {
			t.Errorf("%s is refused: %v", target, p)
		}
		m := central()
		trusted(m)
		f, err := made(t, connectionKind(), spec).Check(t.Context(), m.Host().View())
		if err != nil || string(f.Outputs) != want[0] || !strings.Contains(strings.Join(f.Warnings, ""), want[1]) || (want[1] == "") != (len(f.Warnings) == 0) {
			t.Errorf("%s: outputs %s, warnings %q, %v", target, f.Outputs, f.Warnings, err)
		}
	}
	for _, target := range []string{"", "6642", "ptcp:x", "ptcp:6642:central", "tcp:", "tcp:10.0.0.1:70000", "unix:/run/x"} {
		if p := (&ConnectionSpec{Database: "southbound", Target: target}).Validate(); len(p) == 0 {
			t.Errorf("%q is not refused", target)
		}
	}
	if p := (&ConnectionSpec{Database: "northbound", Target: lawsTarget, Role: step.Is("x"), ReadOnly: step.Is(true)}).Validate(); len(p) != 2 {
		t.Errorf("columns that the northbound database lacks: %v", p)
	}
}

func TestConnectionWaitsForItsDatabase(t *testing.T) {
	m := fake.New()
	_, err := made(t, connectionKind(), ConnectionSpec{Database: "southbound", Target: lawsTarget}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) {
		t.Errorf("got %v", err)
	}
}

// trusted names keys as ovn-sbctl set-ssl does, and makes the files.
func trusted(m *fake.Machine) {
	var tx row.Tx
	tx.Insert("SSL", "ssl", ovsdb.Row{"private_key": "/etc/ovn/x.key", "certificate": "/etc/ovn/x.crt", "ca_cert": "/etc/ovn/ca.crt"})
	tx.Update("SB_Global", row.ID(m.Rows(host.Southbound, "SB_Global")[0]), ovsdb.Row{"ssl": row.UUIDs("ssl")})
	m.Transact(host.Southbound, tx.Operations()...)
	m.WriteFile("/etc/ovn/x.key", "")
	m.WriteFile("/etc/ovn/x.crt", "")
}

func TestConnectionWithTLSWaitsForItsKeys(t *testing.T) {
	secure := made(t, connectionKind(), ConnectionSpec{Database: "southbound", Target: "pssl:6642:10.127.0.2"})
	m := central()
	if _, err := secure.Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "names none") {
		t.Errorf("without a row SSL: %v", err)
	}
	trusted(m)
	if f, err := secure.Check(t.Context(), m.Host().View()); err != nil || !f.Changed() {
		t.Errorf("with it: %v, %v", f.Deltas, err)
	}
	m.Remove("/etc/ovn/x.crt")
	if _, err := secure.Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "certificate /etc/ovn/x.crt") {
		t.Errorf("without its certificate: %v", err)
	}
	gone := made(t, connectionKind(), ConnectionSpec{Database: "southbound", Target: "pssl:6642:10.127.0.2", State: step.Absent})
	if _, err := gone.Check(t.Context(), central().Host().View()); err != nil {
		t.Errorf("what goes needs none: %v", err)
	}
}
