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

func lawsLB() handed { return handed{"ovn_load_balancer", "Load_Balancer", steptest.Prefix} }

// lbCentral has two switches and a router to have load balancers.
func lbCentral() *fake.Machine {
	m := twoSwitches()
	addRow("Logical_Router", ovsdb.Row{"name": "weft-laws-r"})(m)
	return m
}

// handLB is a load balancer of the step's as another hand has it.
func handLB(m *fake.Machine) {
	var tx row.Tx
	tx.Insert("Load_Balancer_Health_Check", "check", ovsdb.Row{"vip": "10.0.0.10:80", "options": row.Strmap(map[string]string{"interval": "9"}), "external_ids": row.Strmap(map[string]string{"note": "kept"})})
	tx.Insert("Load_Balancer", "made", ovsdb.Row{
		"name": steptest.Prefix, "protocol": row.Optional("udp"), "selection_fields": row.Set("eth_src"),
		"vips":         row.Strmap(map[string]string{"10.0.0.10:80": "10.0.1.1:80, 10.0.1.2:80", "10.0.0.11": "10.0.1.1"}),
		"health_check": row.UUIDs("check"), "external_ids": owned("ovn_load_balancer", "note", "kept"),
	})
	for _, s := range m.Rows(host.Northbound, "Logical_Switch") {
		if row.String(s, "name") == "weft-laws-b" {
			tx.Mutate("Logical_Switch", row.ID(s), row.AddRefs("load_balancer", "made"))
		}
	}
	m.Transact(host.Northbound, tx.Operations()...)
}

func handLBCommands() []host.Command {
	return steptest.Run(nbctl,
		"--id=@check", "create", "Load_Balancer_Health_Check", `vip="10.0.0.10:80"`, "options:interval=9", "external_ids:note=kept", "--",
		"--id=@made", "create", "Load_Balancer", "name="+steptest.Prefix, "protocol=udp", "selection_fields=eth_src",
		`vips={"10.0.0.10:80"="10.0.1.1:80, 10.0.1.2:80","10.0.0.11"="10.0.1.1"}`, "health_check=@check", ownedText("ovn_load_balancer", "note", "kept"), "--",
		"add", "Logical_Switch", "weft-laws-b", "load_balancer", "@made")
}

// checked gives the load balancer a health check that nobody asked for.
func checked() steptest.Hand {
	h := lawsLB()
	return steptest.Hand{
		Name: "health_check",
		Host: h.run("--id=@check", "create", "Load_Balancer_Health_Check", `vip="10.0.0.99:80"`, "--", "add", h.table, "@row", "health_check", "@check"),
		Fake: func(m *fake.Machine) {
			for _, lb := range m.Rows(host.Northbound, h.table) {
				if row.String(lb, "name") == h.name {
					var tx row.Tx
					tx.Insert("Load_Balancer_Health_Check", "check", ovsdb.Row{"vip": "10.0.0.99:80"})
					tx.Mutate(h.table, row.ID(lb), row.AddRefs("health_check", "check"))
					m.Transact(host.Northbound, tx.Operations()...)
				}
			}
		},
	}
}

// intervals gives all health checks another interval.
func intervals(value string) steptest.Hand {
	return steptest.Hand{
		Name: "health_check",
		Host: steptest.Run("sh", "-ec", `for c in $(ovn-nbctl --bare --columns=_uuid list Load_Balancer_Health_Check); do ovn-nbctl set Load_Balancer_Health_Check $c options:interval=`+value+`; done`),
		Fake: func(m *fake.Machine) {
			m.Transact(host.Northbound, ovsdb.Operation{
				Op: ovsdb.OperationMutate, Table: "Load_Balancer_Health_Check",
				Mutations: row.SetKeys("options", map[string]*string{"interval": &value}),
			})
		},
	}
}

func lbSubject() steptest.Subject {
	h := lawsLB()
	onA, onB := parent{"Logical_Switch", "weft-laws-a", "load_balancer"}, parent{"Logical_Switch", "weft-laws-b", "load_balancer"}
	onRouter := parent{"Logical_Router", "weft-laws-r", "load_balancer"}
	return steptest.Subject{
		Kind: loadBalancerKind(), Machine: lbCentral, Policy: []string{"adopt"},
		Found: []steptest.Hand{
			{Name: "absent", Fake: addRow(h.table, ovsdb.Row{"name": "other"}), Host: steptest.Run("true")},
			{Name: "different", Fake: handLB, Host: handLBCommands()},
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: LoadBalancerSpec{
					VIPs:     keys{"10.0.0.10:80": step.Is("10.0.1.1:80,10.0.1.2:80"), "[fd00::10]:80": step.Is("[fd00:1::1]:80"), "10.0.0.11": step.None[string]()},
					Protocol: step.Is("tcp"), SelectionFields: []string{"ip_dst", "ip_src"},
					HealthCheck:    []HealthCheck{{VIP: "10.0.0.10:80", Options: map[string]string{"interval": "5", "timeout": "3"}}, {VIP: "[fd00::10]:80"}},
					IPPortMappings: keys{"10.0.1.1": step.Is("p1:10.0.1.254"), "10.0.1.2": step.Is("p2:10.0.1.254"), "[fd00:1::1]": step.Is("p1:[fd00:1::fe]")},
					Options:        keys{"reject": step.Is("true"), "skip_snat": step.None[string]()},
					Switches:       []string{"weft-laws-a"}, Routers: []string{"weft-laws-r"}, ExternalIDs: keys{"by": step.Is("weft")},
				},
				Drift: []steptest.Hand{
					h.key("vips", "10.0.0.10:80", "10.0.1.1:80"),
					h.key("vips", "10.0.0.10:80", "10.0.1.1:80, 10.0.1.2:80"), // which ovn-northd does not understand
					h.key("vips", "[fd00::10]:80", ""),
					h.key("vips", "10.0.0.11", "10.0.1.9"),
					h.drift("protocol", row.Optional("sctp"), "sctp"),
					h.drift("selection_fields", row.Set("ip_src"), "ip_src"),
					checked(), intervals("7"),
					h.key("ip_port_mappings", "10.0.1.1", "p9:10.0.1.254"),
					h.key("options", "reject", ""), h.key("options", "skip_snat", "true"),
					h.moved("switches", onA, onB),
					h.moved("routers", onRouter),
					h.key("external_ids", "by", "me"),
					h.removed(),
				},
				Spellings: []steptest.Hand{
					h.key("vips", "[fd00::10]:80", "[FD00:1:0::1]:80"),
					h.key("vips", "10.0.0.12", "10.0.1.9"),
					h.drift("protocol", row.Empty(), "[]"),
				},
			},
			{
				Name: "emptied",
				Spec: LoadBalancerSpec{SelectionFields: []string{}, HealthCheck: []HealthCheck{}, Switches: []string{}, Protocol: step.None[string]()},
				Drift: []steptest.Hand{
					h.drift("selection_fields", row.Set("ip_src"), "ip_src"), h.drift("protocol", row.Optional("tcp"), "tcp"), checked(),
					{Name: "switches", Host: h.run("add", "Logical_Switch", "weft-laws-a", "load_balancer", "@row"), Fake: h.moved("", onB, onA).Fake},
				},
			},
			{Name: "absent", Spec: LoadBalancerSpec{State: step.Absent}, Drift: []steptest.Hand{{Name: "state", Fake: handLB, Host: handLBCommands()}}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			h.shown("name", "vips", "protocol", "selection_fields", "ip_port_mappings", "options", "external_ids"),
			steptest.Run("sh", "-c", `ovn-nbctl --format=csv --no-headings --columns=vip,options,external_ids list Load_Balancer_Health_Check | sort`),
			steptest.Run("sh", "-c", `row=$(ovn-nbctl --bare --columns=_uuid find Load_Balancer "$1"); test -z "$row" ||
				for t in Logical_Switch Logical_Router; do ovn-nbctl --bare --columns=name find $t "load_balancer{>=}$row" | sort; done`, "sh", lawsFind(h)))},
		Clean: slices.Concat(h.clean(), lawsSwitches(), steptest.Run(nbctl, "--may-exist", "lr-add", "weft-laws-r")),
	}
}

func TestLawsLoadBalancer(t *testing.T) { laws(t, lbSubject()) }

func TestLoadBalancerWaitsForItsRouter(t *testing.T) {
	m := lbCentral()
	_, err := made(t, loadBalancerKind(), LoadBalancerSpec{Name: "lb", Routers: []string{"lr9"}}).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), `logical router "lr9"`) {
		t.Errorf("a load balancer of a router that is not there: %v", err)
	}
}

func TestLoadBalancerAdvice(t *testing.T) {
	for _, c := range []struct {
		want              LoadBalancerSpec
		disrupts, warning string
	}{
		{LoadBalancerSpec{Name: steptest.Prefix}, "", ""},
		{LoadBalancerSpec{Name: steptest.Prefix, State: step.Absent}, "nobody answers at 10.0.0.10:80, 10.0.0.11", ""},
		{LoadBalancerSpec{Name: steptest.Prefix, VIPs: keys{"10.0.0.11": step.None[string]()}, Switches: []string{"weft-laws-a"}}, "nobody answers at 10.0.0.11; logical switch weft-laws-b loses the load balancer", ""},
		{LoadBalancerSpec{Name: steptest.Prefix, Switches: []string{}, Routers: []string{}}, "weft-laws-b loses", "nobody reaches it"},
		{
			LoadBalancerSpec{
				Name: steptest.Prefix, VIPs: keys{"10.0.0.10:80": step.Is("10.0.1.1:80,10.0.1.2:80")},
				HealthCheck: []HealthCheck{{VIP: "10.0.0.10:80"}}, IPPortMappings: keys{"10.0.1.1": step.Is("p1:10.0.1.254")},
			}, "", "endpoint 10.0.1.2:80 is taken for healthy",
		},
	} {
		m := lbCentral()
		handLB(m)
		f, err := madeFor(t, loadBalancerKind(), lawsOwner("ovn_load_balancer"), "ovn_load_balancer.a", c.want).Check(t.Context(), m.Host().View())
		w := strings.Join(f.Warnings, "; ")
		if err != nil || (f.Cost.Disruption == "") != (c.disrupts == "") || !strings.Contains(f.Cost.Disruption, c.disrupts) || (w == "") != (c.warning == "") || !strings.Contains(w, c.warning) {
			t.Errorf("%+v: %q, %q, %v", c.want, f.Cost.Disruption, w, err)
		}
	}
}

func goodLB() LoadBalancerSpec {
	return LoadBalancerSpec{
		Name: "web", VIPs: keys{"10.0.0.10:80": step.Is("10.0.1.1:8080,10.0.1.2:8080"), "10.0.0.11": step.Is("10.0.1.1"), "fd00::1": step.Is("fd00::2"), "10.0.0.12:80": step.Is(""), "10.0.0.13:80": step.None[string]()},
		Protocol: step.Is("udp"), SelectionFields: []string{"tp_src", "ip_src"}, HealthCheck: []HealthCheck{{VIP: "10.0.0.10:80", Options: map[string]string{"interval": "5"}}},
		IPPortMappings: keys{"10.0.1.1": step.Is("p1:10.0.1.254"), "[fd00::2]": step.Is("p1:[fd00::fe]"), "10.0.1.3": step.None[string]()},
		Options:        keys{"affinity_timeout": step.Is("60"), "neighbor_responder": step.Is("all")},
	}
}

func TestLoadBalancerProblems(t *testing.T) {
	for name, change := range map[string]func(*LoadBalancerSpec){
		"as it is": func(*LoadBalancerSpec) {},
		"template": func(s *LoadBalancerSpec) {
			s.Options, s.VIPs, s.HealthCheck = keys{"template": step.Is("true")}, keys{"^VIP:80": step.Is("^BACKENDS")}, nil
		},
	} {
		s := goodLB()
		if change(&s); len(s.Validate()) > 0 {
			t.Errorf("%s: a good spec is refused: %v", name, s.Validate())
		}
	}
	vip := func(at, endpoints string) func(*LoadBalancerSpec) {
		return func(s *LoadBalancerSpec) { s.VIPs[at] = step.Is(endpoints) }
	}
	for want, change := range map[string]func(*LoadBalancerSpec){
		"vips.web:80":                      vip("web:80", "10.0.1.1:80"),
		"vips.10.0.0.1:0":                  vip("10.0.0.1:0", "10.0.1.1:80"),
		"vips.[FD00::1]:80":                vip("[FD00::1]:80", "[fd00::2]:80"),
		"vips.10.0.0.1:80":                 vip("10.0.0.1:80", "10.0.1.1"),
		"vips.10.0.0.2":                    vip("10.0.0.2", "10.0.1.1:80"),
		"vips.10.0.0.3:80":                 vip("10.0.0.3:80", "[fd00::1]:80"),
		"vips.10.0.0.4:80":                 vip("10.0.0.4:80", "10.0.1.1:80 10.0.1.2:80"),
		"vips.10.0.0.5:80":                 vip("10.0.0.5:80", "10.0.1.1:80, 10.0.1.2:80"),
		"switches":                         func(s *LoadBalancerSpec) { s.Switches = []string{"a", "a"} },
		"routers":                          func(s *LoadBalancerSpec) { s.Routers = []string{"a b"} },
		"selection_fields":                 func(s *LoadBalancerSpec) { s.SelectionFields = []string{"ip"} },
		"selection_fields,of no protocol":  func(s *LoadBalancerSpec) { s.Protocol = step.Attr[string]{} },
		"health_check":                     func(s *LoadBalancerSpec) { s.HealthCheck[0].VIP = "10.0.0.99:80" },
		"health_check,removed":             func(s *LoadBalancerSpec) { s.HealthCheck[0].VIP = "10.0.0.13:80" },
		"health_check,no port":             func(s *LoadBalancerSpec) { s.HealthCheck[0].VIP = "10.0.0.11" },
		"health_check,sctp":                func(s *LoadBalancerSpec) { s.Protocol = step.Is("sctp") },
		"health_check,option":              func(s *LoadBalancerSpec) { s.HealthCheck[0].Options["interval"] = "5s" },
		"health_check,twice":               func(s *LoadBalancerSpec) { s.HealthCheck = append(s.HealthCheck, HealthCheck{VIP: "10.0.0.10:80"}) },
		"health_check,template":            func(s *LoadBalancerSpec) { s.Options = keys{"template": step.Is("true")} },
		"ip_port_mappings.10.0.1.1":        func(s *LoadBalancerSpec) { s.IPPortMappings["10.0.1.1"] = step.Is("10.0.1.254") },
		"ip_port_mappings.10.0.1.1,family": func(s *LoadBalancerSpec) { s.IPPortMappings["10.0.1.1"] = step.Is("p1:[fd00::1]") },
		"ip_port_mappings.fd00::2":         func(s *LoadBalancerSpec) { s.IPPortMappings["fd00::2"] = step.Is("p1:[fd00::1]") },
		"ip_port_mappings.10.0.1.1:80":     func(s *LoadBalancerSpec) { s.IPPortMappings["10.0.1.1:80"] = step.Is("p1:10.0.1.254") },
		"options.affinity_timeout":         func(s *LoadBalancerSpec) { s.Options = keys{"affinity_timeout": step.Is("65536")} },
		"options.neighbor_responder":       func(s *LoadBalancerSpec) { s.Options = keys{"neighbor_responder": step.Is("yes")} },
		"external_ids.weft-owner":          func(s *LoadBalancerSpec) { s.ExternalIDs = keys{ownerKey: step.Is("me")} },
	} {
		s := goodLB()
		change(&s)
		path, _, _ := strings.Cut(want, ",")
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}
