package ovn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// A hypervisor of the fake is the last part of its URI's address, and keeps its
// domains in files: state, reason, whether it starts with the host, whether it is
// defined.
const (
	runs    = "1 1 enable yes"
	off     = "5 1 enable yes"
	coming  = "3 11 disable no"
	guestID = "weft-laws-card"
)

func guestFile(hypervisor string) string { return "/guests/" + hypervisor + "/" + steptest.Prefix }

func uriOf(hypervisor string) string { return "qemu+tls://" + hypervisor + "/system" }

func hypervisors(chassis bool) map[string]Hypervisor {
	all := map[string]Hypervisor{}
	for _, name := range []string{"hyper1", "hyper2", "hyper3"} {
		h := Hypervisor{URI: uriOf(name), Address: step.Is("fd00::" + name[5:])}
		if chassis {
			h.Chassis = step.Is("id-" + name[5:])
		}
		all[name] = h
	}
	return all
}

// guestAt puts the guest somewhere, as another hand does.
func guestAt(hypervisor, state string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		m.WriteFile(guestFile(hypervisor), state)
		bindGuest(m)
	}
}

// moved is another hand that migrated the guest.
func moved(from, to string) func(*fake.Machine) {
	return func(m *fake.Machine) {
		migrated(m, from, to, "--persistent", "--undefinesource")
		bindGuest(m)
	}
}

func migrated(m *fake.Machine, from, to string, flags ...string) {
	was, _ := m.File(guestFile(from))
	is, left := strings.Replace(was, "enable", "disable", 1), ""
	if !slices.Contains(flags, "--persistent") {
		is = strings.TrimSuffix(is, "yes") + "no"
	}
	if !slices.Contains(flags, "--undefinesource") && strings.HasSuffix(was, "yes") {
		left = "5" + was[1:]
	}
	m.WriteFile(guestFile(from), left)
	m.WriteFile(guestFile(to), is)
}

// bindGuest is what the chassis do: they bind the guest's port where it is, if they
// may, and say how far they are.
func bindGuest(m *fake.Machine) {
	asked := 0
	for _, g := range m.Rows(host.Northbound, "NB_Global") {
		asked, _ = row.Int(g, "nb_cfg")
	}
	requested := ""
	for _, p := range m.Rows(host.Northbound, portTable) {
		if row.String(p, "name") == guestID {
			requested = row.Map(p, "options")[requestedChassis]
		}
	}
	at := ""
	for _, n := range []string{"1", "2", "3"} {
		update(host.Southbound, "Chassis_Private", "name", "id-"+n, ovsdb.Row{"nb_cfg": asked})(m)
		state, _ := m.File(guestFile("hyper" + n))
		if strings.HasPrefix(state, "1") && (requested == "" || slices.Contains(strings.Split(requested, ","), "id-"+n)) {
			at = "id-" + n
		}
	}
	if at == "" {
		update(host.Southbound, "Port_Binding", "logical_port", guestID, ovsdb.Row{"chassis": row.Empty(), "up": row.Optional(false)})(m)
		return
	}
	bind(guestID, at, true)(m)
}

// hypervised is a central from where three hypervisors can be reached. The guest
// has a card in OVN, and one that is not.
func hypervised() *fake.Machine {
	m := central()
	m.OnTransact(northd)
	for _, n := range []string{"1", "2", "3"} {
		addChassis(m, "id-"+n, "hyper"+n, "10.127.0."+n)
		m.WriteFile(guestFile("hyper"+n), "")
	}
	addSwitch("ls1", nil, nil)(m)
	addPort("ls1", ovsdb.Row{"name": guestID, "options": row.Strmap(map[string]string{"mcast_flood": "true"}),
		"external_ids": row.Strmap(map[string]string{ownerKey: steptest.Prefix + "/ovn_switch_port.g"})})(m)
	guestAt("hyper1", runs)(m)
	m.OnTransact(bindGuest)
	m.Program("virsh", fakeVirsh)
	return m
}

const guestXML = `<domain><devices>
<interface type="bridge"><virtualport type="openvswitch"><parameters interfaceid="` + guestID + `"/></virtualport></interface>
<interface type="bridge"><virtualport type="openvswitch"><parameters interfaceid="not-in-ovn"/></virtualport></interface>
<interface type="network"/></devices></domain>`

func fakeVirsh(m *fake.Machine, c host.Command) host.Result {
	at := strings.TrimSuffix(strings.TrimPrefix(c.Argv[2], "qemu+tls://"), "/system")
	content, known := m.File(guestFile(at))
	if !known {
		return host.Result{Exit: 1, Stderr: []byte("error: failed to connect to the hypervisor\nerror: unable to connect to server at '" + at + "': No route to host\n")}
	}
	is := strings.Fields(content + " 0 0 disable no")
	gone := host.Result{Exit: 1, Stderr: []byte("error: failed to get domain\n")}
	switch words := c.Argv[4:]; words[0] {
	case "domstats":
		out := "Domain: 'other'\n  state.state=1\n  state.reason=5\n\n"
		if content != "" {
			out += fmt.Sprintf("Domain: '%s'\n  state.state=%s\n  state.reason=%s\n", steptest.Prefix, is[0], is[1])
		}
		return host.Result{Stdout: []byte(out)}
	case "dumpxml":
		return host.Result{Stdout: []byte(guestXML)}
	case "dominfo":
		return host.Result{Stdout: []byte("Id:             1\nPersistent:     " + is[3] + "\nAutostart:      " + is[2] + "\n")}
	case "domjobinfo":
		switch {
		case content == "":
			return gone
		case !slices.Contains(words, "--completed"):
			return host.Result{Stdout: []byte("Job type:         " + jobOf(m) + "        \n")}
		}
		return host.Result{Stdout: []byte("Job type:         Completed   \nTotal downtime:   125          ms\n")}
	case "autostart":
		from, to := "disable", "enable"
		if slices.Contains(words, "--disable") {
			from, to = to, from
		}
		m.WriteFile(guestFile(at), strings.Replace(content, from, to, 1))
	case "domjobabort":
		for _, n := range []string{"hyper1", "hyper2", "hyper3"} {
			if state, _ := m.File(guestFile(n)); state == coming {
				m.WriteFile(guestFile(n), "")
			}
		}
	case "migrate":
		to := words[slices.Index(words, "--desturi")+1]
		migrated(m, at, strings.TrimSuffix(strings.TrimPrefix(to, "qemu+tls://"), "/system"), words...)
		bindGuest(m)
	default:
		panic("no virsh " + words[0])
	}
	return host.Result{}
}

// jobOf is what libvirt does with the guest, wherever it is.
func jobOf(m *fake.Machine) string {
	for _, n := range []string{"hyper1", "hyper2", "hyper3"} {
		if state, _ := m.File(guestFile(n)); state == coming {
			return "Unbounded"
		}
	}
	return "None"
}

func TestLawsMigrate(t *testing.T) {
	elsewhere := steptest.Hand{Name: "to", Fake: moved("hyper2", "hyper3")}
	laws(t, steptest.Subject{
		Kind: migrateKind(), Machine: hypervised, Policy: []string{"hypervisors", "encryption", "timeout", "adopt"},
		Borrows:  "a guest on a hypervisor that the fake alone has",
		Fleeting: []string{"downtime_ms"},
		Found: []steptest.Hand{
			{Name: "at home", Fake: func(*fake.Machine) {}},
			{Name: "kept at home", Fake: requestedBy("id-1")},
			{Name: "there already", Fake: moved("hyper1", "hyper2")},
		},
		Cases: []steptest.Case{
			{Name: "with OVN", Spec: MigrateSpec{To: "hyper2", Hypervisors: hypervisors(true), Timeout: time.Minute},
				Drift: []steptest.Hand{elsewhere, {Name: "to.requested_chassis." + guestID, Fake: requestedBy("id-3")}}},
			{Name: "without OVN", Spec: MigrateSpec{To: "hyper2", Hypervisors: hypervisors(false), Autostart: step.Is(true), Encryption: "none", Timeout: time.Minute},
				Drift: []steptest.Hand{elsewhere, {Name: "autostart", Fake: guestAt("hyper2", "1 1 disable yes")}}},
		},
	})
}

func requestedBy(chassis string) func(*fake.Machine) {
	return setKey(host.Northbound, portTable, "name", guestID, "options", requestedChassis, chassis)
}

func migration(t *testing.T, to string) step.Step {
	t.Helper()
	return madeFor(t, migrateKind(), steptest.Prefix+"/vm_migrate.g", "vm_migrate.g",
		MigrateSpec{Domain: steptest.Prefix, To: to, Hypervisors: hypervisors(true), Encryption: "tls", Timeout: 200 * time.Millisecond})
}

func requestedNow(m *fake.Machine) string {
	for _, p := range m.Rows(host.Northbound, portTable) {
		if row.String(p, "name") == guestID {
			return row.Map(p, "options")[requestedChassis]
		}
	}
	return "no port"
}

// TestMigrationAnnouncesBoth: while the guest moves, its port is at both.
func TestMigrationAnnouncesBoth(t *testing.T) {
	m := hypervised()
	var during string
	var argv []string
	m.Program("virsh", func(m *fake.Machine, c host.Command) host.Result {
		if c.Argv[4] == "migrate" {
			during, argv = requestedNow(m), c.Argv
		}
		return fakeVirsh(m, c)
	})
	s := migration(t, "hyper2")
	converge(t, s, m)
	if during != "id-1,id-2" || requestedNow(m) != "id-2" {
		t.Errorf("requested-chassis was %q, and is %q", during, requestedNow(m))
	}
	if said := strings.Join(argv, " "); !strings.Contains(said, "--persistent --undefinesource --migrateuri tcp://[fd00::2] --tls") {
		t.Errorf("%s", said)
	}
	if state, _ := m.File(guestFile("hyper2")); state != runs {
		t.Errorf("there it is %q", state)
	}
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || string(f.Outputs) != `{"at":"hyper2","downtime_ms":125}` {
		t.Errorf("%s, %v", f.Outputs, err)
	}
}

// TestMigrationFails leaves the port where the guest runs.
func TestMigrationFails(t *testing.T) {
	for name, c := range map[string]struct {
		was   string // requested-chassis
		fails func(m *fake.Machine)
		says  string
		stays string
	}{
		"refused":                {"", func(*fake.Machine) {}, "no room there", ""},
		"refused, kept at home":  {"id-1", func(*fake.Machine) {}, "no room there", "id-1"},
		"refused, half made":     {"id-1,id-2", func(*fake.Machine) {}, "no room there", "id-1"},
		"not over in time":       {"", guestAt("hyper2", coming), "no room there", ""},
		"arrived all the same":   {"", moved("hyper1", "hyper2"), "", "id-2"},
		"somebody was quicker":   {"id-1", moved("hyper1", "hyper3"), "goes on at hyper3", "id-3"},
		"neither here nor there": {"", func(m *fake.Machine) { m.WriteFile(guestFile("hyper1"), "") }, "is not known", "id-1,id-2"},
	} {
		t.Run(name, func(t *testing.T) {
			m := hypervised()
			if c.was != "" {
				requestedBy(c.was)(m)
			}
			m.Program("virsh", func(m *fake.Machine, cmd host.Command) host.Result {
				if cmd.Argv[4] != "migrate" {
					return fakeVirsh(m, cmd)
				}
				c.fails(m)
				return host.Result{Exit: 1, Stderr: []byte("error: no room there\n")}
			})
			s := migration(t, "hyper2")
			f, err := s.Check(t.Context(), m.Host().View())
			if err != nil {
				t.Fatal(err)
			}
			err = s.Apply(t.Context(), m.Host(), f)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("said %v", err)
			}
			if got := requestedNow(m); got != c.stays {
				t.Errorf("requested-chassis is %q, want %q", got, c.stays)
			}
		})
	}
}

func TestGuestIsLookedFor(t *testing.T) {
	for name, c := range map[string]struct {
		hand   func(m *fake.Machine)
		says   string
		notYet bool
	}{
		"shut off":        {guestAt("hyper1", off), "shut off on hyper1", true},
		"nowhere":         {func(m *fake.Machine) { m.WriteFile(guestFile("hyper1"), "") }, "no hypervisor has", true},
		"twice":           {guestAt("hyper2", runs), "on hyper1 and hyper2 at once", false},
		"perhaps silent":  {all(func(m *fake.Machine) { m.WriteFile(guestFile("hyper1"), "") }, silent("hyper3")), "may be at work on hyper3", true},
		"between two":     {all(guestAt("hyper1", coming), guestAt("hyper2", coming)), "at this moment", false},
		"somebody else's": {setKey(host.Northbound, portTable, "name", guestID, "external_ids", ownerKey, "prod/x"), "belongs to", false},
		"no virsh":        {func(m *fake.Machine) { m.Program("virsh", nil) }, "libvirt-clients", true},
	} {
		t.Run(name, func(t *testing.T) {
			m := hypervised()
			c.hand(m)
			_, err := migration(t, "hyper2").Check(t.Context(), m.Host().View())
			if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, step.ErrNotYet) != c.notYet {
				t.Errorf("said %v", err)
			}
		})
	}
	// A migration that another began may end with the guest elsewhere: nothing is settled.
	m := hypervised()
	guestAt("hyper2", coming)(m)
	if f, err := migration(t, "hyper1").Check(t.Context(), m.Host().View()); err != nil || len(f.Deltas) == 0 || f.Deltas[0].Path != "to" {
		t.Errorf("on its way from where it shall be: %v, %v", f.Deltas, err)
	}
	m = hypervised()
	silent("hyper3")(m)
	f, err := migration(t, "hyper2").Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "hyper3") {
		t.Errorf("with a silent one elsewhere: %q, %v", f.Warnings, err)
	}
}

// TestGuestSeenTwice: the hypervisors are asked one after the other, and a guest may
// move in between.
func TestGuestSeenTwice(t *testing.T) {
	m := hypervised()
	m.Program("virsh", func(m *fake.Machine, c host.Command) host.Result {
		r := fakeVirsh(m, c)
		if state, _ := m.File(guestFile("hyper1")); state != "" && c.Argv[4] == "domstats" && strings.Contains(c.Argv[2], "hyper1") {
			moved("hyper1", "hyper2")(m)
		}
		return r
	})
	h := m.Host()
	want := migrationState{Domain: steptest.Prefix, At: "hyper2", How: migrationHow{Hypervisors: hypervisors(true), Timeout: time.Second}}
	if seen, err := look(t.Context(), host.View{Commands: meddled{h.Commands}}, want); err != nil || seen.at != "hyper2" {
		t.Errorf("%+v, %v", seen, err)
	}
}

// meddled looks by a program that may change the machine: the other hand's.
type meddled struct{ host.Commands }

func (r meddled) Query(ctx context.Context, c host.Command) (host.Result, error) {
	return r.Run(ctx, c)
}

// TestAnOlderOVN knows one requested chassis, and would unbind the port.
func TestAnOlderOVN(t *testing.T) {
	m := hypervised()
	h := m.Host()
	h.OVSDB = older{h.OVSDB}
	s := migration(t, "hyper2")
	f, err := s.Check(t.Context(), h.View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), h, f); err == nil || !strings.Contains(err.Error(), "it takes OVN 22.06") || requestedNow(m) != "" {
		t.Errorf("%v, and requested-chassis is %q", err, requestedNow(m))
	}
}

type older struct{ host.OVSDB }

func (o older) Select(ctx context.Context, db host.Database, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	if slices.Contains(ops[0].Columns, "requested_additional_chassis") {
		return nil, &host.OperationError{Op: "select", Kind: "unknown column"}
	}
	return o.OVSDB.Select(ctx, db, ops...)
}

// silent is a hypervisor that cannot be reached.
func silent(hypervisor string) func(*fake.Machine) {
	return func(m *fake.Machine) { m.Remove(guestFile(hypervisor)) }
}

func TestMigrateSpec(t *testing.T) {
	good := func() MigrateSpec {
		return MigrateSpec{Domain: "g1", To: "hyper2", Hypervisors: hypervisors(true), Timeout: time.Minute}
	}
	if s := good(); len(s.Validate()) > 0 {
		t.Fatalf("%v", s.Validate())
	}
	for name, spoil := range map[string]func(s *MigrateSpec){
		"to": func(s *MigrateSpec) { s.To = "hyper9" },
		"hypervisors.hyper1.address": func(s *MigrateSpec) {
			s.Hypervisors["hyper1"] = Hypervisor{URI: uriOf("hyper1"), Address: step.Is("fd00::1/64"), Chassis: step.Is("x")}
		},
		"timeout":                func(s *MigrateSpec) { s.Timeout = 0 },
		"domain":                 func(s *MigrateSpec) { s.Domain = "" },
		"hypervisors.hyper1.uri": func(s *MigrateSpec) { s.Hypervisors["hyper1"] = Hypervisor{URI: "-c evil", Chassis: step.Is("x")} },
		"hypervisors":            func(s *MigrateSpec) { s.Hypervisors["hyper1"] = Hypervisor{URI: uriOf("hyper1")} },
	} {
		s := good()
		spoil(&s)
		if p := s.Validate(); len(p) != 1 || p[0].Path != name {
			t.Errorf("%s: %v", name, p)
		}
	}
}

// FuzzVirsh reads what libvirtds of other machines say.
func FuzzVirsh(f *testing.F) {
	f.Add("Domain: 'g1'\n  state.state=1\n  state.reason=5\n\nDomain: 'it's'\n", "Total downtime:   125          ms\n")
	f.Add("  state.state=1\nDomain: \n=", "Total downtime: -3 ms")
	f.Fuzz(func(t *testing.T, states, info string) {
		for name, g := range parseStates(states) {
			if !strings.Contains(states, name) || g.lives() && g.crossing() {
				t.Errorf("%q: %+v", name, g)
			}
		}
		if ms, told := downtime(info); told && ms < 0 {
			t.Errorf("%d ms", ms)
		}
	})
}

func TestNamesThatVirshTakesForOthers(t *testing.T) {
	for _, name := range []string{"7", "3b8e2a4e-3f0c-4b8a-9f55-0d5a7e0c1aff"} {
		s := MigrateSpec{Domain: name, To: "hyper2", Hypervisors: hypervisors(true), Timeout: time.Minute}
		if p := s.Validate(); len(p) != 1 || p[0].Path != "domain" {
			t.Errorf("%s: %v", name, p)
		}
	}
}
