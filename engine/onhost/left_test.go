package onhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

func TestARunThatIsAtWorkIsNotLeft(t *testing.T) {
	s := withDaemon(t)
	conf := file("/etc/d.conf", "x")
	working := s.open()
	working.hello("r1")
	working.check(conf, service("d", conf))
	working.apply(conf)
	looking := s.open()
	r := looking.do(wire.Request{Hello: &wire.Hello{Run: "r2", Intent: wire.Look}})
	if h := r.events[0].Hello; len(h.Open) != 0 {
		t.Errorf("open: %v", h.Open)
	}
	want(t, looking.check(conf, service("d", conf)), "file.etc/d.conf ok, service.d ok")
	looking.bye()
	want(t, working.endPlay(), "need restart d.service")
	working.bye()
}

func TestARunGoesOnInAnotherSession(t *testing.T) {
	s := newSite(t)
	before := s.machine.Snapshot()
	c := s.open()
	c.hello("r1")
	c.apply(file("/etc/a", "1"))
	c.cut()
	c = s.open()
	c.hello("r1")
	want(t, c.apply(file("/etc/b", "1")), "file.etc/b applying, file.etc/b changed")
	want(t, c.undo(), "file.etc/b undone, file.etc/a undone")
	want(t, c.undo(), "")
	want(t, c.do(wire.Request{Runs: &wire.Runs{}}), "run r1 undone 0/2")
	c.bye()
	if s.machine.Snapshot() != before {
		t.Error("not as before")
	}
	s.config.Digest = "d2"
	c = s.open()
	r := c.hello("r1")
	want(t, r, "ERROR")
	if !strings.Contains(r.failure(), "another build") {
		t.Errorf("said %q", r.failure())
	}
	c.cut()
}

func TestABrokenJournal(t *testing.T) {
	s := newSite(t)
	for path, content := range map[string]string{"runs/r0/journal": "{\"weft\":1,\"run\":\"r0\"}\nnonsense\n{}\n", "open/r0": "", "open/never-wrote": ""} {
		path = filepath.Join(s.config.State, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	want(t, c.check(file("/etc/a", "1")), "file.etc/a planned")
	c.bye()
	c = s.open()
	r := c.hello("r2")
	want(t, r, "ERROR")
	for _, word := range []string{"runs/r0/journal: line 2", "remove " + filepath.Join(s.config.State, "open", "r0")} {
		if !strings.Contains(r.failure(), word) {
			t.Errorf("%q does not say %q", r.failure(), word)
		}
	}
	c.cut()
	if err := os.Remove(filepath.Join(s.config.State, "open", "r0")); err != nil {
		t.Fatal(err)
	}
	c = s.open()
	want(t, c.hello("r3"), "")
	c.bye()
}

// What a step misses may be brought by a restart that is still to come.
func TestAnApplySettlesNeedsForAStepThatMissesSomething(t *testing.T) {
	s := withDaemon(t)
	s.machine.OnUnit("d.service", func(m *fake.Machine, verb host.UnitVerb) error {
		if _, configured := m.File("/etc/d.conf"); configured && verb == host.Start {
			m.Mkdir("/run/d")
		}
		return nil
	})
	conf, socket := file("/etc/d.conf", "x"), file("/run/d/socket", "x")
	c := s.open()
	c.hello("r1")
	want(t, c.check(conf, socket, service("d", conf)), "file.etc/d.conf planned, file.run/d/socket waiting, service.d ok")
	want(t, c.apply(conf, socket, service("d", conf)), "file.etc/d.conf applying, file.etc/d.conf changed, need restart d.service, "+
		"file.run/d/socket applying, file.run/d/socket changed, service.d ok")
	want(t, c.apply(file("/run/never/x", "x")), "file.run/never/x failed")
	c.bye()
}

// A service that was started must be seen to stay.
func TestAStartedServiceMustStay(t *testing.T) {
	s := withDaemon(t)
	s.machine.Systemctl(host.Stop, "d.service")
	s.config.Host.Units = failsLater{s.config.Host.Units, s.machine}
	c := s.open()
	c.hello("r1")
	r := c.apply(service("d"))
	want(t, r, "service.d applying, service.d failed")
	if e := r.unit("service.d").Error; !strings.Contains(e, "running is false, not true") {
		t.Errorf("said %q", e)
	}
	c.bye()
}

func TestOldRunnersAreForgotten(t *testing.T) {
	s := newSite(t)
	old := filepath.Join(s.config.State, "bin", "old")
	named := filepath.Join(s.config.State, "bin", s.config.Digest)
	recent := filepath.Join(s.config.State, "bin", "recent")
	for _, dir := range []string{old, named, recent} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{old, named} {
		longAgo := time.Now().Add(-2 * fresh)
		if err := os.Chtimes(dir, longAgo, longAgo); err != nil {
			t.Fatal(err)
		}
	}
	c := s.open()
	c.hello("r1")
	c.apply(file("/etc/a", "1"))
	c.bye()
	mustNotExist(t, old)
	for _, dir := range []string{named, recent} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestOverlay(t *testing.T) {
	for _, c := range []struct{ newer, older, wantedBefore, want string }{
		{`{"a":1,"b":2}`, `{"a":0}`, `{"a":1}`, `{"a":0,"b":2}`},
		{`{"m":{"x":1,"y":2}}`, `{"m":{"x":0},"n":null}`, `{"m":{"x":1}}`, `{"m":{"x":0,"y":2},"n":null}`},
		{`{"a":[1]}`, `{"a":[2]}`, `{"a":[3]}`, `{"a":[2]}`},
		{`[1]`, `{"a":1}`, `{"a":1}`, `{"a":1}`},
		{`null`, `{"a":1}`, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, ``, `{"a":1}`, ``},
		// What the older wanted and did not find, it made.
		{`{"a":1,"bridge":"br-int"}`, `{"a":0}`, `{"a":1,"bridge":"br-int"}`, `{"a":0}`},
		{`{"found":{"row":1}}`, `{"found":{}}`, `{"a":1}`, `{"found":{}}`},
		// Whether the object was there is the older one's to say.
		{`{"a":1,"b":2,"state":"present"}`, `{"state":"absent"}`, `{"a":1}`, `{"state":"absent"}`},
		{`{"state":"absent"}`, `{"a":1}`, `{"state":"absent"}`, `{"a":1}`},
	} {
		newer := step.Finding{Before: []byte(c.newer), Want: []byte(`{"another":"spec"}`)}
		older := step.Finding{Before: []byte(c.older), Want: []byte(c.wantedBefore)}
		if got := string(overlay(newer, older)); got != c.want {
			t.Errorf("%s before %s: %s", c.older, c.newer, got)
		}
		newer.Want = older.Want
		if got := string(overlay(newer, older)); got != c.older {
			t.Errorf("%s before %s, of one spec: %s", c.older, c.newer, got)
		}
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct{ newer, older, want string }{
		{`{"a":1}`, `{"a":0,"b":2}`, `{"a":1,"b":2}`},
		{`{"m":{"x":1}}`, `{"m":{"x":0,"y":2}}`, `{"m":{"x":1,"y":2}}`},
		{`{"state":"absent"}`, `{"a":0}`, `{"state":"absent"}`},
		{`{"a":1}`, `{"state":"absent"}`, `{"a":1}`},
	} {
		if got := string(wanted([]byte(c.newer), []byte(c.older))); got != c.want {
			t.Errorf("%s after %s: %s", c.newer, c.older, got)
		}
	}
}

func TestSecretPaths(t *testing.T) {
	for _, c := range []struct {
		attribute, path string
		covers          bool
	}{
		{"password", "password", true}, {"options", "options.key", true}, {"options.key", "options", true},
		{"options.key", "options.other", false}, {"pass", "password", false},
	} {
		if covers(c.attribute, c.path) != c.covers {
			t.Errorf("%s covers %s: %v", c.attribute, c.path, !c.covers)
		}
	}
	u := step.Unit{Spec: []byte(`{"a":{"b.c":"deep","d":["in","list"]},"e":"top","f":1}`), Secret: []string{"a.b.c", "a.d.0", "e", "g"}}
	if got := strings.Join(secretValues(u), " "); got != "deep in list top" {
		t.Errorf("values: %s", got)
	}
}

// A plan may show a difference and a restart that was left, at one step.
func TestDriftAndALeftNeedAtOneStep(t *testing.T) {
	s := withDaemon(t)
	conf := file("/etc/d.conf", "x")
	c := s.open()
	c.hello("r1")
	c.check(conf, service("d", conf))
	c.apply(conf)
	c.cut()
	s.machine.WriteFile("/etc/d.conf", "by hand")
	c = s.open()
	c.hello("r2")
	f := c.check(conf).unit(conf.Address).Finding
	if len(f.Deltas) != 2 || f.Deltas[1].Path != "restart" || f.Cost.Disruption != "restarts d" {
		t.Errorf("the plan shows %+v", f)
	}
	want(t, c.do(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{conf}, Planned: map[string]string{conf.Address: f.Digest()}}}),
		"file.etc/d.conf applying, file.etc/d.conf changed")
	want(t, c.endPlay(), "need restart d.service")
	c.bye()
}

// The needs of the same run's earlier session are left ones too.
func TestARunFindsItsOwnNeedsAgain(t *testing.T) {
	s := withDaemon(t)
	conf := file("/etc/d.conf", "x")
	svc := service("d", conf)
	c := s.open()
	c.hello("r1")
	c.check(conf, svc)
	c.apply(conf)
	c.cut()
	c = s.open()
	c.hello("r1")
	want(t, c.check(conf, svc), "file.etc/d.conf ok, service.d planned")
	want(t, c.apply(conf, svc), "file.etc/d.conf ok, need restart d.service, service.d changed")
	c.bye()
	mustNotExist(t, filepath.Join(s.config.State, "open", "r1"))
}
