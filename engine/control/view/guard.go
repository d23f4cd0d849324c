package view

import (
	"fmt"
	"strings"
	"time"

	"weft/engine/control/run"
	"weft/engine/wire"
)

// guard tells where the guard of a host stands: of this run, or of one that is
// gone.
func (t *Text) guard(e run.Event) {
	g := e.Guard
	whose, play := "its guard", "the play "+wire.Neutralise(g.Play)
	if g.Run != e.Run {
		whose = fmt.Sprintf("the guard of run %s of %s", wire.Neutralise(g.Run), wire.Neutralise(g.Owner))
	}
	word, text := t.p.yellow("guard"), ""
	switch {
	case g.State == wire.GuardArmed && g.Run == e.Run && e.Hint == "":
		text = fmt.Sprintf("armed for %s before %s%s", g.Time, wire.Neutralise(g.Step), because(g.Why))
	case g.State == wire.GuardArmed:
		text = fmt.Sprintf("%s stands until %s: then the host takes %s back by itself, unless somebody confirms it",
			whose, time.Now().Add(g.Left).Format("15:04:05"), play)
	case g.State == wire.GuardCommitted:
		text = "confirmed over a new connection: " + play + " stays"
	case g.State == wire.GuardReleased:
		text = whose + " is released: what stood under it was taken back"
	case g.State == wire.GuardUndone && g.Error == "":
		word = t.p.red("guard")
		text = fmt.Sprintf("%s was not confirmed: the host took %s of %s back by itself", whose, count(g.Undone, "step"), play)
	case g.Error != "":
		word = t.p.red("guard")
		text = fmt.Sprintf("%s was not confirmed, and the host could not take all of %s back:\n%s", whose, play, wire.Neutralise(g.Error))
	default:
		word = t.p.red("guard")
		text = fmt.Sprintf("%s was not confirmed: the host is taking %s back just now", whose, play)
	}
	t.say(e, word, text)
}

// say is a line about a host as a whole, with what more there is below it, and
// what to do next.
func (t *Text) say(e run.Event, word, text string) {
	head, rest, _ := strings.Cut(text, "\n")
	margin := strings.Repeat(" ", t.width+2)
	line := t.name(e.Host) + "  " + word + "  " + head + "\n"
	if rest != "" {
		line += indent(margin, rest) + "\n"
	}
	t.live.keep(line + t.hint(margin, e.Hint))
}

// hint says what to do next.
func (t *Text) hint(margin, hint string) string {
	if hint == "" {
		return ""
	}
	return margin + t.p.faint("→ "+strings.ReplaceAll(wire.Neutralise(hint), "\n", "\n"+margin+"  ")) + "\n"
}

// standing is what a run leaves to the operator.
func (t *Text) standing(r *run.Recap) string {
	if len(r.Standing) == 0 {
		return ""
	}
	var hosts []string
	first := r.Standing[0].Until
	for _, s := range r.Standing {
		hosts = append(hosts, s.Host)
		if s.Until.Before(first) {
			first = s.Until
		}
	}
	return fmt.Sprintf("%s  of %s: from %s on it is taken back by the hosts themselves, unless you confirm it\n%s",
		t.p.yellow("not confirmed"), some(hosts), first.Format("15:04:05"), t.hint("  ", r.Confirm))
}
