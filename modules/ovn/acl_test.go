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

func lawsACL() handed { return handed{kind: "ovn_acl", table: "ACL"} }

// aclCentral has two switches and a port group that rules hold on.
func aclCentral() *fake.Machine {
	m := groupCentral()
	handGroup()(m)
	addRow("Address_Set", ovsdb.Row{"name": "weft.laws"})(m)
	return m
}

func aclSubject() steptest.Subject {
	h := lawsACL()
	onA, onB := parent{"Logical_Switch", "weft-laws-a", "acls"}, parent{"Logical_Switch", "weft-laws-b", "acls"}
	onGroup := parent{portGroupTable, "weft.laws", "acls"}
	byHand := ovsdb.Row{
		"direction": "from-lport", "priority": 7, "match": "ip6", "action": "reject", "log": true, "name": row.Optional("old"),
		"severity": row.Optional("alert"), "meter": row.Optional("m1"), "options": row.Strmap(map[string]string{"apply-after-lb": "true"}),
		"external_ids": owned(h.kind, "note", "kept"),
	}
	byHandCommands := steptest.Run(nbctl, "--id=@made", "create", "ACL", "direction=from-lport", "priority=7", "match=ip6", "action=reject",
		"log=true", "name=old", "severity=alert", "meter=m1", "options:apply-after-lb=true", ownedText(h.kind, "note", "kept"),
		"--", "add", "Logical_Switch", "weft-laws-b", "acls", "@made")
	return steptest.Subject{
		Kind: aclKind(), Machine: aclCentral, Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: func(*fake.Machine) {}, Host: steptest.Run("true")},
			{Name: "different", Fake: h.addTo(onB, byHand), Host: byHandCommands},
		},
		Cases: []steptest.Case{
			{
				Name: "on a switch",
				Spec: ACLSpec{
					Switch: step.Is("weft-laws-a"), Direction: "to-lport", Priority: 1001, Match: `outport == "weft-laws-p1" && ip4.src == $weft.laws`, Action: "allow-related",
					Log: step.Is(true), LogName: step.Is("weft-laws"), Severity: step.Is("info"), Meter: step.None[string](), Label: step.Is(77),
					Options: keys{"log-related": step.Is("true"), "apply-after-lb": step.None[string]()}, ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					h.moved("switch", onA, onB),
					as("switch", h.moved("", onA, onGroup)),
					h.drift("direction", "from-lport", "from-lport"),
					h.drift("priority", 5, "5"),
					h.drift("match", "ip4", "ip4"),
					h.drift("action", "drop", "drop"),
					h.drift("log", false, "false"),
					as("log_name", h.drift("name", row.Empty(), "[]")),
					h.drift("severity", row.Optional("debug"), "debug"),
					h.drift("meter", row.Optional("m2"), "m2"),
					h.drift("label", 0, "0"),
					h.key("options", "log-related", ""),
					h.key("options", "apply-after-lb", "true"),
					h.key("external_ids", "by", "me"),
					h.moved("state", onA),
				},
				Spellings: []steptest.Hand{
					h.drift("severity", row.Empty(), "[]"),
					h.key("external_ids", "note", "mine"),
				},
			},
			{
				Name: "on a port group",
				Spec: ACLSpec{
					PortGroup: step.Is("weft.laws"), Direction: "from-lport", Priority: 7, Match: "inport == @weft.laws", Action: "drop",
					Log: step.Is(false), LogName: step.None[string](), Label: step.None[int](), Options: keys{"apply-after-lb": step.Is("true")},
				},
				Drift: []steptest.Hand{
					h.moved("port_group", onGroup, onB),
					h.drift("priority", 8, "8"),
					h.drift("log", true, "true"),
					h.drift("label", 9, "9"),
					as("log_name", h.drift("name", row.Optional("named"), "named")),
					h.moved("state", onGroup),
				},
			},
			{
				Name: "absent", Spec: ACLSpec{Switch: step.Is("weft-laws-a"), Direction: "to-lport", Priority: 1001, Match: "ip4", Action: "drop", State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: h.addTo(onB, byHand), Host: byHandCommands}},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			h.shown("direction", "priority", "match", "action", "log", "name", "severity", "meter", "label", "options", "external_ids"),
			steptest.Run(nbctl, "acl-list", "weft-laws-a"), steptest.Run(nbctl, "acl-list", "weft-laws-b"), steptest.Run(nbctl, "acl-list", "weft.laws"))},
		Clean: slices.Concat(
			steptest.Run(nbctl, "--if-exists", "ls-del", "weft-laws-a", "--", "--if-exists", "ls-del", "weft-laws-b"),
			steptest.Run(nbctl, "--if-exists", "destroy", portGroupTable, "weft.laws", "--", "--if-exists", "destroy", "Address_Set", "weft.laws"),
			lawsPortsCommands(), steptest.Run(nbctl, "pg-add", "weft.laws", "weft-laws-p1"), steptest.Run(nbctl, "create", "Address_Set", "name=weft.laws")),
	}
}

func TestLawsACL(t *testing.T) { laws(t, aclSubject()) }

func dropARP() ACLSpec {
	return ACLSpec{Name: "a", Switch: step.Is("weft-laws-a"), Direction: "to-lport", Priority: 1001, Match: "arp", Action: "drop"}
}

func TestACLThatIsThereTwiceIsRefused(t *testing.T) {
	m := aclCentral()
	same := ovsdb.Row{"direction": "to-lport", "priority": 1001, "match": "arp", "action": "allow"}
	lawsACL().addTo(parent{"Logical_Switch", "weft-laws-b", "acls"}, same)(m)
	if f, err := made(t, aclKind(), dropARP()).Check(t.Context(), m.Host().View()); err != nil || !f.Changed() {
		t.Fatalf("a rule of another switch is in the way: %v", err)
	}
	lawsACL().addTo(parent{"Logical_Switch", "weft-laws-a", "acls"}, same)(m)
	_, err := made(t, aclKind(), dropARP()).Check(t.Context(), m.Host().View())
	if err == nil || !strings.Contains(err.Error(), "adopt = true") {
		t.Fatalf("a rule of another hand: %v", err)
	}
	adopting := dropARP()
	adopting.Adopt = true
	converge(t, made(t, aclKind(), adopting), m)
	if rules := m.Rows(host.Northbound, "ACL"); len(rules) != 2 {
		t.Errorf("%d rules instead of one adopted and one left alone", len(rules))
	}
}

func TestACLWaitsForWhatItsMatchNames(t *testing.T) {
	for match, missing := range map[string]string{
		"ip4.src == $weft.laws && ip4.dst == $other": `address set "other"`,
		"outport == @weft.laws && inport == @others": `port group "others"`,
		"ip4.src == $weft.laws_ip4":                  "",
		"ip4.src == $others_ip4":                     `address set "others_ip4"`,
		`inport == "$none" && ip`:                    "",
		`inport == "a\"b$none" && ip`:                "",
	} {
		m, s := aclCentral(), dropARP()
		s.Match = match
		_, err := made(t, aclKind(), s).Check(t.Context(), m.Host().View())
		if missing == "" && err != nil || missing != "" && (!errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), missing)) {
			t.Errorf("%s: %v", match, err)
		}
		s.State = step.Absent
		if _, err := made(t, aclKind(), s).Check(t.Context(), m.Host().View()); err != nil {
			t.Errorf("%s, absent: %v", match, err)
		}
	}
}

// Where another hand moved the rule on, it is not ours to move back.
func TestUndoOfAMovedACL(t *testing.T) {
	m := aclCentral()
	h := lawsACL()
	h.addTo(parent{"Logical_Switch", "weft-laws-a", "acls"}, ovsdb.Row{"direction": "to-lport", "priority": 1001, "match": "arp", "action": "drop", "external_ids": owned(h.kind)})(m)
	spec := dropARP()
	spec.Switch, spec.PortGroup = step.Attr[string]{}, step.Is("weft.laws")
	s := madeFor(t, aclKind(), lawsOwner(h.kind), "ovn_acl."+steptest.Prefix, spec)
	found := m.Snapshot()
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || len(f.Deltas) != 1 || f.Deltas[0].Path != "port_group" {
		t.Fatalf("%v, %v", f.Deltas, err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	back := m.Clone()
	if err := s.Undo(t.Context(), back.Host(), f); err != nil || back.Snapshot() != found {
		t.Errorf("undo: %v", err)
	}
	h.moved("", parent{portGroupTable, "weft.laws", "acls"}, parent{"Logical_Switch", "weft-laws-b", "acls"}).Fake(m)
	elsewhere := m.Snapshot()
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo of a rule that another hand moved on: %v", err)
	}
	if m.Snapshot() != elsewhere {
		t.Error("undo moved it all the same")
	}
}

func TestACLAdvice(t *testing.T) {
	for _, c := range []struct {
		name              string
		change            func(*ACLSpec)
		disrupts, warning string
	}{
		{"a drop", func(*ACLSpec) {}, "to-lport of logical switch weft-laws-a that matches arp is dropped", ""},
		{"an allow", func(s *ACLSpec) { s.Action = "allow" }, "", ""},
		{"on a group", func(s *ACLSpec) { s.Switch, s.PortGroup = step.Attr[string]{}, step.Is("weft.laws") }, "of port group weft.laws", ""},
		{"idle", func(s *ACLSpec) { s.Severity, s.LogName = step.Is("info"), step.Is("x") }, "is dropped", "severity and log_name without effect"},
		{"logged", func(s *ACLSpec) { s.Severity, s.Log = step.Is("info"), step.Is(true) }, "is dropped", ""},
	} {
		m, s := aclCentral(), dropARP()
		c.change(&s)
		f, err := made(t, aclKind(), s).Check(t.Context(), m.Host().View())
		if err != nil || (f.Cost.Disruption == "") != (c.disrupts == "") || !strings.Contains(f.Cost.Disruption, c.disrupts) {
			t.Errorf("%s: %q, %v", c.name, f.Cost.Disruption, err)
		}
		if w := strings.Join(f.Warnings, ""); (w == "") != (c.warning == "") || !strings.Contains(w, c.warning) {
			t.Errorf("%s: %q", c.name, w)
		}
	}
	m, s := aclCentral(), dropARP()
	s.Action = "allow"
	converge(t, made(t, aclKind(), s), m)
	s.State = step.Absent
	f, err := made(t, aclKind(), s).Check(t.Context(), m.Host().View())
	if err != nil || !strings.Contains(f.Cost.Disruption, "lets through") {
		t.Errorf("removal of an allow: %q, %v", f.Cost.Disruption, err)
	}
}

func TestACLProblems(t *testing.T) {
	for _, match := range []string{"1", "ip4.src == {10.0.0.1, 10.0.0.2} && (tcp.dst >= 80 || tcp.dst <= 90) && !ip.frag", `inport == "a(b=" && ct_label[0..3] == 1`} {
		s := dropARP()
		s.Match = match
		if p := s.Validate(); len(p) > 0 {
			t.Errorf("%s: %v", match, p)
		}
	}
	for want, change := range map[string]func(*ACLSpec){
		"switch":                  func(s *ACLSpec) { s.Switch = step.Attr[string]{} },
		"switch:none":             func(s *ACLSpec) { s.Switch = step.None[string]() },
		"switch:empty":            func(s *ACLSpec) { s.Switch = step.Is("") },
		"port_group":              func(s *ACLSpec) { s.PortGroup = step.Is("pg") },
		"priority":                func(s *ACLSpec) { s.Priority = 32768 },
		"match":                   func(s *ACLSpec) { s.Match = " " },
		"match:equal":             func(s *ACLSpec) { s.Match = "tcp.dst = 80" },
		"match:string":            func(s *ACLSpec) { s.Match = `inport == "a` },
		"match:bracket":           func(s *ACLSpec) { s.Match = "ip4 && (tcp || udp" },
		"match:other bracket":     func(s *ACLSpec) { s.Match = "ip4.src == {1.1.1.1)}" },
		"match:outport":           func(s *ACLSpec) { s.Direction, s.Match = "from-lport", `outport == "a"` },
		"label":                   func(s *ACLSpec) { s.Label = step.Is(4) },
		"label:range":             func(s *ACLSpec) { s.Action, s.Label = "allow", step.Is(1<<32) },
		"log_name":                func(s *ACLSpec) { s.LogName = step.Is(strings.Repeat("x", 64)) },
		"options.apply-after-lb":  func(s *ACLSpec) { s.Options = keys{"apply-after-lb": step.Is("true")} },
		"options.log-related":     func(s *ACLSpec) { s.Options = keys{"log-related": step.Is("true")} },
		"external_ids.weft-owner": func(s *ACLSpec) { s.ExternalIDs = keys{ownerKey: step.Is("me")} },
	} {
		s := dropARP()
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}
