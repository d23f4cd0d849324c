package acceptance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestChaos builds scenario S1 and takes it back, while at each distinct kind
// of effect (of what stage and kind of step, through what door, by what verb)
// something breaks. `weft resume`, or another apply, goes on from there. In the
// end the hosts are what S1 says, then as bare as before, with nothing of weft
// left at work.
//
// A walk is one way from bare hosts to S1 and back, with many faults on it, so
// that not every fault pays for a build. What a walk passed without stopping
// (hosts run side by side) is for the next walk.
//
// WEFT_CHAOS_WHOLE makes every fault meet every kind of effect (`make chaos`);
// without it some kinds meet one fault each.
func TestChaos(t *testing.T) {
	t.Parallel()
	l := newChaosLab(t)
	effects := l.record(t)
	whole := os.Getenv("WEFT_CHAOS_WHOLE") != ""
	rounds, every := len(faults), 1
	if !whole {
		rounds, every = 1, 6
	}
	var told []*injection
	for round := range rounds {
		var wanted []*injection
		for i, s := range kinds(effects, round) {
			if i%every == 0 {
				wanted = append(wanted, &injection{spot: s, fault: faults[(i/every+round)%len(faults)]})
			}
		}
		told = append(told, wanted...)
		for n := 0; len(wanted) > 0; n++ {
			wanted = l.walk(t, wanted, round+n)
		}
	}
	report(t, told)
}

// An injection is one fault at one kind of effect.
type injection struct {
	spot     spot
	fault    fault
	injected bool
	missed   int      // so many walks did not come to it
	wrong    []string // empty where it was survived
}

func (i *injection) fail(format string, args ...any) {
	i.wrong = append(i.wrong, fmt.Sprintf(format, args...))
}

func report(t *testing.T, all []*injection) {
	t.Helper()
	injected, survived := 0, 0
	for _, i := range all {
		if i.injected {
			injected++
		}
		if i.injected && len(i.wrong) == 0 {
			survived++
			continue
		}
		t.Errorf("%s at %s: %s", i.fault.name, i.spot, strings.Join(i.wrong, "\n"))
	}
	fmt.Printf("%d injected, %d survived\n", injected, survived)
}

// walk goes from bare hosts to S1 and back with the faults that it meets, and
// returns those that it did not.
func (l *chaosLab) walk(t *testing.T, wanted []*injection, number int) (left []*injection) {
	t.Helper()
	begin := time.Now()
	w := &walk{chaosLab: l, resume: number%2 == 0}
	there, back := split(wanted)
	left = w.leg(t, there, w.applyArgs)
	if w.lost {
		left = append(left, back...)
	} else {
		w.prove(t)
		left = append(left, w.leg(t, back, w.rollbackArgs)...)
	}
	if !w.lost {
		w.bare(t)
	}
	if w.lost || w.blamed {
		l.boot(t) // or the next walk pays for this one
	}
	survived := len(slices.DeleteFunc(slices.Clone(w.done), func(i *injection) bool { return len(i.wrong) > 0 }))
	t.Logf("walk %d: of %d faults %d injected, %d survived, in %s", number, len(wanted), len(w.done), survived, time.Since(begin).Round(time.Second))
	return left
}

// split parts what happens on the way to S1 from what happens on the way back.
func split(all []*injection) (there, back []*injection) {
	for _, i := range all {
		if i.spot.back {
			back = append(back, i)
		} else {
			there = append(there, i)
		}
	}
	return there, back
}

// A walk is on its way.
type walk struct {
	*chaosLab
	done   []*injection
	resume bool // the next time that it goes on, by `weft resume`
	broken bool // the last command did not end well
	lost   bool // nothing helps any more
	blamed bool // something came out wrong
}

// blame is for what came out wrong after all of the walk's faults.
func (w *walk) blame(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf(format, args...)
	w.blamed = true
	for _, i := range w.done {
		i.fail("in the end of its walk: "+format, args...)
	}
}

// applyArgs are how a run begins, or goes on: by resume and by a new apply in
// turns.
func (w *walk) applyArgs(t *testing.T) []string {
	if runs := w.runs(t); w.broken && len(runs) > 0 {
		if w.resume = !w.resume; !w.resume {
			return []string{"resume", runs[len(runs)-1], "-y"}
		}
	}
	return []string{"apply", "-y", overlay, "-i", inventory, "--lock-timeout", "60s"}
}

// rollbackArgs take all runs back.
func (w *walk) rollbackArgs(t *testing.T) []string {
	return append([]string{"rollback", "-y", "-i", inventory, "--lock-timeout", "60s"}, w.runs(t)...)
}

// leg begins, and goes on, until a command ends well without a fault. It
// returns the faults that it did not meet.
func (w *walk) leg(t *testing.T, wanted []*injection, args func(*testing.T) []string) []*injection {
	t.Helper()
	var last *injection
	failures := 0
	for {
		r := w.run(t, args(t), &wanted)
		w.broken = r.exit != 0
		switch {
		case r.met > 0:
			last = w.done[len(w.done)-1]
			failures = 0
			if r.exit == 0 && len(wanted) == 0 {
				w.disarm(t)
				return nil
			}
		case r.exit == 0:
			w.disarm(t)
			return missed(wanted)
		default:
			failures++
			text := fmt.Sprintf("afterwards %s: exit %d\n%s", strings.Join(r.args, " "), r.exit, r.output)
			if last == nil {
				t.Fatalf("with no fault yet, %s", text)
			}
			t.Logf("%s", text)
			last.fail("%s", text)
			if failures == 3 {
				w.lost = true
				return wanted
			}
		}
	}
}

// missed are the faults that a walk did not come to: another fault, lost power
// for one, may have done before what they were to come to. Four walks are enough.
func missed(wanted []*injection) (again []*injection) {
	for _, i := range wanted {
		if i.missed++; i.missed == 4 {
			i.fail("four walks did not come to it")
			continue
		}
		again = append(again, i)
	}
	return again
}

// prove sees that S1 stands: nothing is left to do, and packets pass.
func (w *walk) prove(t *testing.T) {
	t.Helper()
	for i, what := range []string{"the last apply", "one more apply"} {
		r := w.quiet(t, "apply", "-y", overlay, "-i", inventory)
		if r.exit != 0 || i > 0 && changedAny.MatchString(r.stdout) {
			w.blame(t, "%s: exit %d\n%s%s", what, r.exit, r.stdout, r.stderr)
		}
	}
}

// bare sees that the hosts are as they were found, and that nothing of weft is
// at work on them or here.
func (w *walk) bare(t *testing.T) {
	t.Helper()
	for _, h := range hosts {
		if d := cmp.Diff(w.found[h], w.state(t, h)); d != "" {
			w.blame(t, "%s is not as it was found:\n%s", h, d)
		}
		if got := on(t, h, leftovers); got != w.litter[h] {
			w.blame(t, "%s: left over:\n%s", h, cmp.Diff(w.litter[h], got))
		}
		// The uplink is left up, and the next walk shall have to bring it up again.
		on(t, h, "rm -rf /var/lib/weft/runs /run/weft; ip link set eth1 down")
	}
	if left := w.atHome(t); left != "" {
		w.blame(t, "left over at the controller:\n%s", left)
	}
}
