package view

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"weft/engine/control/run"
	"weft/engine/control/textwidth"
	"weft/engine/wire"
)

// Verbosity is how much a text view shows.
type Verbosity int

// The verbosities: -v adds steps that were fine, -vv what raised and settled
// needs and what runners were connected to, -vvv the whole output of failures
// even where it is long, and the deltas of every finding.
const (
	Changes Verbosity = iota
	Steps
	Needs
	Everything
)

// Text shows a run to people.
type Text struct {
	p         Palette
	live      *live
	verbosity Verbosity
	width     int // of the longest host's name
	hosts     int // in scope
	away      []away
	// reviewed says that the deltas were shown in a plan just before.
	reviewed bool
}

// NewText returns a view on out. On a terminal, unless the environment has CI,
// the hosts at work are drawn live.
func NewText(out io.Writer, environment func(string) (string, bool), v Verbosity) *Text {
	t := &Text{p: Colour(out, environment), verbosity: v}
	var size func() (int, int)
	if ci, _ := environment("CI"); IsTerminal(out) && ci == "" {
		f := out.(*os.File)
		size = func() (int, int) {
			w, h, err := term.GetSize(int(f.Fd()))
			if err != nil || w == 0 { // a terminal may not know
				return 80, 24
			}
			return w, h
		}
	}
	t.live = newLive(out, size)
	return t
}

// Print writes a text of our own above the live part.
func (t *Text) Print(text string) { t.live.keep(text) }

// Close clears the live part.
func (t *Text) Close() { t.live.stop() }

// Observe implements [run.Observer].
func (t *Text) Observe(e run.Event) {
	switch e.Type {
	case run.RunBegan:
		t.hosts = len(e.Hosts)
		for _, h := range e.Hosts {
			t.width = max(t.width, textwidth.Of(h))
		}
	case run.HostBegan:
		t.live.work(e.Host, "connecting")
	case run.PlayBegan:
		t.flush()
		back := ""
		if e.Phase == run.Undoing {
			back = t.p.cyan(" goes back")
		}
		t.live.keep(t.p.bold("play "+e.Play) + back + t.p.faint(" on "+some(e.Hosts)) + "\n")
	case run.PlayHeld:
		t.flush()
		t.live.keep(t.p.bold("play "+e.Play) + " " + t.p.red("does not begin") + t.p.faint(" on "+some(e.Hosts)) + ": " + wire.Neutralise(e.Error) + "\n")
	case run.HostConnected:
		t.connected(e)
	case run.HostDone:
		t.live.work(e.Host, "")
	case run.UnitMoved:
		t.unit(e)
	case run.UnitProgress:
		t.live.progress(e.Host, flat(wire.Neutralise(e.Progress.Address))+": "+flat(wire.Neutralise(e.Progress.How)))
	case run.NeedSettled:
		t.need(e)
	case run.RunEnded:
		t.flush()
		t.live.stop()
		t.live.keep(t.recap(e.Recap))
	case run.HostGuard:
		t.guard(e)
	default:
		t.host(e)
	}
}

// some names a few and counts the rest.
func some(hosts []string) string {
	if len(hosts) <= 6 {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:5], ", "), len(hosts)-5)
}

func (t *Text) name(host string) string { return textwidth.Pad(host, t.width) }

func (t *Text) connected(e run.Event) {
	t.live.work(e.Host, "checking")
	for _, open := range e.Open {
		t.live.keep(fmt.Sprintf("%s  %s run %s was cut here, or waits for a reboot; what it found before is kept, and weft rollback can take it back\n",
			t.name(e.Host), t.p.yellow("open"), wire.Neutralise(open)))
	}
	if t.verbosity >= Needs {
		t.live.keep(t.name(e.Host) + "  " + t.p.faint("connected") + "\n")
	}
}

// host is an event of a host as a whole.
func (t *Text) host(e run.Event) {
	word, text := t.p.red(strings.ReplaceAll(string(e.Type), "_", " ")), wire.Neutralise(e.Error)
	work := ""
	switch e.Type {
	case run.HostUnreachable:
		if t.hosts > crowd {
			t.missing(e)
			return
		}
	case run.HostLocked:
		text = holder(e.Holder) + "; come again later, or wait for it with --lock-timeout 5m"
	case run.HostWaiting:
		word, text = t.p.yellow("waiting"), "for the lease, held "+holder(e.Holder)
		work = "waiting for the lease of " + wire.Neutralise(e.Holder.Owner)
	case run.HostTookOver:
		word, text = t.p.yellow("took over"), "the lease, held "+holder(e.Holder)+", which is dead"
		work = "checking"
	case run.HostCut:
		word, work = t.p.yellow("cut"), "connecting again"
	case run.HostBack:
		word, text, work = t.p.green("back"), "connected again; the run goes on there", "going on"
	case run.HostReboots:
		word, text, work = t.p.yellow("reboots"), "for "+wire.Neutralise(strings.Join(e.Steps, ", ")), "rebooting"
	case run.HostLate:
		word, work = t.p.yellow("late"), "waiting for it to go back by itself"
	case run.HostFailed:
		word = t.p.red("failed")
	}
	t.live.work(e.Host, work)
	if passing := e.Type == run.HostCut || e.Type == run.HostBack; !passing || t.hosts <= crowd || t.verbosity >= Steps {
		t.say(e, word, text)
	}
}

func holder(l *wire.Lease) string {
	return fmt.Sprintf("since %s by run %s of %s", l.Since.Local().Format("15:04:05"), wire.Neutralise(l.Run), wire.Neutralise(l.Owner))
}

// word is what a unit's state is called on the screen, in its colour, filled up
// to the width of a column before it is painted: escapes take no room.
func (t *Text) word(s wire.UnitState) string {
	padded := textwidth.Pad(flat(wire.Neutralise(string(s))), 7)
	switch s {
	case wire.Converged, wire.Proved:
		return t.p.green(padded)
	case wire.Changed, wire.Pending, wire.Planned, wire.Applying:
		return t.p.yellow(padded)
	case wire.Waiting, wire.Stopped, wire.Undone:
		return t.p.cyan(padded)
	}
	return t.p.red(strings.TrimRight(padded, " "))
}

func (t *Text) unit(e run.Event) {
	u := e.Unit
	address := flat(wire.Neutralise(u.Address))
	switch u.State {
	case wire.Applying:
		t.live.work(e.Host, address)
		return
	case wire.Failed, wire.Refuted, wire.Stale, wire.Conflict, wire.Stuck:
		t.live.keep(t.failure(e))
		return
	case wire.Converged, wire.Planned, wire.Waiting, wire.Stopped:
		t.live.work(e.Host, address)
		warned := u.State == wire.Converged && u.Finding != nil && len(u.Finding.Warnings) > 0 && !t.reviewed
		if e.Phase == run.Planning || t.verbosity < Steps && !warned {
			return // the plan is shown whole, at its end
		}
	}
	line := t.name(e.Host) + "  " + t.word(u.State) + "  " + address
	if u.Report != nil {
		line += "  " + wire.Neutralise(u.Report.Summary)
	}
	if u.Elapsed > 0 && u.State != wire.Converged {
		line += "  " + t.p.faint(short(u.Elapsed))
	}
	var b strings.Builder
	b.WriteString(line + "\n")
	if u.Finding != nil && u.State != wire.Converged && (!t.reviewed || t.verbosity >= Everything) {
		t.p.deltas(&b, strings.Repeat(" ", t.width+4), u.Finding.Deltas)
	}
	if !t.reviewed {
		t.warnings(&b, strings.Repeat(" ", t.width+4), u.Finding)
	}
	t.live.keep(b.String())
}

// tail is how many lines of a tool's output are shown of a failure.
const tail = 10

// failure shows an error whole: what, why, and the end of what a tool said.
func (t *Text) failure(e run.Event) string {
	u := e.Unit
	margin := strings.Repeat(" ", t.width+4)
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s\n", t.name(e.Host), t.word(u.State), wire.Neutralise(u.Address))
	b.WriteString(indent(margin, wire.Neutralise(u.Error)) + "\n")
	if detail := strings.TrimSpace(wire.Neutralise(u.Detail)); detail != "" && detail != strings.TrimSpace(wire.Neutralise(u.Error)) {
		shown := strings.Split(detail, "\n")
		if t.verbosity < Everything && len(shown) > tail {
			fmt.Fprintf(&b, "%s%s\n", margin, t.p.faint(fmt.Sprintf("… %d lines more with -vvv", len(shown)-tail)))
			shown = shown[len(shown)-tail:]
		}
		b.WriteString(t.p.faint(indent(margin+"| ", strings.Join(shown, "\n"))) + "\n")
	}
	return b.String()
}

func (t *Text) need(e run.Event) {
	n := e.Need
	what := fmt.Sprintf("%s %s, for %s", wire.Neutralise(string(n.Need.Verb)), wire.Neutralise(n.Need.Object), wire.Neutralise(n.Need.Reason))
	switch {
	case n.Error != "":
		t.live.keep(fmt.Sprintf("%s  %s  %s\n%s\n", t.name(e.Host), t.p.red("failed"), what,
			indent(strings.Repeat(" ", t.width+4), wire.Neutralise(n.Error))))
	case n.Pending:
		t.live.keep(fmt.Sprintf("%s  %s  %s: it is left to whoever boots the host\n", t.name(e.Host), t.p.yellow("pending"), what))
	case t.verbosity >= Needs || e.Phase != run.Planning:
		t.live.keep(fmt.Sprintf("%s  %s  %s  %s\n", t.name(e.Host), t.p.yellow("settled"), what, t.p.faint(short(n.Elapsed))))
	}
}

// recap is a line a host, the slowest steps, and what is left to do. Where nothing happened,
// as in a plan, there is none.
func (t *Text) recap(r *run.Recap) string {
	idle := true
	for _, c := range r.Hosts {
		idle = idle && c == (run.Count{})
	}
	if idle {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n" + t.p.bold("recap") + t.p.faint(fmt.Sprintf("  run %s  %s", r.Run, short(r.Elapsed))) + "\n")
	b.WriteString(t.counts(r))
	if len(r.Slowest) > 0 && r.Slowest[0].Elapsed.Seconds() >= 1 {
		b.WriteString(t.p.faint("slowest steps") + "\n")
		for _, s := range r.Slowest {
			fmt.Fprintf(&b, "%8s  %s  %s\n", short(s.Elapsed), t.name(s.Host), wire.Neutralise(s.Address))
		}
	}
	b.WriteString(t.standing(r))
	return b.String()
}

func (t *Text) number(format string, n int, paint func(string) string) string {
	s := fmt.Sprintf(format, n)
	if n == 0 {
		return t.p.faint(s)
	}
	return paint(s)
}

// flat makes one line of a text.
func flat(s string) string { return strings.NewReplacer("\n", " ", "\t", " ").Replace(s) }
