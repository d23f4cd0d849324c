package system

import (
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawOther  = "[Service]\nExecStart=/bin/sleep 9999\nNice=5\n[Install]\nWantedBy=multi-user.target\n"
	lawDropIn = lawUnitFile + ".d/50-weft.conf"
	lawNice   = "[Service]\nNice=3\n"
)

// reread is what a hand does that knows systemd.
func reread(path, text string, more ...host.UnitVerb) steptest.Hand {
	h := ctl("", more...)
	h.Fake = together(wrote(path, text), rereads, h.Fake)
	h.Host = sequence(steptest.Run("mkdir", "-p", path[:strings.LastIndex(path, "/")]), typed(path, text), steptest.Run("systemctl", "daemon-reload"), h.Host)
	return h
}

// unlinked is a hand that removes a file and has systemd know.
func unlinked(name, path string) steptest.Hand {
	return steptest.Hand{Name: name, Fake: func(m *fake.Machine) { m.Remove(path); rereads(m) },
		Host: sequence(steptest.Run("rm", path), steptest.Run("systemctl", "daemon-reload"))}
}

// rereads is systemctl daemon-reload: what a run that was killed left unread is read
// by the next, and no undo makes it unread.
func rereads(m *fake.Machine) { m.Systemctl(host.Reload, "") }

func named(name string, h steptest.Hand) steptest.Hand {
	h.Name = name
	return h
}

func TestSystemdUnitLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind: systemdUnitKind(),
		Machine: func() *fake.Machine {
			m := fake.New()
			m.Symlink("/etc/systemd/system/multi-user.target.wants/cron.service", "/lib/systemd/system/cron.service")
			return m
		},
		Policy: []string{"override", "drop_in", "restart"}, Forget: rereads,
		Found: []steptest.Hand{
			{Name: "absent"},
			named("different and running", reread(lawUnitFile, lawOther, host.Start)),
			named("enabled and running", reread(lawUnitFile, sleeper, host.Enable, host.Start)),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: SystemdUnitSpec{Unit: steptest.Prefix, Content: step.Is(content(sleeper)), Restart: true},
				Drift: []steptest.Hand{named("content", reread(lawUnitFile, lawOther)), unlinked("state", lawUnitFile)},
			},
			{Name: "absent", Spec: SystemdUnitSpec{Unit: steptest.Prefix, State: step.Absent}, Drift: []steptest.Hand{
				named("state", reread(lawUnitFile, lawOther)),
			}},
		},
		Touches: steptest.Touches{Units: []string{lawUnit}, Files: []string{lawUnitFile, lawUnitFile + ".d", "/etc/systemd/system/multi-user.target.wants/" + lawUnit}},
		Clean: sequence(
			steptest.Run("systemctl", "disable", "--now", lawUnit), steptest.Run("systemctl", "stop", lawUnit), steptest.Run("rm", "-rf", lawUnitFile, usrUnitFile, lawUnitFile+".d"),
			steptest.Run("systemctl", "daemon-reload"), steptest.Run("systemctl", "reset-failed", lawUnit),
		),
	})
}

func TestSystemdUnitLawsOfADropIn(t *testing.T) {
	const beside = lawUnitFile + ".d/40-hand.conf"
	laws(t, steptest.Subject{
		Kind:    systemdUnitKind(),
		Machine: unitMachine,
		Policy:  []string{"content", "drop_in", "restart"},
		Forget:  rereads,
		Found: []steptest.Hand{
			{Name: "stopped"},
			ctl("running", host.Start),
			named("beside another, running", reread(beside, lawNice, host.Start)),
			named("different", reread(lawDropIn, "[Service]\nNice=7\n", host.Start)),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: SystemdUnitSpec{Unit: steptest.Prefix, Override: step.Is(content(lawNice)), Restart: true},
				Drift: []steptest.Hand{
					named("override", reread(lawDropIn, "[Service]\nNice=5\n")), unlinked("state", lawDropIn),
				},
			},
			{Name: "not restarted", Spec: SystemdUnitSpec{Unit: steptest.Prefix, Override: step.Is(content(lawNice)), DropIn: "50-weft"}},
			{Name: "absent", Spec: SystemdUnitSpec{Unit: steptest.Prefix, DropIn: "50-weft", State: step.Absent, Restart: true}},
		},
		Touches: steptest.Touches{Units: []string{lawUnit}, Files: []string{lawUnitFile + ".d"}},
		Clean: sequence(
			steptest.Run("systemctl", "stop", lawUnit), steptest.Run("rm", "-rf", lawUnitFile, lawUnitFile+".d"),
			typed(usrUnitFile, sleeper), steptest.Run("systemctl", "daemon-reload"),
		),
	})
}

// TestSystemdUnitThatNobodyReread: a file that a hand changed, and systemd does not
// know it.
func TestSystemdUnitThatNobodyReread(t *testing.T) {
	m := fake.New()
	m.WriteFile(lawUnitFile, lawOther)
	m.Systemctl(host.Start, lawUnit)
	m.WriteFile(lawUnitFile, sleeper)
	f, err := check(t, systemdUnitKind(), m, SystemdUnitSpec{Unit: steptest.Prefix, Content: step.Is(content(sleeper)), Restart: true})
	if err != nil || len(f.Deltas) != 1 || f.Deltas[0].Path != "loaded" || len(f.Needs) != 1 || f.Needs[0].Object != lawUnit {
		t.Fatalf("%+v, %v", f, err)
	}
	s, _ := systemdUnitKind().Make(step.Unit{Spec: []byte(`{"unit":"weft-laws","content":` + quoted(sleeper) + `}`)})
	applied(t, m, s)
	if m.UnitState(lawUnit).Stale {
		t.Error("it is still to be read")
	}
}

func quoted(s string) string { b, _ := content(s).MarshalJSON(); return string(b) }

func TestSystemdUnitSays(t *testing.T) {
	m := unitMachine()
	m.WriteFile(lawUnitFile+".d/override.conf", "[Service]\nNice=9\n")
	m.WriteFile("/etc/systemd/system/hidden.service", sleeper)
	m.Remove("/etc/systemd/system/hidden.service")
	m.Systemctl(host.Mask, "hidden.service")
	f, err := check(t, systemdUnitKind(), m, SystemdUnitSpec{Unit: steptest.Prefix, Override: step.Is(content(lawNice)), Restart: true})
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "override.conf is read later") || len(f.Needs) != 0 {
		t.Errorf("a later drop-in: %+v, %v", f, err)
	}
	if _, err = check(t, systemdUnitKind(), m, SystemdUnitSpec{Unit: "hidden", Content: step.Is(content(sleeper))}); err == nil || !strings.Contains(err.Error(), "masked") {
		t.Errorf("a masked unit: %v", err)
	}
	m.Systemctl(host.Start, lawUnit)
	if f, err = check(t, systemdUnitKind(), m, SystemdUnitSpec{Unit: steptest.Prefix, Override: step.Is(content(lawNice))}); err != nil || len(f.Needs) != 0 || !strings.Contains(strings.Join(f.Warnings, ";"), "goes on as before") {
		t.Errorf("not restarted: %+v, %v", f, err)
	}
	for want, spec := range map[string]SystemdUnitSpec{
		"unit":     {Unit: "a/b", Content: step.Is(content("[Service]\n"))},
		"content":  {Unit: "a"},
		"override": {Unit: "a", Override: step.Is(content("Nice=3\n"))},
		"drop_in":  {Unit: "a", Override: step.Is(content("[Service]\n")), DropIn: "x.conf"},
		"":         {Unit: "a@", Content: step.Is(content("# x\n[Service]\nExecStart=/bin/a \\\n# y\n  b\n"))},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

func FuzzUnitText(f *testing.F) {
	f.Add("[Service]\nExecStart=/bin/true \\\n x\n;c\nNice\n")
	f.Add("=\n[]\n[a\n\\")
	f.Fuzz(func(t *testing.T, text string) {
		u := parseUnitText(text)
		if len(u.keys)+len(u.mistakes) > strings.Count(text, "\n")+1 {
			t.Errorf("%q has more than its lines: %+v", text, u)
		}
		for _, k := range u.keys {
			if !strings.Contains(k, ".") {
				t.Errorf("%q has no section", k)
			}
		}
	})
}

// TestSystemdUnitBecomesSensitive: a text that was no secret and is one now is no longer
// for all to read, whether or not it changes; a mode alone restarts nothing, and an undo
// gives it back.
func TestSystemdUnitBecomesSensitive(t *testing.T) {
	const public = "[Service]\nEnvironment=KEY=old\nExecStart=/bin/sleep 9999\n"
	for name, found := range map[string]string{"the same text": sleeper, "another text": public} {
		for attribute, at := range map[string]string{"content": lawUnitFile, "override": lawDropIn} {
			t.Run(name+", "+attribute, func(t *testing.T) {
				m := unitMachine()
				m.WriteFile(at, found)
				m.Systemctl(host.Reload, "")
				m.Systemctl(host.Start, lawUnit)
				before := m.Snapshot()
				s, err := systemdUnitKind().Make(step.Unit{Spec: []byte(`{"unit":"weft-laws","restart":true,"` + attribute + `":` + quoted(sleeper) + `}`), Secret: []string{attribute}})
				if err != nil {
					t.Fatal(err)
				}
				f := applied(t, m, s)
				if restarts := len(f.Needs) > 0; restarts != (found != sleeper) {
					t.Errorf("needs: %+v", f.Needs)
				}
				if info, err := m.Host().Files.Stat(t.Context(), at); err != nil || info.Mode != 0o600 {
					t.Errorf("its mode is %v, %v", info.Mode, err)
				}
				if again, err := s.Check(t.Context(), m.Host().View()); err != nil || again.Changed() {
					t.Errorf("there is still %+v to do, %v", again.Deltas, err)
				}
				m.Chmod(at, 0o644)
				if again, err := s.Check(t.Context(), m.Host().View()); err != nil || len(again.Deltas) != 1 || again.Deltas[0].Path != "mode" {
					t.Errorf("its drift is %+v, %v", again.Deltas, err)
				}
				m.Chmod(at, 0o600)
				if err := s.Undo(t.Context(), m.Host(), f); err != nil {
					t.Error(err)
				}
				if after := m.Snapshot(); after != before {
					t.Errorf("undo left\n%s\nof\n%s", after, before)
				}
			})
		}
	}
}
