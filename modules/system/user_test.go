package system

import (
	"context"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawUser  = steptest.Prefix
	lawGroup = steptest.Prefix + "-g"
)

// tooled is a hand with the tools of shadow-utils, the same on both machines.
func tooled(name string, lines ...string) steptest.Hand {
	var all []host.Command
	for _, l := range lines {
		argv := strings.Fields(strings.ReplaceAll(l, "USER", lawUser))
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], "_", " ")
		}
		c := host.Command{Argv: argv}
		if argv[0] == "chpasswd" {
			c.Stdin = []byte(lawUser + ":$6$x$y\n")
		}
		all = append(all, c)
	}
	return steptest.Hand{Name: name, Host: all, Fake: func(m *fake.Machine) {
		for _, c := range all {
			if _, err := m.Host().Commands.Run(context.Background(), c); err != nil {
				panic(err)
			}
		}
	}}
}

var accountQueries = []host.Command{
	{Argv: []string{"grep", "^" + lawUser, "/etc/passwd"}}, {Argv: []string{"grep", lawUser, "/etc/group"}},
	{Argv: []string{"sed", "-n", "/^" + lawUser + "/p", "/etc/shadow"}},
}

func TestUserLaws(t *testing.T) {
	clean := sequence(steptest.Run("userdel", lawUser), steptest.Run("groupdel", lawUser), steptest.Run("groupdel", lawGroup), steptest.Run("groupadd", "-g", "61999", lawGroup))
	laws(t, steptest.Subject{
		Kind: userKind(),
		Machine: func() *fake.Machine {
			m := accountMachine()
			add(m, "/etc/group", lawGroup+":x:61999:")
			return m
		},
		Policy: []string{"system"},
		Found: []steptest.Hand{
			{Name: "absent"},
			tooled("its group is there", "groupadd -g 61500 USER"),
			tooled("different", "useradd -M -u 61234 -U -d /srv/x -s /bin/sh -c other USER", "gpasswd -a USER disk", "chpasswd -e", "chage -d 19500 -m -1 -M 90 -W 7 -I 3 -E 30000 USER"),
			tooled("in another group", "useradd -M -u 61777 -N -g 61999 -d /nonexistent/ -c _ USER"),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: UserSpec{User: lawUser, UID: step.Is(61777), Group: step.Is(lawGroup), Groups: []string{"audio", "disk"}, Home: step.Is("/nonexistent"), Shell: step.Is("/bin/sh"), Comment: step.Is("weft's own")},
				Drift: []steptest.Hand{
					tooled("uid", "usermod -u 61778 USER"), tooled("group", "usermod -g disk USER"), tooled("groups", "gpasswd -d USER audio"),
					tooled("home", "usermod -d /home/x USER"), tooled("shell", "usermod -s /bin/false USER"), tooled("comment", "usermod -c drift USER"),
					tooled("state", "userdel USER"),
				},
				Spellings: []steptest.Hand{tooled("slash", "usermod -d /nonexistent/ USER"), {Name: "no shell", Fake: func(m *fake.Machine) { change(m, "/etc/passwd", lawUser, func(f []string) { f[6] = "" }) },
					Host: steptest.Run("sed", "-i", "/^"+lawUser+":/s/:[^:]*$/:/", "/etc/passwd")}},
			},
			{Name: "plain", Spec: UserSpec{User: lawUser, System: true}},
			{Name: "its groups, by number", Spec: UserSpec{User: lawUser, Group: step.Is("61999"), Groups: []string{lawGroup}}},
			{Name: "absent", Spec: UserSpec{User: lawUser, State: step.Absent}, Drift: []steptest.Hand{tooled("state", "useradd -M -u 61777 -N -g disk USER")}},
		},
		Touches: steptest.Touches{Queries: accountQueries},
		Clean:   clean,
		Prepare: func(t *testing.T, h host.Host) {
			t.Cleanup(func() {
				for _, c := range clean[:3] {
					_, _ = h.Commands.Run(context.Background(), c)
				}
			})
		},
	})
}

func TestGroupLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    groupKind(),
		Machine: accountMachine,
		Policy:  []string{"system"},
		Found:   []steptest.Hand{{Name: "absent"}, tooled("different", "groupadd -g 61500 USER", "gpasswd -a daemon USER")},
		Cases: []steptest.Case{
			{Name: "whole", Spec: GroupSpec{Group: lawUser, GID: step.Is(61777), Members: []string{"root"}, System: true}, Drift: []steptest.Hand{
				tooled("gid", "groupmod -g 61778 USER"), tooled("members", "gpasswd -d root USER"), tooled("state", "groupdel USER"),
			}},
			{Name: "plain", Spec: GroupSpec{Group: lawUser, Members: []string{"daemon"}}},
			{Name: "absent", Spec: GroupSpec{Group: lawUser, State: step.Absent}, Drift: []steptest.Hand{tooled("state", "groupadd -g 61500 USER")}},
		},
		Touches: steptest.Touches{Queries: accountQueries},
		Clean:   steptest.Run("groupdel", lawUser),
	})
}

func TestUserRefuses(t *testing.T) {
	m := accountMachine()
	if _, err := check(t, userKind(), m, UserSpec{User: "far"}); err == nil || !strings.Contains(err.Error(), "another source") {
		t.Errorf("a user of LDAP: %v", err)
	}
	if f, err := check(t, userKind(), m, UserSpec{User: "far", State: step.Absent}); err != nil || f.Changed() {
		t.Errorf("a user of LDAP is not ours to remove: %v, %v", f.Deltas, err)
	}
	add(m, "/etc/passwd", lawUser+":x:1234:1234::/:/bin/sh")
	m.SetKernel("/proc/77/status", "Name:\tqemu\nUid:\t1234\t1234\t1234\t1234\n")
	s, _ := userKind().Make(step.Unit{Spec: []byte(`{"user":"weft-laws","state":"absent"}`)})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "process 77 (qemu)") {
		t.Errorf("%v, %v", f.Warnings, err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "process 77 (qemu) runs as") {
		t.Errorf("it is removed under its process: %v", err)
	}
	for want, spec := range map[string]UserSpec{
		"user": {User: "-x"}, "uid": {User: "x", UID: step.Is(-1)}, "groups[0]": {User: "x", Groups: []string{"a b"}}, "state": {User: "root", State: step.Absent},
		"home": {User: "x", Home: step.Is("x")}, "shell": {User: "x", Shell: step.Is("/a:b")}, "comment": {User: "x", Comment: step.Is("a:b")}, "group": {User: "x", Group: step.None[string]()},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
	if got := problems(&GroupSpec{Group: "x", GID: step.Is(4294967295), Members: []string{""}}); got != "gid members[0]" {
		t.Errorf("%q", got)
	}
}

// TestUserSecret: no argument holds a password, and no plan shows one.
func TestUserSecret(t *testing.T) {
	m := accountMachine()
	add(m, "/etc/passwd", lawUser+":x:1234:1234::/:/bin/sh")
	add(m, "/etc/shadow", lawUser+":$6$canary:19000::::::")
	s, _ := userKind().Make(step.Unit{Spec: []byte(`{"user":"weft-laws","state":"absent"}`)})
	f := applied(t, m, s)
	var seen []string
	h := host.Observe(m.Host(), func(_ context.Context, e host.Effect) error { seen = append(seen, e.String()); return nil })
	if err := s.Undo(t.Context(), h, f); err != nil {
		t.Fatal(err)
	}
	if text, _ := m.File("/etc/shadow"); !strings.Contains(text, lawUser+":$6$canary:19000::::::\n") {
		t.Errorf("%s", text)
	}
	for _, d := range f.Deltas {
		if strings.Contains(string(d.From)+string(d.To), "canary") {
			t.Errorf("%+v", d)
		}
	}
	if strings.Contains(strings.Join(seen, " "), "canary") {
		t.Error(seen)
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n+nis:::\n", "kvm:x:104:a,b,,a\n")
	f.Add(":::::::\nx:x:99999999999:0:::\n", "x:x:-1:\n")
	f.Fuzz(func(t *testing.T, passwd, group string) {
		for _, u := range parsePasswd(passwd) {
			if u.name == "" || u.uid < 0 || u.gid < 0 {
				t.Errorf("%+v", u)
			}
		}
		for _, g := range parseGroups(group) {
			for _, m := range g.members {
				if m == "" || strings.Contains(m, ",") {
					t.Errorf("%+v", g)
				}
			}
		}
	})
}
