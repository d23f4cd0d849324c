package language

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Severity says whether a diagnostic stops the work.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Pos is a place in a file. Line and Column count from 1; a column is a
// character as people count them (a grapheme cluster). Byte counts from 0.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// Range is what a diagnostic points at; End is exclusive.
type Range struct {
	Start Pos `json:"start"`
	End   Pos `json:"end"`
}

// Line is a line of the source. The bytes from From to To of Text are what the
// diagnostic is about; none where they are equal.
type Line struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
	From   int    `json:"from"`
	To     int    `json:"to"`
}

// Diagnostic is a mistake of an author, as a plain value. It never holds a
// sensitive value.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`          // one line, no full stop
	Detail   string   `json:"detail,omitempty"` // sentences
	Hint     string   `json:"hint,omitempty"`   // what to do: "did you mean \"ovs_bridge\"?"
	File     string   `json:"file,omitempty"`   // empty for what was not written in a file
	Range    Range    `json:"range,omitzero"`
	Snippet  []Line   `json:"snippet,omitempty"`
	// Hosts are the first of the hosts that the mistake was seen on, and
	// MoreHosts how many others there are. Empty where it is the same for all.
	Hosts     []string `json:"hosts,omitempty"`
	MoreHosts int      `json:"more_hosts,omitempty"`

	hidden bool // the source is not shown, for it holds a sensitive value
}

// Diagnostics are in the order of file, line and column.
type Diagnostics []Diagnostic

// Failed says whether one of them is an error.
func (ds Diagnostics) Failed() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Err returns nil where there are only warnings, else the first error as one
// line, and how many more there are.
func (ds Diagnostics) Err() error {
	var first *Diagnostic
	errorCount := 0
	for i := range ds {
		if ds[i].Severity == Error {
			errorCount++
			if first == nil {
				first = &ds[i]
			}
		}
	}
	switch {
	case first == nil:
		return nil
	case errorCount == 1:
		return errors.New(first.line())
	}
	return fmt.Errorf("%s (and %d more mistakes)", first.line(), errorCount-1)
}

func (d Diagnostic) line() string {
	if d.File == "" {
		return d.Summary
	}
	return fmt.Sprintf("%s:%d:%d: %s", d.File, d.Range.Start.Line, d.Range.Start.Column, d.Summary)
}

func diagnostic(severity Severity, at hcl.Range, summary string) Diagnostic {
	return Diagnostic{
		Severity: severity,
		Summary:  summary,
		File:     at.Filename,
		Range:    Range{Start: Pos(at.Start), End: Pos(at.End)},
	}
}

// mistakes collects diagnostics. The zero value is ready.
type mistakes struct {
	list  []Diagnostic
	about string // the host that what is added is about; may be empty
}

// A note completes a diagnostic.
type note func(*Diagnostic)

func detail(format string, args ...any) note {
	return func(d *Diagnostic) { d.Detail = fmt.Sprintf(format, args...) }
}

func hint(format string, args ...any) note {
	return func(d *Diagnostic) { d.Hint = fmt.Sprintf(format, args...) }
}

// unseen leaves out the source and the reason: both may hold a sensitive value.
func unseen(d *Diagnostic) {
	d.Detail, d.hidden = "It may hold a sensitive value, so it is not shown.", true
}

// meant is the hint for a misspelt name; where nothing is near, it lists the
// names if they are few.
func meant(name string, known []string) note {
	return func(d *Diagnostic) {
		if s := suggest(name, known); s != "" {
			d.Hint = fmt.Sprintf("did you mean %q?", s)
			return
		}
		if len(known) > 0 && len(known) <= 12 {
			sorted := slices.Sorted(slices.Values(known))
			d.Hint = "there is " + quoteList(sorted)
		}
	}
}

func (m *mistakes) add(severity Severity, at hcl.Range, summary string, notes []note) {
	d := diagnostic(severity, at, summary)
	for _, n := range notes {
		n(&d)
	}
	if m.about != "" {
		d.Hosts = []string{m.about}
	}
	m.list = append(m.list, d)
}

func (m *mistakes) error(at hcl.Range, summary string, notes ...note) {
	m.add(Error, at, summary, notes)
}

func (m *mistakes) warn(at hcl.Range, summary string, notes ...note) {
	m.add(Warning, at, summary, notes)
}

func (m *mistakes) failed() bool { return Diagnostics(m.list).Failed() }

// finish sorts, joins what is said more than once, and adds the source lines.
func (m *mistakes) finish(files *fileSet, secrets []string) Diagnostics {
	joined := joinRepeats(m.list)
	sortPlaces(joined)
	for i := range joined {
		if !joined[i].hidden {
			joined[i].Snippet = files.snippet(joined[i])
		}
		scrub(&joined[i], secrets)
	}
	return joined
}

func sortPlaces(list Diagnostics) {
	slices.SortStableFunc(list, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Range.Start.Line, b.Range.Start.Line),
			cmp.Compare(a.Range.Start.Column, b.Range.Start.Column),
			cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.Summary, b.Summary),
			cmp.Compare(a.Detail, b.Detail),
		)
	})
}

// Join makes one list of several: in order, and what is said twice once.
func Join(lists ...Diagnostics) Diagnostics {
	joined := joinRepeats(slices.Concat(lists...))
	sortPlaces(joined)
	return joined
}

// joinRepeats makes one diagnostic of those that differ only in the host.
func joinRepeats(list []Diagnostic) Diagnostics {
	type key struct {
		file, summary string
		at            Range
	}
	const named = 3
	var out Diagnostics
	seen := map[key]int{}
	counted := map[int]string{} // the last host that was counted, by index of out
	for _, d := range list {
		k := key{d.File, d.Summary, d.Range}
		i, again := seen[k]
		if !again || d.File == "" && out[i].Detail != d.Detail {
			seen[k] = len(out)
			out = append(out, d)
			continue
		}
		for _, h := range d.Hosts {
			switch {
			case slices.Contains(out[i].Hosts, h) || counted[i] == h:
			case len(out[i].Hosts) < named:
				out[i].Hosts = append(slices.Clone(out[i].Hosts), h)
			default:
				counted[i] = h
				out[i].MoreHosts++
			}
		}
	}
	return out
}

// scrub is the second line of defence: whatever a message says, a value that
// is known to be sensitive is not in it.
func scrub(d *Diagnostic, secrets []string) {
	const tooShort = 4 // shorter ones would tear words apart
	for _, s := range secrets {
		if len(s) < tooShort {
			continue
		}
		for _, text := range []*string{&d.Summary, &d.Detail, &d.Hint} {
			*text = strings.ReplaceAll(*text, s, "(sensitive)")
		}
		for i := range d.Snippet {
			d.Snippet[i].Text = strings.ReplaceAll(d.Snippet[i].Text, s, strings.Repeat("*", len(s)))
		}
	}
}

func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return listWords(quoted)
}

// listWords joins words as a sentence does: "a, b and c".
func listWords(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
