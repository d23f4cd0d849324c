package onhost

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

func TestNoSecretLeavesTheHost(t *testing.T) {
	const canary = `c4n"ary<&>'s`
	const old = "0ld-c4nary"
	s := newSite(t)
	s.machine.WriteFile("/etc/secret", old)
	s.machine.Program("tells", func(*fake.Machine, host.Command) host.Result {
		quoted, _ := json.Marshal(map[string]string{"password": canary})
		return host.Result{Exit: 1,
			Stdout: []byte(base64.StdEncoding.EncodeToString([]byte("user:" + canary + "\n"))),
			Stderr: []byte("bad password " + canary + "\n" + string(quoted) + "\nlast: " + canary)}
	})
	secret := file("/etc/secret", canary)
	secret.Secret = []string{"content"}
	tool := step.Unit{Address: "tool.t", Kind: "tool", Name: "tells", Spec: []byte(`{}`)}

	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Change}})
	r := c.check(secret)
	want(t, r, "file.etc/secret planned")
	d := r.unit("file.etc/secret").Finding.Deltas
	if len(d) != 1 || !d[0].Secret || d[0].From != nil || d[0].To != nil {
		t.Errorf("the delta is %+v", d)
	}
	if digest := r.unit("file.etc/secret").Finding.Digest(); digest == "" {
		t.Error("no digest")
	}
	want(t, c.apply(secret, tool), "file.etc/secret applying, file.etc/secret changed, tool.t applying, tool.t failed")
	c.do(wire.Request{Exec: &wire.Exec{Argv: []string{"tells"}}})
	c.do(wire.Request{Exec: &wire.Exec{Argv: []string{canary}}})
	telling := file("/etc/x"+canary+"/y", "1")
	telling.Address = "file.x" // comes from the controller
	c.apply(telling)
	c.undo()
	c.bye()
	if got, _ := s.machine.File("/etc/secret"); got != old {
		t.Errorf("the undo brought %q", got)
	}

	said, _ := json.Marshal(c.events)
	all := string(said) + s.log.String()
	quoted, _ := json.Marshal(canary)
	for _, form := range []string{
		canary, strings.Trim(string(quoted), `"`), old, "c4n",
		base64.StdEncoding.EncodeToString([]byte("user:" + canary))[8:20],
	} {
		if i := strings.Index(all, form); i >= 0 {
			t.Errorf("%q was said: …%s…", form, all[max(0, i-60):min(len(all), i+60)])
		}
	}
}

// Who takes a change back another day does not know the variables: what was
// made of one is in the journal, and what it was made of too.
func TestNoSecretLeavesTheHostAnotherDay(t *testing.T) {
	const canary = "c4nary-value"
	s := newSite(t)
	s.machine.Program("tells", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 1, Stderr: []byte("bad password " + canary)}
	})
	secret := file("/etc/url", "https://user:"+canary+"@host/")
	secret.Secret, secret.Parts = []string{"content"}, []string{canary}
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Change}})
	want(t, c.apply(secret), "file.etc/url applying, file.etc/url changed")
	c.bye()

	c = s.open()
	c.hello("r2")
	want(t, c.do(rollback("r1")), "file.etc/url undone, run r1 undone 0/1")
	c.do(wire.Request{Exec: &wire.Exec{Argv: []string{"tells"}}})
	c.bye()
	told := 0
	for _, e := range c.events {
		if e.Exec == nil {
			continue
		}
		told++
		if strings.Contains(string(e.Exec.Stderr), canary) {
			t.Errorf("it was said: %s", e.Exec.Stderr)
		}
	}
	if told != 1 {
		t.Errorf("%d results of the program", told)
	}
}

// What was shown had no secrets in it, and is compared so.
func TestASecretWithinAValueIsNotStale(t *testing.T) {
	s := newSite(t)
	conf := file("/etc/conf", "password = c4nary-value")
	conf.Parts = []string{"c4nary-value"}
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Change}})
	planned := map[string]string{conf.Address: c.check(conf).unit(conf.Address).Finding.Digest()}
	want(t, c.do(wire.Request{Apply: &wire.Apply{Play: "p", Units: []step.Unit{conf}, Planned: planned}}),
		"file.etc/conf applying, file.etc/conf changed")
	c.bye()
}

// A spec's sensitive attributes are secrets, whatever they are made of.
func TestSensitiveAttributesAreScrubbedUnasked(t *testing.T) {
	s := newSite(t)
	u := file("/etc/none/c4nary-value", "x")
	u.Secret = []string{"path"}
	c := s.open()
	c.hello("r1")
	r := c.check(u)
	if e := r.unit(u.Address).Error; e == "" || strings.Contains(e, "c4nary") {
		t.Errorf("said %q", e)
	}
	c.bye()
}
