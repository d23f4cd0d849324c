package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/control/run"
	"weft/engine/control/textwidth"
	"weft/engine/wire"
)

// crowd is how many hosts a run must have for what befalls several of them to be
// told together: a screen holds about so many lines.
const crowd = 24

// away are the hosts that were not reached, by the reason and what to do next.
type away struct {
	reason, hint string
	hosts        []string
}

// missing notes a host that was not reached, to be told with others like it.
func (t *Text) missing(e run.Event) {
	t.live.work(e.Host, "")
	reason := e.Error
	if e.Address != "" {
		reason = strings.TrimPrefix(reason, e.Address+": ")
	}
	i := slices.IndexFunc(t.away, func(a away) bool { return a.reason == reason })
	if i < 0 {
		i = len(t.away)
		t.away = append(t.away, away{reason: reason, hint: e.Hint})
	}
	t.away[i].hosts = append(t.away[i].hosts, e.Host)
}

// flush tells of the hosts that were not reached so far, a reason at a time,
// that of most hosts first. Of one host alone it says as much as ever.
func (t *Text) flush() {
	if len(t.away) == 0 {
		return
	}
	slices.SortStableFunc(t.away, func(a, b away) int { return cmp.Compare(len(b.hosts), len(a.hosts)) })
	var b strings.Builder
	for _, a := range t.away {
		slices.Sort(a.hosts)
		head, rest, _ := strings.Cut(wire.Neutralise(a.reason), "\n")
		fmt.Fprintf(&b, "%s  %s: %s\n", t.p.red("unreachable"), count(len(a.hosts), "host"), head)
		if rest != "" {
			b.WriteString(indent("  ", rest) + "\n")
		}
		b.WriteString("  " + some(a.hosts) + "\n" + t.hint("  ", a.hint))
	}
	t.away = nil
	t.live.keep(b.String())
}

// counts is the body of a recap: a line a host, or of many hosts a line for each
// outcome that several share. Hosts that are not as they should be come last,
// nearest to the prompt.
func (t *Text) counts(r *run.Recap) string {
	type group struct {
		hosts []string
		run.Count
	}
	var groups []*group
	shared := map[run.Count]*group{}
	for _, h := range slices.Sorted(maps.Keys(r.Hosts)) {
		c := r.Hosts[h]
		g := shared[c]
		if g == nil || len(r.Hosts) <= crowd {
			g = &group{Count: c}
			groups, shared[c] = append(groups, g), g
		}
		g.hosts = append(g.hosts, h)
	}
	if len(r.Hosts) > crowd {
		slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(trouble(a.Count), trouble(b.Count)) })
	}
	width := 0
	label := func(g *group) string {
		if len(g.hosts) > 1 {
			return count(len(g.hosts), "host")
		}
		return g.hosts[0]
	}
	for _, g := range groups {
		width = max(width, textwidth.Of(label(g)))
	}
	var b strings.Builder
	for _, g := range groups {
		b.WriteString(textwidth.Pad(label(g), width) + " : " + t.count(g.Count) + "\n")
		if len(g.hosts) > 1 {
			b.WriteString(t.p.faint("  "+some(g.hosts)) + "\n")
		}
	}
	return b.String()
}

// trouble orders outcomes: what is fine, what was changed, what went wrong.
func trouble(c run.Count) int {
	switch {
	case c.Failed > 0:
		return 3
	case c.Unreachable:
		return 2
	case c.Changed > 0 || c.RolledBack > 0:
		return 1
	}
	return 0
}

func (t *Text) count(c run.Count) string {
	line := strings.Join([]string{
		t.number("ok=%-3d", c.OK, t.p.green), t.number("changed=%-3d", c.Changed, t.p.yellow), t.number("failed=%-3d", c.Failed, t.p.red),
		t.number("skipped=%-3d", c.Skipped, t.p.cyan), t.number("rolled_back=%d", c.RolledBack, t.p.cyan),
	}, " ")
	if c.Unreachable {
		line += " " + t.p.red("unreachable")
	}
	return line
}
