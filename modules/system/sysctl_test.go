package system

import (
	"errors"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawKey    = "net.ipv4.tcp_rmem"
	lawKernel = "/proc/sys/net/ipv4/tcp_rmem"
	ownConf   = "/etc/sysctl.d/60-weft-net.ipv4.tcp_rmem.conf"
	sharedOne = "/etc/sysctl.d/50-" + steptest.Prefix + ".conf"
)

// applied checks and applies.
func applied(t *testing.T, m *fake.Machine, s step.Step) step.Finding {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled = true
	return f
}

// together is what several hands do.
func together(hands ...func(m *fake.Machine)) func(m *fake.Machine) {
	return func(m *fake.Machine) {
		for _, hand := range hands {
			hand(m)
		}
	}
}

func kernelMachine() *fake.Machine {
	m := fake.New()
	m.SetKernel(lawKernel, "4096\t131072\t6291456")
	m.OnKernel(lawKernel, func(_ *fake.Machine, value string) (string, error) {
		return strings.Join(strings.Fields(value), "\t"), nil
	})
	return m
}

// inForce sets the value as sysctl(8) does.
func inForce(value string) ([]host.Command, func(m *fake.Machine)) {
	return steptest.Run("sysctl", "-q", "-w", lawKey+"="+value), func(m *fake.Machine) { m.SetKernel(lawKernel, value) }
}

func TestSysctlLaws(t *testing.T) {
	original, _ := inForce("4096 131072 6291456")
	other, otherFake := inForce("4096\t87380\t4194304")
	const shared = "# by hand\nnet/ipv4/tcp_rmem=1 2 3\nnet.core.somaxconn = 4096"
	laws(t, steptest.Subject{
		Kind:    sysctlKind(),
		Machine: kernelMachine,
		Policy:  []string{"file", "state"},
		Found: []steptest.Hand{
			{Name: "untouched"},
			{
				Name: "different",
				Fake: together(otherFake, wrote(ownConf, "net.ipv4.tcp_rmem = 1 1 1\n")),
				Host: sequence(other, typed(ownConf, "net.ipv4.tcp_rmem = 1 1 1\n")),
			},
			{Name: "in a file with others", Fake: wrote(sharedOne, shared), Host: typed(sharedOne, shared)},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: SysctlSpec{Key: lawKey, Value: "4096  65536\t6000000", Persistent: true},
				Drift: []steptest.Hand{
					{Name: "value", Fake: otherFake, Host: other},
					{Name: "persistent", Fake: wrote(ownConf, lawKey+" = 7 7 7\n"), Host: typed(ownConf, lawKey+" = 7 7 7\n")},
					{Name: "persistent", Fake: func(m *fake.Machine) { m.Remove(ownConf) }, Host: steptest.Run("rm", ownConf)},
				},
				Spellings: []steptest.Hand{
					{Name: "slashes", Fake: wrote(ownConf, "# note\n-net/ipv4/tcp_rmem=4096\t65536 6000000"), Host: typed(ownConf, "# note\n-net/ipv4/tcp_rmem=4096\t65536 6000000")},
				},
			},
			{Name: "now alone", Spec: SysctlSpec{Key: "net/ipv4/tcp_rmem", Value: "4096 65536 6000000"}},
			{Name: "among others", Spec: SysctlSpec{Key: lawKey, Value: "4096 65536 6000000", Persistent: true, File: sharedOne}},
			{
				Name: "absent", Spec: SysctlSpec{Key: lawKey, State: step.Absent},
				Drift: []steptest.Hand{{Name: "persistent", Fake: wrote(ownConf, lawKey+"=1 1 1\n"), Host: typed(ownConf, lawKey+"=1 1 1\n")}},
			},
		},
		Touches: steptest.Touches{Files: []string{ownConf, sharedOne}, Kernel: []string{lawKernel}},
		Clean:   sequence(steptest.Run("rm", "-f", ownConf, sharedOne), original),
		Borrows: "kernel settings have the names that they have",
	})
}

func TestSysctlKeys(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
	} {
		if got := canonicalKey(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if _, err := check(t, sysctlKind(), fake.New(), SysctlSpec{Key: "net.bridge.x", Value: "1"}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("a module may bring it: %v", err)
	}
	for want, spec := range map[string]SysctlSpec{
		"key":   {Key: "net.ipv4.conf.*.x", Value: "1"},
		"value": {Key: "a.b"},
		"file":  {Key: "a.b", Value: "1", File: "/etc/sysctl.d/x"},
		"":      {Key: "a.b", State: step.Absent},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
	if got := problems(&SysctlSpec{Key: "a/../../etc", Value: "1"}); got != "key" {
		t.Errorf("a key that leaves /proc/sys: %q", got)
	}
}

// TestSysctlUndoAmongOthers: lines that another hand added since stay.
func TestSysctlUndoAmongOthers(t *testing.T) {
	m := kernelMachine()
	m.WriteFile(sharedOne, "net.ipv4.tcp_rmem = 1 2 3")
	s, err := sysctlKind().Make(step.Unit{Spec: []byte(`{"key":"net.ipv4.tcp_rmem","value":"9 9 9","persistent":true,"file":"` + sharedOne + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	f := applied(t, m, s)
	text, _ := m.File(sharedOne)
	m.WriteFile(sharedOne, text+"net.core.somaxconn = 1\n")
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if text, _ := m.File(sharedOne); text != "net.ipv4.tcp_rmem = 1 2 3\nnet.core.somaxconn = 1\n" {
		t.Errorf("%q", text)
	}
}

func TestSysctlThatWouldNotLast(t *testing.T) {
	m := kernelMachine()
	m.WriteFile("/etc/sysctl.d/99-late.conf", "net.ipv4.tcp_rmem = 1 1 1\n")
	m.WriteFile("/usr/lib/sysctl.d/99-late.conf", "net.ipv4.tcp_rmem = 2 2 2\n")
	m.WriteFile("/etc/sysctl.d/50-early.conf", "net.ipv4.tcp_rmem = 3 3 3\n")
	f, err := check(t, sysctlKind(), m, SysctlSpec{Key: lawKey, Value: "2 2 2", Persistent: true})
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "/etc/sysctl.d/99-late.conf") {
		t.Errorf("%v, %v", f.Warnings, err)
	}
	f, err = check(t, sysctlKind(), m, SysctlSpec{Key: lawKey, Value: "1 1 1", Persistent: true})
	if err != nil || len(f.Warnings) != 0 {
		t.Errorf("%v, %v", f.Warnings, err)
	}
}

func FuzzSysctlFile(f *testing.F) {
	f.Add("# c\nnet.ipv4.ip_forward = 1\n-net/ipv4/ip_forward=0", "net.ipv4.ip_forward", "1")
	f.Add("0", "\v", "0")
	f.Add("a=b=c\n;\n\n=", "a", "")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		key = canonicalKey(key)
		if spec := (SysctlSpec{Key: key, Value: value}); problems(&spec) != "" {
			return
		}
		value = canonicalValue(value)
		set := setLine(text, key, step.Is(value))
		if got, ok := lastValue(set, key); !ok || got != value {
			t.Fatalf("set %q, read %q in %q", value, got, set)
		}
		if again := setLine(set, key, step.Is(value)); again != set {
			t.Fatalf("%q became %q", set, again)
		}
		if _, ok := lastValue(setLine(set, key, step.None[string]()), key); ok {
			t.Fatalf("it is still in %q", set)
		}
	})
}
