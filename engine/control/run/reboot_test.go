package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/trial"
	"weft/engine/step"
	"weft/engine/wire"
)

// argument is a kind for tests: /proc/cmdline has this text, once the machine
// has booted.
type argument struct {
	Text string `json:"text" weft:"required" doc:"The whole of it."`
}

func (a argument) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "argument"}
	now, err := v.Kernel.Get(ctx, "/proc/cmdline")
	if now != a.Text && err == nil {
		f.Deltas = []step.Delta{step.Change("text", now, a.Text)}
		f.Before, _ = json.Marshal(now)
		f.Needs = []step.Need{{Verb: step.Reboot, Object: step.Machine}}
	}
	return f, err
}

func (a argument) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	return h.Files.Write(ctx, "/grub", []byte(a.Text), host.Attributes{})
}

func (a argument) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before string
	return errors.Join(json.Unmarshal(f.Before, &before), h.Files.Write(ctx, "/grub", []byte(before), host.Attributes{}))
}

func (a argument) Returned(ctx context.Context, v host.View, f step.Finding) (bool, error) {
	now, err := v.Kernel.Get(ctx, "/proc/cmdline")
	return fmt.Sprintf("%q", now) == string(f.Before), err
}

// bootLab is a fleet whose machines boot: each refuses a few connections first.
type bootLab struct {
	*fleet
	mu     sync.Mutex
	tries  map[string]int
	down   map[string]bool
	most   int             // machines of role central that were down at a time
	boots  map[string]int  // by host
	deadly map[string]bool // whose arguments the machine does not come up with
	gone   map[string]bool // that never come back
}

func newBootLab(t *testing.T) *bootLab {
	l := &bootLab{fleet: newFleet(t), tries: map[string]int{}, down: map[string]bool{}, boots: map[string]int{},
		deadly: map[string]bool{}, gone: map[string]bool{}}
	l.table["argument"] = step.Kind{Name: "argument", Spec: argument{}, Make: func(u step.Unit) (step.Step, error) { return step.Decode[argument](u) }}
	for _, name := range []string{"a", "b", "c"} {
		m := l.machine(name)
		m.SetKernel("/proc/cmdline", "old")
		m.SetKernel("/proc/sys/kernel/random/boot_id", "boot-0")
	}
	l.reboots = l.back
	return l
}

// back says whether a machine that goes down is up again.
func (l *bootLab) back(name string, m *fake.Machine) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down[name] = true
	l.most = max(l.most, len(l.down))
	if l.tries[name]++; l.tries[name]%4 != 0 || l.gone[name] {
		return false
	}
	delete(l.down, name)
	l.boots[name]++
	m.Reboot(fmt.Sprintf("boot-%d", l.boots[name]))
	if text, ok := m.File("/grub"); ok && !l.deadly[text] {
		m.SetKernel("/proc/cmdline", text)
	}
	return true
}

// events are those of a host that are about its connection, in order.
func (l *bootLab) way(name string) string {
	var all []string
	for _, e := range l.events {
		if e.Host == name && slices.Contains([]EventType{HostReboots, HostLate, HostBack, HostCut, HostLost, HostFailed}, e.Type) {
			all = append(all, string(e.Type))
		}
	}
	return strings.Join(all, " ")
}

const bootPlay = `play "kernel" {
	hosts = role.first
	step "argument" "hv" { text = "new" }
	step "note" "/x" { text = "x" }
}
play "after" {
	hosts = role.first
	step "note" "/y" { text = "y" }
}`

func TestRunGoesThroughAReboot(t *testing.T) {
	l := newBootLab(t)
	p := l.program(bootPlay)
	recap := l.apply(p, l.options())
	if recap.Exit != OK || recap.Hosts["a"] != (Count{Changed: 3}) {
		t.Errorf("exit %d, %+v", recap.Exit, recap.Hosts["a"])
	}
	if got := l.way("a"); got != "rebooting back" || l.boots["a"] != 1 {
		t.Errorf("its way was %s, with %d boots", got, l.boots["a"])
	}
	l.holds("a:/grub=new", "a:/x=x", "a:/y=y")
	if recap := l.apply(p, l.options()); recap.Exit != OK || recap.Hosts["a"] != (Count{OK: 3}) || l.boots["a"] != 1 {
		t.Errorf("again: exit %d, %+v, %d boots", recap.Exit, recap.Hosts["a"], l.boots["a"])
	}
}

func TestWhatAMachineDoesNotComeUpWithIsTakenBack(t *testing.T) {
	l := newBootLab(t)
	l.deadly["new"] = true
	recap := l.apply(l.program(bootPlay), l.options())
	if recap.Exit != RolledBack || l.boots["a"] != 1 {
		t.Errorf("exit %d, %d boots, %s", recap.Exit, l.boots["a"], l.way("a"))
	}
	l.holds("a:/grub=old")
}

// A machine that may try what it was booted with for a while is waited for until
// it can have given that up; one that tries nothing is not.
func TestMachineOnTrialMayBeLate(t *testing.T) {
	for _, c := range []struct {
		confirm time.Duration
		way     string
		exit    Exit
	}{{time.Minute, "rebooting late back", OK}, {0, "rebooting lost", NoContact}} {
		l := newBootLab(t)
		if c.confirm > 0 {
			l.machine("a").Mkdir("/var/lib/weft")
			s := trial.State{ID: "t", Parts: []trial.Part{{Step: "s", Confirm: c.confirm}}}
			if err := trial.Save(t.Context(), l.machine("a").Host(), s); err != nil {
				t.Fatal(err)
			}
		}
		o := l.options()
		o.RebootTime = 1 // a nanosecond
		if recap := l.apply(l.program(bootPlay), o); recap.Exit != c.exit || l.way("a") != c.way {
			t.Errorf("with %s to confirm: exit %d, %s", c.confirm, recap.Exit, l.way("a"))
		}
	}
}

// What fails after the reboot takes the argument back too, and the machine boots
// once more.
func TestUndoBootsBack(t *testing.T) {
	l := newBootLab(t)
	recap := l.apply(l.program(`play "kernel" {
		hosts = role.first
		step "argument" "hv" { text = "new" }
		step "reading" "r" {
			path = "/x"
			text = "never"
		}
	}`), l.options())
	if now, _ := l.machine("a").KernelValue("/proc/cmdline"); recap.Exit != RolledBack || l.boots["a"] != 2 || now != "old" {
		t.Errorf("exit %d, %d boots, runs with %q: %s", recap.Exit, l.boots["a"], now, l.way("a"))
	}
}

func TestCentralsRebootOneAtATime(t *testing.T) {
	play := strings.ReplaceAll(bootPlay, "role.first", "role.other")
	l := newBootLab(t)
	if recap := l.apply(l.program(play), l.options()); recap.Exit != OK || l.most != 1 || l.boots["b"]+l.boots["c"] != 2 {
		t.Errorf("exit %d, %d were down at a time", recap.Exit, l.most)
	}
	l = newBootLab(t)
	l.gone["b"], l.gone["c"] = true, true
	o := l.options()
	o.RebootTime = 1 // a nanosecond
	if recap := l.apply(l.program(play), o); recap.Exit != NoContact || l.way("b")+l.way("c") != "rebooting losthost_failed" && l.way("c")+l.way("b") != "rebooting losthost_failed" {
		t.Errorf("with one that is not back: exit %d, %q %q", recap.Exit, l.way("b"), l.way("c"))
	}
}

func TestRebootPolicyOfThePlayAndTheFlag(t *testing.T) {
	for _, c := range []struct {
		play, flag string
		boots      int
	}{{"", "", 1}, {`reboot = "never"`, "", 0}, {`reboot = "staged"`, "", 0}, {`reboot = "never"`, "auto", 1}, {"", "never", 0}} {
		l := newBootLab(t)
		o := l.options()
		o.Reboot = step.RebootPolicy(c.flag)
		recap := l.apply(l.program(strings.Replace(bootPlay, "hosts = role.first", "hosts = role.first\n"+c.play, 1)), o)
		pending := slices.ContainsFunc(l.events, func(e Event) bool { return e.Need != nil && e.Need.Pending })
		if recap.Exit != OK || l.boots["a"] != c.boots || pending != (c.boots == 0) {
			t.Errorf("%+v: exit %d, %d boots, pending %v", c, recap.Exit, l.boots["a"], pending)
		}
	}
}

// A controller that was killed while a host was away, and goes on under the same
// name.
func TestResumeWaitsForAHostThatReboots(t *testing.T) {
	l := newBootLab(t)
	p := l.program(bootPlay)
	o := l.options()
	ctx, cancel := context.WithCancel(context.Background())
	o.Observer = interrupter{l.fleet, func(e Event) bool { return e.Type == HostReboots }, cancel}
	r := New(p, l.fleet, wire.Change, o)
	var away []string
	r.OnReboot(func(hosts []string) { away = hosts })
	r.Plan(ctx)
	r.Apply(ctx)
	if recap := r.Recap(ctx); recap.Exit != Interrupted || !slices.Equal(away, []string{"a"}) {
		t.Fatalf("exit %d, away %v", recap.Exit, away)
	}
	r.Close()
	o.Observer, o.Awaited = l.fleet, away
	if recap := l.apply(p, o); recap.Exit != OK || recap.Hosts["a"] != (Count{Changed: 3}) || l.boots["a"] != 1 {
		t.Errorf("exit %d, %+v, %d boots: %s", recap.Exit, recap.Hosts["a"], l.boots["a"], l.way("a"))
	}
	l.holds("a:/grub=new", "a:/x=x", "a:/y=y")
}
