package killtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"weft/engine/host/fake"
)

// A walk is one scene on its way.
type walk struct {
	t     *testing.T
	scene Scene
	sum   *tally
	turn  int
	disk  string // directory for the sites

	start *fake.Machine
	final bool // the play cannot be taken back
}

func (w *walk) all() {
	w.disk = scratch(w.t)
	w.start = w.scene.Machine()
	w.start.SetKernel("/proc/sys/kernel/random/boot_id", "boot-1")
	film, ended, r := w.film(w.begin(), func(s *site, on stage) reply { return s.apply(on, "r1", w.scene.Units) })
	if len(r.trouble) > 0 || r.changed == 0 {
		w.t.Skipf("nothing to walk: %s", r) // the laws see to what a kind refuses
	}
	if w.final = r.irreversible; w.final {
		w.killed(film, w.ways())
		return
	}
	w.killed(film, append(w.ways(), w.undoing()))
	w.killedUndo("an undo", ended, w.start)
	for _, k := range w.few(len(film)) {
		w.killedUndo("an undo of a half-made run, killed "+film[k].at, film[k], w.start)
		if next, ok := w.another(film[k]); ok {
			w.killedUndo("an undo of two runs, the first killed "+film[k].at, next, w.start)
		}
	}
	w.afterDrift(ended)
	w.failing()
}

// scratch is a directory in memory where there is one: nothing here outlives a
// real power cut, and journals sync a lot.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "weft-killtest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// few are some points of n, where each is a walk of its own.
func (w *walk) few(n int) []int {
	if w.sum.budget.points > 0 {
		return w.sum.points(n, w.turn)[:1]
	}
	return []int{n / 4, n / 2, 3 * n / 4}
}

// begin is the machine that no runner has seen.
func (w *walk) begin() image { return image{at: "at the start", machine: w.start} }

// film holds a session and returns an image of every place in it, and the last.
func (w *walk) film(from image, hold func(*site, stage) reply) ([]image, image, reply) {
	s := w.open(from)
	defer s.close()
	c := &camera{site: s}
	r := hold(s, c)
	return c.film, s.image("at the end"), r
}

// A way goes on from a place, and says what went wrong.
type way struct {
	name string
	walk func(s *site, rebooted bool) []string
}

// try goes one way from one place, as it is left by a kill or a power cut.
func (w *walk) try(from image, v way) {
	w.t.Helper()
	for _, rebooted := range []bool{false, true} {
		s := w.open(from)
		after := "killed " + from.at
		if rebooted {
			s.reboot()
			after += ", power cut"
		}
		w.count(after+", "+v.name, v.walk(s, rebooted))
		s.close()
	}
}

// count counts an injection.
func (w *walk) count(what string, wrong []string) {
	w.t.Helper()
	w.sum.injected++
	if len(wrong) == 0 {
		w.sum.survived++
		return
	}
	w.t.Errorf("%s:\n%s", what, strings.Join(wrong, "\n"))
}

// killed goes all ways from the places of a film.
func (w *walk) killed(film []image, ways []way) {
	w.t.Helper()
	for _, k := range w.sum.points(len(film), w.turn) {
		for _, v := range ways {
			w.try(film[k], v)
		}
	}
}

// ways are those on which the play ends converged.
func (w *walk) ways() []way {
	return []way{
		{"resumed", func(s *site, rebooted bool) []string { return w.again(s, "r1", rebooted) }},
		{"run again", func(s *site, rebooted bool) []string { return w.again(s, "r2", rebooted) }},
	}
}

// undoing takes back what a killed run did.
func (w *walk) undoing() way {
	return way{"undone", func(s *site, rebooted bool) []string {
		r := s.rollback(nil, "r3")
		return append(r.trouble, w.nothingLeft(s, s.expected(w.start, rebooted))...)
	}}
}

// again ends converged, finds nothing more to do, and can be taken back.
func (w *walk) again(s *site, run string, rebooted bool) []string {
	r := s.apply(nil, run, w.scene.Units)
	if len(r.trouble) > 0 {
		return r.trouble
	}
	seen := s.look(w.scene.Units)
	wrong := seen.trouble
	if seen.planned > 0 || len(seen.open) > 0 {
		wrong = append(wrong, fmt.Sprintf("a check finds %d to do, and %v open", seen.planned, seen.open))
	}
	if w.final || len(wrong) > 0 {
		return wrong
	}
	undone := s.rollback(nil, "r3")
	return append(append(wrong, undone.trouble...), w.nothingLeft(s, s.expected(w.start, rebooted))...)
}

// another run after a killed one.
func (w *walk) another(from image) (image, bool) {
	s := w.open(from)
	defer s.close()
	r := s.apply(nil, "r2", w.scene.Units)
	return s.image(from.at), len(r.trouble) == 0
}

// killedUndo kills an undo of all runs at each place, and undoes again. The
// unbroken undo says where that ends.
func (w *walk) killedUndo(what string, from image, want *fake.Machine) {
	w.t.Helper()
	film, ended, r := w.film(from, func(s *site, on stage) reply { return s.rollback(on, "r3") })
	if want == nil {
		want = ended.machine
	}
	if wrong := differences("it did not come back", want, ended.machine); len(r.trouble)+len(wrong) > 0 && !r.conflict {
		w.count(what, append(r.trouble, wrong...))
		return
	}
	w.killed(film, []way{{what, func(s *site, rebooted bool) []string {
		again := s.rollback(nil, "r4")
		if r.conflict { // said once, and not again of what was left then
			again.trouble = nil
		}
		end := s.expected(want, rebooted)
		if start := s.expected(w.start, rebooted); s.machine.Snapshot() == start.Snapshot() {
			end = start // an undo that was begun writes what the first run found, whoever removed it since
		}
		return append(again.trouble, w.nothingLeft(s, end)...)
	}}})
}

// afterDrift kills the undo of two runs, between which another hand changed
// what the first had made.
func (w *walk) afterDrift(ended image) {
	w.t.Helper()
	if w.scene.Drift == nil {
		return
	}
	s := w.open(ended)
	defer s.close()
	w.scene.Drift(s.machine)
	if r := s.apply(nil, "r2", w.scene.Units); len(r.trouble) > 0 || r.irreversible {
		return
	}
	w.killedUndo("an undo of two runs with a drift between them", s.image("at the end"), nil)
}

// expected is what a site is to be again: a machine, or what a power cut would have made of
// it. What an undo brings back after that may also be what was found before: a module
// that a hand had loaded until the next boot.
func (s *site) expected(m *fake.Machine, rebooted bool) *fake.Machine {
	if !rebooted {
		return m
	}
	const boot = "boot-2"
	found := m.Clone()
	found.SetKernel("/proc/sys/kernel/random/boot_id", boot)
	if s.machine.Snapshot() == found.Snapshot() {
		return found
	}
	c := m.Clone()
	c.Reboot(boot)
	return c
}

// nothingLeft compares the machine, and looks for what no run may leave.
func (w *walk) nothingLeft(s *site, want *fake.Machine) []string {
	wrong := differences("it did not come back", want, s.machine)
	if r := s.look(nil); len(r.open) > 0 || len(r.trouble) > 0 {
		wrong = append(wrong, fmt.Sprintf("left open: %v %s", r.open, r))
	}
	if odd := readTree(w.t, s.state).left(); len(odd) > 0 {
		wrong = append(wrong, fmt.Sprintf("left behind: %v", odd))
	}
	doors := s.machine.Host()
	if kept, _ := doors.Files.List(w.t.Context(), doors.Kept); len(kept) > 0 {
		wrong = append(wrong, fmt.Sprintf("kept for an undo that is over: %v", kept))
	}
	if lease, held := readTree(w.t, s.runtime)["lease"]; held {
		wrong = append(wrong, "the lease is held: "+lease)
	}
	return wrong
}

// differences are the lines that two machines do not share.
func differences(what string, want, got *fake.Machine) []string {
	w, g := want.Snapshot(), got.Snapshot()
	if w == g {
		return nil
	}
	out := []string{what + ":"}
	have := map[string]int{}
	for line := range strings.Lines(w) {
		have[line]++
	}
	for line := range strings.Lines(g) {
		if have[line]--; have[line] < 0 {
			out = append(out, "\t+ "+strings.TrimSuffix(line, "\n"))
		}
	}
	for line := range strings.Lines(w) {
		if have[line] > 0 {
			have[line]--
			out = append(out, "\t- "+strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}
