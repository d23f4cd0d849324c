package acceptance

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A scenario is a playbook with its lab: from bare hosts to what it says, through
// drift and a cold boot, and back.
type scenario struct {
	inventory string
	hosts     []string
	playbooks []string // in this order; the last is the one that is looked at
	works     func(t *testing.T, s scenario)
	drifts    []drift
	// before brings a bare host what no playbook does.
	before func(t *testing.T, s scenario)
	// more is what else is tried while all is as it should be; it leaves it so.
	more func(t *testing.T, s scenario)
	// memory begins the addresses of steps whose objects no boot brings back.
	memory []string
}

// A drift is what another hand changes of what one step manages, or several.
type drift struct {
	what, host, command string
	steps               int // that repair it; 0 stands for one
}

func (s scenario) run(t *testing.T) {
	t.Parallel() // much of it is waiting
	labUp(t, s.inventory)
	if s.before != nil {
		s.before(t, s)
	}
	found := map[string]string{}
	for _, h := range s.hosts {
		found[h] = s.state(t, h)
	}
	for _, p := range s.playbooks {
		if len(s.apply(t, p)) == 0 {
			t.Fatalf("%s changed nothing", p)
		}
	}
	s.works(t, s)
	s.unchanged(t)
	for _, d := range s.drifts {
		t.Run(d.what, func(t *testing.T) {
			s.on(t, d.host, d.command)
			if steps := s.repair(t); len(steps) != max(d.steps, 1) {
				t.Errorf("it was repaired by %q, want %d", steps, max(d.steps, 1))
			}
		})
	}
	if s.more != nil {
		s.more(t, s)
	}
	s.unchanged(t)
	t.Run("cold boot", func(t *testing.T) {
		must(t, "lab", "cold-boot", "-i", s.inventory)
		for _, step := range s.repair(t) {
			if !slices.ContainsFunc(s.memory, func(m string) bool { return strings.HasPrefix(step, m) }) {
				t.Errorf("the boot did not bring back what %s manages", step)
			}
		}
		s.works(t, s)
	})
	t.Run("rollback", func(t *testing.T) {
		must(t, append([]string{"rollback", "-y", "-i", s.inventory}, s.standing(t)...)...)
		for _, h := range s.hosts {
			if d := cmp.Diff(found[h], s.state(t, h)); d != "" {
				t.Errorf("%s is not as it was found:\n%s", h, d)
			}
		}
	})
}

// on runs a shell command on a host by OpenSSH: another hand.
func (s scenario) on(t *testing.T, host, command string) string {
	t.Helper()
	return labHost{t, s.inventory, host}.sees(command)
}

// state is what is compared with the bare host; a boot numbers the far ends of its
// links anew.
func (s scenario) state(t *testing.T, host string) string {
	t.Helper()
	return farEnd.ReplaceAllString(s.on(t, host, bare), "$1:")
}

// changedStep is the line of a step that changed something, or half of that.
var changedStep = regexp.MustCompile(`(?m)^\S+ +changed +(\S+)`)

// apply applies a playbook, which must end well, and returns the addresses of the
// steps that changed something.
func (s scenario) apply(t *testing.T, playbook string, args ...string) []string {
	t.Helper()
	var steps []string
	for _, m := range changedStep.FindAllStringSubmatch(must(t, append([]string{"apply", "-y", playbook, "-i", s.inventory}, args...)...), -1) {
		steps = append(steps, m[1])
	}
	return steps
}

// repair applies all again.
func (s scenario) repair(t *testing.T) []string {
	t.Helper()
	var steps []string
	for _, p := range s.playbooks {
		steps = append(steps, s.apply(t, p)...)
	}
	return steps
}

func (s scenario) unchanged(t *testing.T) {
	t.Helper()
	if steps := s.repair(t); len(steps) > 0 {
		t.Errorf("applied again, %q changed something", steps)
	}
}

// standing are the runs that stand, of all hosts.
func (s scenario) standing(t *testing.T) []string {
	t.Helper()
	var ids []string
	for line := range strings.Lines(must(t, "runs", "-i", s.inventory)) {
		if id := runID.FindString(line); id != "" && !strings.Contains(line, "  undone  ") {
			ids = append(ids, id)
		}
	}
	return ids
}
