package system

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawUnit     = steptest.Prefix + ".service"
	lawUnitFile = "/etc/systemd/system/" + lawUnit
	usrUnitFile = "/usr/lib/systemd/system/" + lawUnit
)

const sleeper = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"

func unitMachine() *fake.Machine {
	m := fake.New()
	m.WriteFile(usrUnitFile, sleeper)
	m.SetKernel("/proc/uptime", "1000000.00 1000000.00")
	// systemd keeps a .wants directory of another unit in it
	m.Symlink("/etc/systemd/system/multi-user.target.wants/cron.service", "/lib/systemd/system/cron.service")
	return m
}

// ctl is systemctl on both machines.
func ctl(name string, verbs ...host.UnitVerb) steptest.Hand {
	h := steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		for _, v := range verbs {
			m.Systemctl(v, lawUnit)
		}
	}}
	for _, v := range verbs {
		h.Host = append(h.Host, host.Command{Argv: []string{"systemctl", string(v), lawUnit}})
	}
	return h
}

func TestServiceLaws(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    serviceKind(),
		Machine: unitMachine,
		Policy:  []string{"steady"},
		Found: []steptest.Hand{
			{Name: "stopped"},
			ctl("running", host.Start),
			ctl("enabled and running", host.Enable, host.Start),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: ServiceSpec{Unit: steptest.Prefix, Running: step.Is(true), Enabled: step.Is(true), Masked: step.Is(false), Steady: "10ms"},
				Drift: []steptest.Hand{
					ctl("running", host.Stop),
					ctl("enabled", host.Disable),
					ctl("masked", host.Mask),
				},
			},
			{Name: "enabled alone", Spec: ServiceSpec{Unit: lawUnit, Enabled: step.Is(true)}},
			{Name: "stopped", Spec: ServiceSpec{Unit: lawUnit, Running: step.Is(false)}},
			{Name: "masked", Spec: ServiceSpec{Unit: lawUnit, Masked: step.Is(true), Running: step.Is(false)}},
		},
		Touches: steptest.Touches{Units: []string{lawUnit}, Files: []string{"/etc/systemd/system/multi-user.target.wants/" + lawUnit, lawUnitFile}},
		Clean: sequence(
			steptest.Run("systemctl", "unmask", lawUnit), steptest.Run("systemctl", "disable", "--now", lawUnit),
			typed(usrUnitFile, sleeper), steptest.Run("systemctl", "daemon-reload"),
		),
	})
}

// TestServiceLawsOfAMaskedUnit: masking hides whether it is enabled.
func TestServiceLawsOfAMaskedUnit(t *testing.T) {
	laws(t, steptest.Subject{
		Kind:    serviceKind(),
		Machine: unitMachine,
		Policy:  []string{"steady"},
		Found:   []steptest.Hand{ctl("masked", host.Mask), ctl("enabled and masked", host.Enable, host.Mask)},
		Cases: []steptest.Case{{
			Name: "whole", Spec: ServiceSpec{Unit: lawUnit, Running: step.Is(true), Enabled: step.Is(true), Masked: step.Is(false), Steady: "10ms"},
			Drift: []steptest.Hand{ctl("running", host.Stop), ctl("enabled", host.Disable), ctl("masked", host.Mask)},
		}},
		Touches: steptest.Touches{Units: []string{lawUnit}, Files: []string{"/etc/systemd/system/multi-user.target.wants/" + lawUnit, lawUnitFile}},
		Clean: sequence(
			steptest.Run("systemctl", "unmask", lawUnit), steptest.Run("systemctl", "disable", "--now", lawUnit),
			typed(usrUnitFile, sleeper), steptest.Run("systemctl", "daemon-reload"),
		),
	})
}

const (
	lawSocket     = steptest.Prefix + ".socket"
	usrSocketFile = "/usr/lib/systemd/system/" + lawSocket
	listener      = "[Socket]\nListenStream=/run/" + steptest.Prefix + "\n[Install]\nWantedBy=sockets.target\n"
)

// TestServiceLawsOfASocket: its service may run already, without it.
func TestServiceLawsOfASocket(t *testing.T) {
	socket := func(name string, verb host.UnitVerb) steptest.Hand {
		return steptest.Hand{Name: name, Fake: func(m *fake.Machine) { m.Systemctl(verb, lawSocket) },
			Host: steptest.Run("systemctl", string(verb), lawSocket)}
	}
	stopped := socket("running", host.Stop) // which the service does not notice
	laws(t, steptest.Subject{
		Kind: serviceKind(),
		Machine: func() *fake.Machine {
			m := unitMachine()
			m.WriteFile(usrSocketFile, listener)
			return m
		},
		Policy: []string{"steady", "masked"},
		Found:  []steptest.Hand{{Name: "stopped"}, ctl("its service runs", host.Enable, host.Start), socket("listening", host.Start)},
		Cases: []steptest.Case{
			{Name: "listens", Spec: ServiceSpec{Unit: lawSocket, Running: step.Is(true), Enabled: step.Is(true), Steady: "10ms"},
				Drift: []steptest.Hand{stopped, socket("enabled", host.Disable)}},
			{Name: "silent", Spec: ServiceSpec{Unit: lawSocket, Running: step.Is(false)}},
		},
		Touches: steptest.Touches{Units: []string{lawUnit, lawSocket}, Files: []string{"/etc/systemd/system/sockets.target.wants/" + lawSocket}},
		Clean: sequence(
			steptest.Run("systemctl", "disable", "--now", lawSocket), steptest.Run("systemctl", "disable", "--now", lawUnit),
			typed(usrUnitFile, sleeper), typed(usrSocketFile, listener), steptest.Run("systemctl", "daemon-reload"),
		),
	})
}

const switchUnit = `[Unit]
Requires=ovsdb-server.service
Requires=ovs-vswitchd.service network.target
[Service]
Type=oneshot
ExecStart=/bin/true
RemainAfterExit=yes
[Install]
WantedBy=multi-user.target
`

func TestServiceRefuses(t *testing.T) {
	m := unitMachine()
	m.WriteFile("/usr/lib/systemd/system/openvswitch-switch.service", switchUnit)
	m.WriteFile("/usr/lib/systemd/system/static.service", "[Service]\nExecStart=/bin/sleep 1\n")
	m.WriteFile("/usr/lib/systemd/system/hidden.service", sleeper)
	m.Systemctl(host.Mask, "hidden.service")
	for _, tt := range []struct {
		name string
		spec ServiceSpec
		says string
	}{
		{"meta", ServiceSpec{Unit: "openvswitch-switch", Running: step.Is(true)}, "name what it pulls in: ovsdb-server.service, ovs-vswitchd.service"},
		{"meta restarted", ServiceSpec{Unit: "openvswitch-switch", RestartOn: []string{"file.x"}}, "meta unit"},
		{"static", ServiceSpec{Unit: "static", Enabled: step.Is(true)}, "cannot be enabled"},
		{"masked", ServiceSpec{Unit: "hidden", Running: step.Is(true)}, "add masked = false"},
	} {
		_, err := check(t, serviceKind(), m, tt.spec)
		if err == nil || errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := check(t, serviceKind(), m, ServiceSpec{Unit: "none", Running: step.Is(true)}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("a package may bring it: %v", err)
	}
	for _, spec := range []ServiceSpec{
		{Unit: "openvswitch-switch", Enabled: step.Is(false)},
		{Unit: "none", Running: step.Is(false), Enabled: step.Is(false)},
	} {
		if f, err := check(t, serviceKind(), m, spec); err != nil || f.Changed() {
			t.Errorf("%+v: %v, %v", spec, f.Deltas, err)
		}
	}
}

// flapping is a unit that is there when it is first asked and gone the next
// time.
type flapping struct {
	host.UnitReader
	m     *fake.Machine
	asked int
}

func (f *flapping) Unit(ctx context.Context, name string) (host.Unit, error) {
	if f.asked++; f.asked == 2 {
		f.m.Systemctl(host.Restart, name)
	}
	return f.UnitReader.Unit(ctx, name)
}

// TestServiceThatFlaps: systemd has started it again, so it is active at every
// look.
func TestServiceThatFlaps(t *testing.T) {
	m := unitMachine()
	m.Systemctl(host.Start, lawUnit)
	want := ServiceSpec{Unit: lawUnit, Running: step.Is(true), Steady: "1ms"}
	for _, tt := range []struct {
		name, uptime string
		running      bool
	}{{"old", "1000000.00 1", true}, {"new", "0.00 1", false}} {
		m.SetKernel("/proc/uptime", tt.uptime)
		v := m.Host().View()
		v.Units = &flapping{UnitReader: v.Units, m: m}
		have, err := services{}.Read(t.Context(), v, want)
		if err != nil || have.Running.Or(!tt.running) != tt.running {
			t.Errorf("%s: %+v, %v", tt.name, have, err)
		}
	}
}

func TestServiceSettlesItsRestart(t *testing.T) {
	s, err := serviceKind().Make(step.Unit{Spec: []byte(`{"unit":"ovn-controller","restart_on":["file.x"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := step.Need{Verb: step.RestartUnit, Object: "ovn-controller.service"}
	if got := s.(step.Settler).Settles(); got != want {
		t.Errorf("%+v", got)
	}
}

func TestServiceValidate(t *testing.T) {
	for want, spec := range map[string]ServiceSpec{
		"":       {Unit: "ssh", Running: step.Is(true)},
		"unit":   {Unit: "a/b"},
		"masked": {Unit: "a", Masked: step.Is(true), Running: step.Is(true)},
		"steady": {Unit: "a", Steady: "2"},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

func FuzzPulledIn(f *testing.F) {
	f.Add(switchUnit)
	f.Add("Wants=a.service a.service\nRequires=\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		units := pulledIn(text)
		for i, u := range units {
			if !strings.HasSuffix(u, ".service") || slices.Contains(units[:i], u) {
				t.Errorf("%q in %q", u, units)
			}
		}
	})
}
