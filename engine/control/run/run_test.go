package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/engine/wire"
)

const chain = `
	play "one" {
		hosts = role.first
		step "note" "/x" { text = "hello" }
		step "note" "/y" { text = "length ${step.note["/x"].length}" }
	}
	play "two" {
		hosts = role.other
		step "note" "/z" { text = "a has ${hosts["a"].step.note["/y"].text}" }
		step "reading" "z" {
			path = "/z"
			text = "a has length 5"
		}
	}
`

func TestOutputsReachLaterStepsAndHosts(t *testing.T) {
	f := newFleet(t)
	p := f.program(chain)
	first := f.apply(p, f.options())
	if first.Exit != OK {
		t.Fatalf("exit %d: %+v", first.Exit, f.events)
	}
	want := map[string]Count{"a": {Changed: 2}, "b": {OK: 1, Changed: 1}, "c": {OK: 1, Changed: 1}}
	for h, c := range want {
		if first.Hosts[h] != c {
			t.Errorf("%s: %+v, want %+v", h, first.Hosts[h], c)
		}
	}
	f.holds("a:/x=hello", "a:/y=length 5", "b:/z=a has length 5", "c:/z=a has length 5")

	again := f.apply(p, f.options())
	for h, c := range again.Hosts {
		if c.Changed != 0 || c.Failed != 0 {
			t.Errorf("the second apply: %s %+v", h, c)
		}
	}
}

func TestConvergedHostCostsOneRoundTrip(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.other
		step "note" "/x" { text = "x" }
		step "note" "/y" { text = "y" }
	}`)
	f.apply(p, f.options())
	clear(f.trips)
	r := New(p, f, wire.Change, f.options())
	r.Plan(context.Background())
	if r.Changes() {
		t.Fatal("the second apply has changes")
	}
	for h, n := range f.trips {
		if n != 1 {
			t.Errorf("%s was written to %d times", h, n)
		}
	}
	r.Close()
}

func TestFailedPlayIsTakenBackOnItsHost(t *testing.T) {
	play := func(more string) string {
		return `play "p" {
			hosts = role.other
			` + more + `
			step "note" "/x" { text = "new" }
			step "note" "/y" { text = host.name == "b" ? "refused" : "fine" }
		}
		play "later" {
			hosts = role.other
			step "note" "/later" { text = "late" }
		}`
	}
	t.Run("rollback", func(t *testing.T) {
		f := newFleet(t)
		f.machine("b").WriteFile("/x", "old")
		r := f.apply(f.program(play("")), f.options())
		if r.Exit != RolledBack {
			t.Errorf("exit %d", r.Exit)
		}
		f.holds("b:/x=old", "c:/x=new", "c:/y=fine")
	})
	t.Run("stop", func(t *testing.T) {
		f := newFleet(t)
		r := f.apply(f.program(play(`on_failure = "stop"`)), f.options())
		if r.Exit != HostFailure {
			t.Errorf("exit %d", r.Exit)
		}
		f.holds("b:/x=new", "c:/x=new", "c:/y=fine")
	})
	t.Run("tolerated", func(t *testing.T) {
		f := newFleet(t)
		r := f.apply(f.program(play("max_failures = 1")), f.options())
		if r.Exit != RolledBack {
			t.Errorf("exit %d", r.Exit)
		}
		f.holds("c:/later=late", "c:/x=new", "c:/y=fine")
	})
	t.Run("serial stops at the first", func(t *testing.T) {
		f := newFleet(t)
		f.apply(f.program(play("serial = 1")), f.options())
		f.machine("c")
		f.holds()
	})
}

func TestUnreachableHostCountsAsFailed(t *testing.T) {
	f := newFleet(t)
	f.dead["b"] = true
	r := f.apply(f.program(`play "p" {
		hosts = role.other
		step "note" "/x" { text = "new" }
	}`), f.options())
	if r.Exit != NoContact || !r.Hosts["b"].Unreachable {
		t.Errorf("%+v", r)
	}
	f.holds() // the play did not begin on c either
}

func TestProbeFailure(t *testing.T) {
	playbook := `play "p" {
		hosts = role.first
		step "note" "/x" { text = "new" }
		step "reading" "x" {
			path = "/x"
			text = "newer"
		}
	}`
	t.Run("after a change it is taken back", func(t *testing.T) {
		f := newFleet(t)
		if r := f.apply(f.program(playbook), f.options()); r.Exit != RolledBack {
			t.Errorf("exit %d", r.Exit)
		}
		f.holds()
	})
	t.Run("of a converged host it is 7", func(t *testing.T) {
		f := newFleet(t)
		f.machine("a").WriteFile("/x", "new")
		if r := f.apply(f.program(playbook), f.options()); r.Exit != ProbeFailed {
			t.Errorf("exit %d", r.Exit)
		}
		f.holds("a:/x=new")
	})
}

func TestLimitReadsOthersAndChangesNone(t *testing.T) {
	f := newFleet(t)
	p := f.program(chain)
	o := f.options()
	o.Limit = []string{"b"}
	r := f.apply(p, o)
	if r.Exit == OK || r.Exit == NoContact {
		t.Errorf("an output of a host that was never applied: exit %d", r.Exit)
	}
	f.holds()
	if !slices.ContainsFunc(f.events, func(e Event) bool { return strings.Contains(e.Error, "cannot be known") }) {
		t.Errorf("nobody said which output is missing: %+v", f.events)
	}
	f.apply(p, f.options())
	f.machine("b").WriteFile("/z", "drift")
	f.machine("a").WriteFile("/unrelated", "")
	o.ID = NewID(time.Now())
	if r := f.apply(p, o); r.Exit != OK || r.Hosts["b"].Changed != 1 || len(r.Hosts) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestOutputsOfThoseThatCouldBeAsked: a host that is lost says nothing, and an
// expression may go on without it.
func TestOutputsOfThoseThatCouldBeAsked(t *testing.T) {
	const playbook = `
		play "asked" {
			hosts        = role.other
			max_failures = length(role.other)
			continue     = true
			step "note" "/x" { text = host.name == "c" ? %q : "x" }
		}
		play "sum" {
			hosts = role.first
			step "note" "/sum" { text = join(",", [for h in role.other : "${h.name}=${hosts[h.name].step.note["/x"].text}" if hosts[h.name].step.note["/x"].known]) }
		}`
	for name, tt := range map[string]struct {
		text string
		dead bool
		want string
	}{
		"all answer":                {"x", false, "a:/sum=b=x,c=x"},
		"one is not reached":        {"x", true, "a:/sum=c=x"},
		"one fails as it is begun":  {"refused", false, "a:/sum=b=x"},
		"one fails, one is no more": {"refused", true, "a:/sum="},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.dead["b"] = tt.dead
			p := f.program(fmt.Sprintf(playbook, tt.text))
			r := New(p, f, wire.Change, f.options())
			defer r.Close()
			r.Plan(t.Context())
			if planned := r.Planned()["a"]; len(planned) != 1 || planned[0].State == wire.Failed {
				t.Errorf("planned %+v", planned)
			}
			r.Apply(t.Context())
			if !slices.Contains(f.texts(), tt.want) {
				t.Errorf("the hosts hold %q, not %q", f.texts(), tt.want)
			}
		})
	}
}

// TestOutputsThatTurnOutOtherwise: nothing is done by a value that was planned with
// and holds no more.
func TestOutputsThatTurnOutOtherwise(t *testing.T) {
	f := newFleet(t)
	f.machine("b").WriteFile("/seen", "old")
	f.machine("c").WriteFile("/seen", "fine")
	r := New(f.program(`
		play "asked" {
			hosts        = role.other
			max_failures = length(role.other)
			step "note" "/x" { text = "x" }
			step "note" "/seen" {}
		}
		play "sum" {
			hosts = role.first
			step "note" "/sum" { text = join(",", [for h in role.other : "${h.name}=${hosts[h.name].step.note["/seen"].text}" if hosts[h.name].step.note["/seen"].known]) }
		}`), f, wire.Change, f.options())
	defer r.Close()
	r.Plan(t.Context())
	f.machine("b").WriteFile("/seen", "new")
	r.Apply(t.Context())
	f.holds("a:/sum=c=fine", "b:/seen=new", "c:/seen=fine", "c:/x=x") // b was taken back
}

func TestCutConnectionIsUnreachable(t *testing.T) {
	f := newFleet(t)
	f.machine("a")
	f.cut["a"] = 5
	r := f.apply(f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "1" }
		step "note" "/y" { text = "2" }
	}`), f.options())
	if r.Exit != NoContact || !r.Hosts["a"].Unreachable {
		t.Errorf("%+v", r)
	}
	delete(f.cut, "a")
	o := f.options()
	o.LockTimeout = 10 * time.Second // the cut runner takes a moment to notice
	if r := f.apply(f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "1" }
		step "note" "/y" { text = "2" }
	}`), o); r.Exit != OK {
		t.Errorf("the next apply: %+v", r)
	}
	f.holds("a:/x=1", "a:/y=2")
}

func TestSecondRunIsLockedOut(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.first
		step "note" "/x" { text = "1" }
	}`)
	holder := New(p, f, wire.Change, f.options())
	holder.Plan(context.Background())
	if r := f.apply(p, f.options()); r.Exit != Locked {
		t.Errorf("exit %d", r.Exit)
	}
	f.holds()
	holder.Close()
	if r := f.apply(p, f.options()); r.Exit != OK {
		t.Errorf("after the first is gone: exit %d", r.Exit)
	}
}

func TestRollbackGoesBackwards(t *testing.T) {
	f := newFleet(t)
	p := f.program(chain)
	o := f.options()
	f.apply(p, o)
	back := f.options()
	r := New(f.program(""), f, wire.Change, back)
	defer r.Close()
	f.events = nil
	past, err := r.Find(context.Background(), "", o.ID)
	if err != nil {
		t.Fatal(err)
	}
	found := fmt.Sprint(past.Plays[0].Play, past.Plays[0].Hosts, past.Plays[0].Changed, " ", past.Plays[1].Play, past.Plays[1].Hosts, past.Plays[1].Changed)
	if want := "two[b c] 2 one[a] 2"; found != want {
		t.Errorf("found %s, want %s", found, want)
	}
	r.Rollback(context.Background(), past)
	if recap := r.Recap(context.Background()); recap.Exit != OK || recap.Hosts["a"].RolledBack != 2 {
		t.Errorf("%+v", recap)
	}
	f.holds()
	var order []string
	for _, e := range f.events {
		if e.Type == UnitMoved && e.Unit.State == wire.Undone {
			order = append(order, e.Host+" "+e.Unit.Address)
		}
	}
	if len(order) != 4 || !strings.HasPrefix(order[3], "a ") || !strings.HasPrefix(order[2], "a ") {
		t.Errorf("order of undo: %v", order)
	}
	if _, err := r.Find(context.Background(), "", "20260101T000000Z-000000"); err == nil {
		t.Error("a run that nobody knows was found")
	}
}

func TestSavedPlan(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.other
		step "note" "/x" { text = "new" }
	}`)
	plan := func() *Run {
		r := New(p, f, wire.Look, f.options())
		r.Plan(context.Background())
		r.Close()
		return r
	}
	reviewed := plan()
	saved := &Saved{Build: "one"}
	if err := saved.Save(reviewed.Planned(), reviewed.Failures()); err != nil {
		t.Fatal(err)
	}
	read, err := DecodeSaved(saved.Encode(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if stale := read.Stale(plan().Planned()); len(stale) != 0 {
		t.Errorf("stale at once: %v", stale)
	}
	f.machine("c").WriteFile("/x", "another hand")
	if stale := read.Stale(plan().Planned()); len(stale) != 1 || !strings.Contains(stale[0], "on c") {
		t.Errorf("the drift of c: %v", stale)
	}
	if _, err := DecodeSaved(saved.Encode(), "two"); err == nil {
		t.Error("another build took the plan")
	}
}

// What a play changed makes what was planned for a later one stale, and rightly so.
func TestLaterPlayIsNotHeldToThePlan(t *testing.T) {
	f := newFleet(t)
	recap := f.apply(f.program(`play "one" {
		hosts = role.first
		step "note" "/x" { text = "a" }
	}
	play "two" {
		hosts = role.first
		step "note" "again" {
			path = "/x"
			text = "b"
		}
	}`), f.options())
	if recap.Exit != OK || recap.Hosts["a"] != (Count{Changed: 2}) {
		t.Errorf("exit %d, %+v", recap.Exit, recap.Hosts["a"])
	}
	f.holds("a:/x=b")
}

func TestTagsReadWhatTheyLeaveOut(t *testing.T) {
	const playbook = `play "p" {
		hosts = role.first
		step "note" "/x" { text = "hello" }
		step "note" "/y" {
			text = "length ${step.note["/x"].length}"
			tags = ["y"]
		}
	}`
	f := newFleet(t)
	f.apply(f.program(playbook), f.options())
	f.machine("a").WriteFile("/x", "drifted")
	f.machine("a").WriteFile("/y", "drifted")
	f.tags = []string{"y"}
	r := f.apply(f.program(playbook), f.options())
	if r.Exit == OK || r.Hosts["a"].Changed != 0 {
		t.Errorf("an output of a step that is not as it should be: %+v", r)
	}
	f.machine("a").WriteFile("/x", "hello")
	f.machine("a").WriteFile("/unmanaged", "")
	r = f.apply(f.program(playbook), f.options())
	if want := (Count{Changed: 1, Skipped: 1}); r.Exit != OK || r.Hosts["a"] != want {
		t.Errorf("exit %d, %+v", r.Exit, r.Hosts["a"])
	}
	f.holds("a:/unmanaged=", "a:/x=hello", "a:/y=length 5")
}

func TestWhatIsDecidedOnTheWay(t *testing.T) {
	const playbook = `play "p" {
		hosts = role.first
		step "note" "/x" { text = "ab" }
		step "note" "/when" {
			when = step.note["/x"].length == 3
			text = "three"
		}
		step "note" "/never" {
			when = false
			text = "never"
		}
		step "note" "/each" {
			for_each = toset([for i in range(step.note["/x"].length) : tostring(i)])
			path     = "/each${each.key}"
			text     = each.key
		}
		step "note" "/after" { text = coalesce(step.note["/when"].text, "there is none") }
	}`
	f := newFleet(t)
	p := f.program(playbook)
	look := New(p, f, wire.Look, f.options())
	look.Plan(context.Background())
	look.Close()
	if err := new(Saved).Save(look.Planned(), look.Failures()); err == nil {
		t.Error("a plan was saved though it is not known which steps there will be")
	}
	told := map[string]bool{}
	for _, e := range f.events {
		if e.Type == UnitMoved && e.Unit.State == wire.Waiting {
			told[e.Unit.Address] = true
		}
	}
	if !told["note./when"] || !told["note./each"] {
		t.Errorf("nobody said what is not decided: %v", told)
	}
	r := f.apply(p, f.options())
	if want := (Count{Changed: 4, Skipped: 2}); r.Exit != OK || r.Hosts["a"] != want {
		t.Errorf("exit %d, %+v, want %+v", r.Exit, r.Hosts["a"], want)
	}
	f.holds("a:/after=there is none", "a:/each0=0", "a:/each1=1", "a:/x=ab")
}

func TestHostThatCannotBeChecked(t *testing.T) {
	f := newFleet(t)
	p := f.program(`play "p" {
		hosts = role.other
		step "note" "/x" { text = "x" }
	}`)
	script := &scripted{answer: func(host string, q wire.Request) ([]wire.Event, error) {
		switch {
		case q.Check != nil && host == "b":
			return []wire.Event{said("note./x", wire.Failed)}, nil
		case q.Check != nil:
			return []wire.Event{said("note./x", wire.Converged)}, nil
		}
		return nil, nil
	}}
	r := New(p, script, wire.Change, f.options())
	defer r.Close()
	r.Plan(context.Background())
	if r.Changes() {
		t.Error("there is something to change where nothing can be done")
	}
	r.Prove(context.Background())
	recap := r.Recap(context.Background())
	if recap.Exit != HostFailure || recap.Hosts["b"] != (Count{Failed: 1}) || recap.Hosts["c"] != (Count{OK: 1}) {
		t.Errorf("%+v", recap)
	}
}

func TestRollbackIsRefusedAsAWhole(t *testing.T) {
	f := newFleet(t)
	first, second := f.options(), f.options()
	first.ID, second.ID = NewID(time.Now().Add(-time.Hour)), NewID(time.Now())
	f.apply(f.program(chain), first)
	f.apply(f.program(`play "p" {
		hosts = role.first
		step "note" "/y" { text = "another" }
	}`), second)
	r := New(f.program(""), f, wire.Change, f.options())
	defer r.Close()
	f.events = nil
	if _, err := r.Find(context.Background(), "", first.ID); err == nil {
		t.Error("a run that a later one built on may be taken back")
	}
	if recap := r.Recap(context.Background()); recap.Exit != HostFailure {
		t.Errorf("exit %d", recap.Exit)
	}
	if !slices.ContainsFunc(f.events, func(e Event) bool { return e.Type == HostFailed && strings.Contains(e.Error, second.ID) }) {
		t.Error("nobody said which run is in the way")
	}
	f.holds("a:/x=hello", "a:/y=another", "b:/z=a has length 5", "c:/z=a has length 5")
}

// TestRunsGoBackTogether is a build, a drift on one host, its repair, and the way
// back to where it all began.
func TestRunsGoBackTogether(t *testing.T) {
	f := newFleet(t)
	f.machine("b").WriteFile("/z", "before")
	p := f.program(chain)
	build := f.options()
	f.apply(p, build)
	f.machine("b").WriteFile("/z", "drift")
	repair := f.options()
	repair.ID = NewID(time.Now().Add(time.Hour))
	f.apply(p, repair)

	r := New(f.program(""), f, wire.Change, f.options())
	defer r.Close()
	past, err := r.Find(context.Background(), "", build.ID, repair.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.Rollback(context.Background(), past)
	if recap := r.Recap(context.Background()); recap.Exit != OK {
		t.Errorf("%+v", recap)
	}
	f.holds("b:/z=before")
}
