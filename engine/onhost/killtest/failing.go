package killtest

import "weft/engine/host/fake"

// failing makes every effect and every write of the journal fail.
func (w *walk) failing() {
	w.t.Helper()
	count := &saboteur{n: -1}
	s := w.open(w.begin())
	s.applyAndUndo(count, "r1", w.scene.Units)
	s.close()
	for _, f := range []fault{failsOnce, failsDone, readOnly} {
		for _, k := range w.sum.points(count.effects, w.turn) {
			w.refused(f, k)
		}
	}
	for _, f := range []fault{full, fullForGood, broken, diskOnly} {
		for _, k := range w.sum.points(count.writes, w.turn) {
			w.refused(f, k)
		}
	}
}

// refused has one place fail: in a run that is taken back at once, in a run
// after which another comes, and in an undo.
func (w *walk) refused(f fault, k int) {
	w.t.Helper()
	s := w.open(w.begin())
	bad := &saboteur{state: s.state, fault: f, n: k}
	s.applyAndUndo(bad, "r1", w.scene.Units)
	var wrong []string
	if f == full { // what the reserve is for
		wrong = differences("a full disk stopped the undo", w.start, s.machine)
	}
	w.count(bad.what("a run that is taken back"), append(wrong, w.healed(s, w.start)...))
	s.close()

	s = w.open(w.begin())
	bad = &saboteur{state: s.state, fault: f, n: k}
	s.apply(bad, "r1", w.scene.Units)
	if bad.at != "" {
		w.count(bad.what("a run, and another"), w.again(s, "r2", false))
	}
	s.close()

	s = w.open(w.begin())
	defer s.close()
	s.apply(nil, "r1", w.scene.Units)
	bad = &saboteur{state: s.state, fault: f, n: k}
	s.rollback(bad, "r2")
	if bad.at != "" {
		w.count(bad.what("an undo, and another"), w.healed(s, w.start))
	}
}

func (s *saboteur) what(session string) string {
	return session + ": " + string(s.fault) + " at " + s.at
}

// healed takes all back once the faults are over.
func (w *walk) healed(s *site, want *fake.Machine) []string {
	r := s.rollback(nil, "r3")
	return append(r.trouble, w.nothingLeft(s, want)...)
}
