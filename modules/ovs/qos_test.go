package ovs_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

// giveQoS is another hand that gives the port of the laws a QoS of its own, with
// queues by their numbers, each with one key of other_config. Others have the
// same QoS from then on, too.
func giveQoS(name, kind string, config map[string]string, queues map[int]string, others ...string) steptest.Hand {
	ports := append([]string{portName}, others...)
	argv := []string{"ovs-vsctl", "--timeout=10"}
	create := []string{"--id=@qos", "create", "qos", "type=" + kind}
	for k, v := range config {
		create = append(create, "other_config:"+k+"="+v)
	}
	for _, n := range slices.Sorted(maps.Keys(queues)) {
		argv = append(argv, fmt.Sprintf("--id=@q%d", n), "create", "queue", "other_config:"+queues[n], "external_ids:weft-laws=x", "--")
		create = append(create, fmt.Sprintf("queues:%d=@q%d", n, n))
	}
	argv = append(argv, create...)
	for _, p := range ports {
		argv = append(argv, "--", "set", "port", p, "qos=@qos")
	}
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) {
			var tx row.Tx
			refs := ovsdb.OvsMap{GoMap: map[any]any{}}
			for n, config := range queues {
				k, v, _ := strings.Cut(config, "=")
				refs.GoMap[n] = row.UUID(fmt.Sprintf("q%d", n))
				tx.Insert("Queue", fmt.Sprintf("q%d", n), ovsdb.Row{"other_config": row.Strmap(map[string]string{k: v}), "external_ids": row.Strmap(map[string]string{"weft-laws": "x"})})
			}
			tx.Insert("QoS", "qos", ovsdb.Row{"type": kind, "other_config": row.Strmap(config), "queues": refs})
			for _, p := range ports {
				tx.Update("Port", find(m, "Port", p), ovsdb.Row{"qos": row.UUIDs("qos")})
			}
			m.Transact(host.OpenVSwitch, tx.Operations()...)
		},
		Host: []host.Command{{Argv: argv}},
	}
}

// noQoS is another hand that takes the QoS off the port.
func noQoS(name string) steptest.Hand { return vsctl(name, "clear", "port", portName, "qos") }

func setQoS(name string, args ...string) steptest.Hand {
	h := vsctl(name, append([]string{"set", "qos", portName}, args...)...)
	h.Fake = func(m *fake.Machine) {
		var tx row.Tx
		port, id := find(m, "Port", portName), ""
		for _, p := range m.Rows(host.OpenVSwitch, "Port") {
			if row.ID(p) == port {
				id = row.Ref(p, "qos")
			}
		}
		for _, w := range args {
			column, value, _ := strings.Cut(w, "=")
			if column, key, isMap := strings.Cut(column, ":"); isMap {
				tx.Mutate("QoS", id, row.SetKeys(column, map[string]*string{key: &value})...)
			} else {
				tx.Update("QoS", id, ovsdb.Row{column: value})
			}
		}
		m.Transact(host.OpenVSwitch, tx.Operations()...)
	}
	return h
}

func qosMachine() *fake.Machine {
	m := withBridge()
	for _, p := range []string{portName, uplinkName} {
		ovsVsctl(m, []string{"add-port", homeName, p, "--", "set", "interface", p, "type=internal"})
	}
	return m
}

func qosSubject(t *testing.T) steptest.Subject {
	none := func(*fake.Machine) {}
	ports := []steptest.Hand{{Fake: none, Host: vsctl("", "--may-exist", "add-br", homeName, "--", "set", "bridge", homeName, "datapath_type=netdev").Host}}
	for _, p := range []string{portName, uplinkName} {
		ports = append(ports, steptest.Hand{Fake: none, Host: vsctl("", "--may-exist", "add-port", homeName, p, "--", "set", "interface", p, "type=internal").Host})
	}
	htb := map[string]string{"max-rate": "5000000"}
	return steptest.Subject{
		Kind: kind(t, "ovs_qos"), Machine: qosMachine,
		Found: []steptest.Hand{
			steps("absent", ports...),
			steps("different", append(ports, giveQoS("", "linux-htb", htb, map[int]string{0: "max-rate=01000000", 5: "burst=7"}))...),
			steps("shared", append(ports, giveQoS("", "linux-htb", map[string]string{"max-rate": "5000000", "weft-laws": "x"}, map[int]string{1: "min-rate=1000"}, uplinkName))...),
		},
		Cases: []steptest.Case{
			{
				Name: "htb",
				Spec: ovs.QoSSpec{
					Type: step.Is("linux-htb"), OtherConfig: without(keys("max-rate", "10000000"), "weft-laws"), ExternalIDs: keys("weft-laws", "1"),
					Queues: []ovs.QoSQueue{{Number: 1, MinRate: step.Is(1000), MaxRate: step.Is(9000), Burst: step.Is(800), Priority: step.Is(2), DSCP: step.Is(46)}, {Number: 0, MaxRate: step.Is(1000000)}},
				},
				Drift: []steptest.Hand{
					noQoS("state"), setQoS("type", "type=linux-noop"), setQoS("other_config.max-rate", "other_config:max-rate=7"),
					setQoS("other_config.weft-laws", "other_config:weft-laws=y"), setQoS("external_ids.weft-laws", "external_ids:weft-laws=2"),
					giveQoS("queues", "linux-htb", map[string]string{"max-rate": "10000000"}, map[int]string{0: "max-rate=999"}),
				},
				Spellings: []steptest.Hand{setQoS("a key of another hand", "other_config:note=mine")},
			},
			{
				Name: "left alone", Spec: ovs.QoSSpec{Type: step.Is("linux-noop"), Queues: []ovs.QoSQueue{}},
				Drift: []steptest.Hand{noQoS("state"), setQoS("type", "type=linux-htb"), giveQoS("queues", "linux-noop", nil, map[int]string{3: "max-rate=999"})},
			},
			{
				Name: "absent", Spec: ovs.QoSSpec{State: step.Absent},
				Drift: []steptest.Hand{giveQoS("state", "linux-htb", htb, map[int]string{0: "max-rate=9"})},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			query("QoS", portName, "type,other_config,external_ids"), query("QoS", uplinkName, "type,other_config,external_ids"),
			steptest.Run("ovs-appctl", "qos/show", portName))},
		Clean: slices.Concat(steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName),
			steptest.Run("ovs-vsctl", "--all", "destroy", "qos", "--", "--all", "destroy", "queue")),
	}
}

func TestQoSLaws(t *testing.T) { laws(t, qosSubject(t)) }

// TestQueuesBySingleColumns changes each column of a queue by another hand.
func TestQueuesBySingleColumns(t *testing.T) {
	want := ovs.QoSSpec{Port: portName, Type: step.Is("linux-htb"), Queues: []ovs.QoSQueue{
		{Number: 1, MinRate: step.Is(1000), MaxRate: step.Is(9000), Burst: step.Is(800), Priority: step.Is(2), DSCP: step.Is(46), OtherConfig: map[string]string{"x": "y"}},
	}}
	for column, value := range map[string]any{
		"min-rate": "999", "max-rate": "1", "burst": "801", "priority": "0", "x": "z", "more": "1", "max-rate ": "", "dscp": row.Optional(1), "dscp ": row.Empty(),
	} {
		m := qosMachine()
		s := made(t, "ovs_qos", want)
		apply(t, m, s)
		q := m.Rows(host.OpenVSwitch, "Queue")[0]
		var tx row.Tx
		if text, isKey := value.(string); isKey {
			key := strings.TrimSpace(column)
			keys := map[string]*string{key: &text}
			if key != column {
				keys[key] = nil
			}
			tx.Mutate("Queue", row.ID(q), row.SetKeys("other_config", keys)...)
		} else {
			tx.Update("Queue", row.ID(q), ovsdb.Row{"dscp": value})
		}
		m.Transact(host.OpenVSwitch, tx.Operations()...)
		f := check(t, m, s)
		if len(f.Deltas) != 1 || f.Deltas[0].Path != "queues" {
			t.Errorf("%q is found as %v", column, f.Deltas)
		}
		apply(t, m, s)
		if f := check(t, m, s); f.Changed() || len(m.Rows(host.OpenVSwitch, "Queue")) != 1 {
			t.Errorf("%q: repaired to %v, %v", column, f.Deltas, m.Rows(host.OpenVSwitch, "Queue"))
		}
	}
}

// TestOthersKeepTheirQoS changes a port whose QoS another port has, and whose
// queue a third QoS has: they stay, and no row is left over in the end.
func TestOthersKeepTheirQoS(t *testing.T) {
	m := qosMachine()
	giveQoS("", "linux-htb", nil, map[int]string{1: "max-rate=9"}, uplinkName).Fake(m)
	var tx row.Tx
	tx.Insert("QoS", "", ovsdb.Row{"type": "linux-hfsc", "queues": ovsdb.OvsMap{GoMap: map[any]any{4: row.UUID(row.ID(m.Rows(host.OpenVSwitch, "Queue")[0]))}}})
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	before := m.Snapshot()
	s := made(t, "ovs_qos", ovs.QoSSpec{Port: portName, Type: step.Is("linux-htb"), Queues: []ovs.QoSQueue{{Number: 1, MaxRate: step.Is(10)}}})
	f := apply(t, m, s)
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], uplinkName) {
		t.Errorf("warnings %q", f.Warnings)
	}
	if n, q := len(m.Rows(host.OpenVSwitch, "QoS")), len(m.Rows(host.OpenVSwitch, "Queue")); n != 3 || q != 2 {
		t.Errorf("%d QoS and %d queues", n, q)
	}
	if err := s.Undo(t.Context(), m.Host(), journalled(t, f)); err != nil {
		t.Fatal(err)
	}
	if after := m.Snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	// The port is alone with its QoS now: nothing is left of it.
	noQoS("").Fake(m)
	m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Port", Row: ovsdb.Row{"qos": row.Empty()}})
	m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationDelete, Table: "QoS"}, ovsdb.Operation{Op: ovsdb.OperationDelete, Table: "Queue"})
	apply(t, m, s)
	apply(t, m, made(t, "ovs_qos", ovs.QoSSpec{Port: portName, State: step.Absent}))
	if n, q := len(m.Rows(host.OpenVSwitch, "QoS")), len(m.Rows(host.OpenVSwitch, "Queue")); n+q != 0 {
		t.Errorf("%d QoS and %d queues are left over", n, q)
	}
}

// TestQueueOfAnotherQoSStays removes a QoS whose queue another QoS has, too.
func TestQueueOfAnotherQoSStays(t *testing.T) {
	m := qosMachine()
	giveQoS("", "linux-htb", nil, map[int]string{1: "max-rate=9", 2: "max-rate=8"}).Fake(m)
	var shared string
	for _, q := range m.Rows(host.OpenVSwitch, "Queue") {
		if row.Map(q, "other_config")["max-rate"] == "9" {
			shared = row.ID(q)
		}
	}
	var tx row.Tx
	tx.Insert("QoS", "", ovsdb.Row{"type": "linux-hfsc", "queues": ovsdb.OvsMap{GoMap: map[any]any{4: row.UUID(shared)}}})
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	before := m.Snapshot()
	s := made(t, "ovs_qos", ovs.QoSSpec{Port: portName, State: step.Absent})
	f := apply(t, m, s)
	if q := m.Rows(host.OpenVSwitch, "Queue"); len(q) != 1 || row.ID(q[0]) != shared {
		t.Errorf("queues %v", q)
	}
	if err := s.Undo(t.Context(), m.Host(), journalled(t, f)); err != nil || m.Snapshot() != before {
		t.Errorf("undo: %v, left\n%s", err, m.Snapshot())
	}
}

// TestUndoLeavesAnotherHandsQueues: another hand changed a queue since; the rest
// goes back.
func TestUndoLeavesAnotherHandsQueues(t *testing.T) {
	m := qosMachine()
	giveQoS("", "linux-htb", map[string]string{"max-rate": "5"}, map[int]string{0: "max-rate=1"}).Fake(m)
	s := made(t, "ovs_qos", ovs.QoSSpec{Port: portName, Type: step.Is("linux-htb"), OtherConfig: keys("max-rate", "6"), Queues: []ovs.QoSQueue{{Number: 0, MaxRate: step.Is(2)}}})
	f := journalled(t, apply(t, m, s))
	var tx row.Tx
	tx.Update("Queue", row.ID(m.Rows(host.OpenVSwitch, "Queue")[0]), ovsdb.Row{
		"other_config": row.Strmap(map[string]string{"max-rate": "3"}), "external_ids": row.Strmap(map[string]string{"by": "hand"}),
	})
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), "queues") {
		t.Errorf("%v", err)
	}
	q, qos := m.Rows(host.OpenVSwitch, "Queue"), m.Rows(host.OpenVSwitch, "QoS")
	if len(q) != 1 || row.Map(q[0], "external_ids")["by"] != "hand" || len(qos) != 1 || row.Map(qos[0], "other_config")["max-rate"] != "5" {
		t.Errorf("queues %v of %v", q, qos)
	}
}

// rowsOfQoS counts what is in the two tables whose rows live without being
// referred to.
func rowsOfQoS(m *fake.Machine) (qos, queues int) {
	return len(m.Rows(host.OpenVSwitch, "QoS")), len(m.Rows(host.OpenVSwitch, "Queue"))
}

// TestNoRowIsLeftBehind has another hand take the QoS off its port, or the port
// away.
func TestNoRowIsLeftBehind(t *testing.T) {
	m := qosMachine()
	want := ovs.QoSSpec{Port: portName, Type: step.Is("linux-htb"), Queues: []ovs.QoSQueue{{Number: 1, MaxRate: step.Is(9000)}}}
	s := made(t, "ovs_qos", want)
	first := journalled(t, apply(t, m, s))
	noQoS("").Fake(m)
	f := check(t, m, s)
	if paths := pathsOf(f); !slices.Contains(paths, "left") || !slices.Contains(paths, "state") {
		t.Errorf("a QoS that was taken off is found as %v", paths)
	}
	apply(t, m, s)
	if n, q := rowsOfQoS(m); n != 1 || q != 1 || check(t, m, s).Changed() {
		t.Errorf("%d QoS and %d queues", n, q)
	}
	// Taken off again, and then all is taken back: none of ours stays.
	noQoS("").Fake(m)
	first.Settled = true
	if err := s.Undo(t.Context(), m.Host(), first); err != nil {
		t.Error(err)
	}
	if n, q := rowsOfQoS(m); n+q != 0 {
		t.Errorf("undo left %d QoS and %d queues", n, q)
	}
	apply(t, m, s)
	ovsVsctl(m, []string{"del-port", portName})
	apply(t, m, made(t, "ovs_qos", ovs.QoSSpec{Port: portName, State: step.Absent}))
	if n, q := rowsOfQoS(m); n+q != 0 {
		t.Errorf("the port is gone, and %d QoS and %d queues are left", n, q)
	}
}

// TestRowsOfOthersAreLeft: what nobody refers to, and we did not make, stays.
func TestRowsOfOthersAreLeft(t *testing.T) {
	m := qosMachine()
	giveQoS("", "linux-htb", nil, map[int]string{1: "max-rate=9"}).Fake(m)
	noQoS("").Fake(m)
	s := made(t, "ovs_qos", ovs.QoSSpec{Port: portName, Type: step.Is("linux-htb")})
	apply(t, m, s)
	apply(t, m, made(t, "ovs_qos", ovs.QoSSpec{Port: portName, State: step.Absent}))
	if n, q := rowsOfQoS(m); n != 1 || q != 1 {
		t.Errorf("%d QoS and %d queues are left of another hand's", n, q)
	}
}

func pathsOf(f step.Finding) []string {
	var paths []string
	for _, d := range f.Deltas {
		paths = append(paths, d.Path)
	}
	return paths
}

// TestQoSThatIsNotInForce: the kernel lacks the scheduler.
func TestQoSThatIsNotInForce(t *testing.T) {
	m := qosMachine()
	s := made(t, "ovs_qos", ovs.QoSSpec{Port: portName, Type: step.Is("linux-codel")})
	m.WriteFile("/var/log/openvswitch/ovs-vswitchd.log", "2026-11-21T18:02:16.681Z|00051|netdev_linux|WARN|"+portName+": Failed to install new qdisc: No such file or directory\n")
	err := s.Apply(t.Context(), m.Host(), check(t, m, s))
	if err == nil || !strings.Contains(err.Error(), "linux-codel is not in force: QoS not configured on "+portName) || !strings.Contains(err.Error(), "Failed to install new qdisc") {
		t.Errorf("%v", err)
	}
	if f := check(t, m, s); len(f.Deltas) != 1 || f.Deltas[0].Path != "error" {
		t.Errorf("it is found as %v", f.Deltas)
	}
}

func TestQoSWaitsForItsPort(t *testing.T) {
	m := withBridge()
	_, err := made(t, "ovs_qos", ovs.QoSSpec{Port: "eth9", Type: step.Is("linux-sfq")}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "no port eth9") {
		t.Errorf("%v", err)
	}
	if f := check(t, m, made(t, "ovs_qos", ovs.QoSSpec{Port: "eth9", State: step.Absent})); f.Changed() {
		t.Errorf("a port that is not there has a QoS: %v", f.Deltas)
	}
}

func TestRefusedQoS(t *testing.T) {
	queue := func(q ovs.QoSQueue) func(*ovs.QoSSpec) { return func(s *ovs.QoSSpec) { s.Queues = []ovs.QoSQueue{q} } }
	for want, change := range map[string]func(*ovs.QoSSpec){
		"":                  func(*ovs.QoSSpec) {},
		"type":              func(s *ovs.QoSSpec) { s.Type = step.Attr[string]{} },
		"port":              func(s *ovs.QoSSpec) { s.Port = "a b" },
		"other_config.cbs":  func(s *ovs.QoSSpec) { s.Type, s.OtherConfig = step.Is("egress-policer"), keys("cir", "1") },
		"queues:of sfq":     func(s *ovs.QoSSpec) { s.Type, s.Queues = step.Is("linux-sfq"), []ovs.QoSQueue{{Number: 0}} },
		"queues:twice":      func(s *ovs.QoSSpec) { s.Queues = []ovs.QoSQueue{{Number: 1}, {Number: 1}} },
		"queues:number":     queue(ovs.QoSQueue{Number: 0xf000}),
		"queues:rates":      queue(ovs.QoSQueue{MinRate: step.Is(2), MaxRate: step.Is(1)}),
		"queues:rate":       queue(ovs.QoSQueue{MinRate: step.Is(0)}),
		"queues:priority":   queue(ovs.QoSQueue{Priority: step.Is(-1)}),
		"queues:dscp":       queue(ovs.QoSQueue{DSCP: step.Is(64)}),
		"queues:of its own": queue(ovs.QoSQueue{OtherConfig: map[string]string{"max-rate": "1"}}),
		"queues:hfsc's burst": func(s *ovs.QoSSpec) {
			s.Type, s.Queues = step.Is("linux-hfsc"), []ovs.QoSQueue{{Burst: step.Is(1)}}
		},
	} {
		s := ovs.QoSSpec{Port: "eth1", Type: step.Is("linux-htb")}
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		p := s.Validate()
		if want == "" && len(p) > 0 || want != "" && (len(p) != 1 || p[0].Path != path || p[0].Message == "") {
			t.Errorf("%s: %v", want, p)
		}
	}
}
