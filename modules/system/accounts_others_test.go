package system

import (
	"errors"
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// TestAccountsOfOthers: what weft made, and another hand uses since, stays whole; once it
// does no longer, the next undo takes it away.
func TestAccountsOfOthers(t *testing.T) {
	shadow := func(hash string) func(m *fake.Machine) {
		return func(m *fake.Machine) { change(m, "/etc/shadow", lawUser, func(f []string) { f[1] = hash }) }
	}
	hand := func(lines ...string) func(m *fake.Machine) { return tooled("", lines...).Fake }
	for name, c := range map[string]struct {
		kind       step.Kind
		spec       string
		does, ends func(m *fake.Machine)
		want       string
	}{
		"a member": {groupKind(), `{"group":"USER","members":["root"]}`, hand("gpasswd -a daemon USER"), hand("gpasswd -d daemon USER"), "daemon"},
		"a primary group": {groupKind(), `{"group":"USER"}`, func(m *fake.Machine) {
			add(m, "/etc/passwd", "other:x:1500:"+lineOf(m, "/etc/group", lawUser)[2]+"::/:/bin/sh")
		}, hand("userdel other"), "primary group of other"},
		"a group's password":       {groupKind(), `{"group":"USER"}`, func(m *fake.Machine) { add(m, "/etc/gshadow", lawUser+":$6$canary::") }, func(m *fake.Machine) { m.Remove("/etc/gshadow") }, "password"},
		"a group's administrator":  {groupKind(), `{"group":"USER"}`, func(m *fake.Machine) { add(m, "/etc/gshadow", lawUser+":!:root:") }, func(m *fake.Machine) { m.Remove("/etc/gshadow") }, "administrators"},
		"a group":                  {userKind(), `{"user":"USER","groups":["audio"]}`, hand("gpasswd -a USER disk"), hand("gpasswd -d USER disk"), "group disk"},
		"a password":               {userKind(), `{"user":"USER"}`, shadow("$6$canary"), shadow("!!"), "password"},
		"a password of nothing":    {userKind(), `{"user":"USER"}`, shadow(""), shadow("!"), "password"},
		"another in its own group": {userKind(), `{"user":"USER"}`, hand("gpasswd -a daemon USER"), hand("gpasswd -d daemon USER"), "daemon"},
		"another of its own group": {userKind(), `{"user":"USER"}`, func(m *fake.Machine) {
			add(m, "/etc/passwd", "other:x:1500:"+lineOf(m, "/etc/group", lawUser)[2]+"::/:/bin/sh")
		}, hand("userdel other"), "primary group of other"},
	} {
		for state, settled := range map[string]bool{"settled": true, "half made": false} {
			t.Run(name+", "+state, func(t *testing.T) {
				m := accountMachine()
				before := m.Snapshot()
				s, err := c.kind.Make(step.Unit{Spec: []byte(strings.ReplaceAll(c.spec, "USER", steptest.Prefix))})
				if err != nil {
					t.Fatal(err)
				}
				f := applied(t, m, s)
				f.Settled = settled
				c.does(m)
				used := m.Snapshot()
				err = s.Undo(t.Context(), m.Host(), f)
				if !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("undo says %v", err)
				}
				if m.Snapshot() != used {
					t.Error("undo touched what another hand uses")
				}
				c.ends(m)
				if err := s.Undo(t.Context(), m.Host(), f); err != nil {
					t.Error(err)
				}
				if m.Snapshot() != before {
					t.Errorf("undo left\n%s", m.Snapshot())
				}
			})
		}
	}
}
