package netconf

import (
	"slices"
	"strings"
)

// hunk says that lines of a base go, from at to before end, or that others come
// before at.
type hunk struct {
	at, end int
	lines   []string
}

func lines(text string) []string { return slices.Collect(strings.Lines(text)) }

// hunks are what makes b of a.
func hunks(a, b []string) []hunk {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	tail := 0
	for tail < len(a)-start && tail < len(b)-start && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	mid, other := a[start:len(a)-tail], b[start:len(b)-tail]
	common := subsequences(mid, other)
	var out []hunk
	i, j := 0, 0
	for i < len(mid) || j < len(other) {
		if i < len(mid) && j < len(other) && mid[i] == other[j] {
			i, j = i+1, j+1
			continue
		}
		h := hunk{at: start + i}
		from := j
		for (i < len(mid) || j < len(other)) && (i == len(mid) || j == len(other) || mid[i] != other[j]) {
			if j == len(other) || i < len(mid) && common[i+1][j] >= common[i][j+1] {
				i++
			} else {
				j++
			}
		}
		h.end = start + i
		if h.end > h.at {
			out = append(out, h)
		}
		if j > from {
			out = append(out, hunk{at: h.end, end: h.end, lines: other[from:j]})
		}
	}
	return out
}

// subsequences holds at i, j the length of the longest common subsequence of
// a from i on and b from j on.
func subsequences(a, b []string) [][]int {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}

// clash says whether two changes of one base cannot both be made.
func (h hunk) clash(o hunk) bool {
	if h.at == h.end && o.at == o.end {
		return h.at == o.at
	}
	return h.at < o.end && o.at < h.end
}

func (h hunk) equal(o hunk) bool {
	return h.at == o.at && h.end == o.end && slices.Equal(h.lines, o.lines)
}

// merge makes of base what both a and b made of it. It fails where they changed
// the same lines in different ways.
func merge(base, a, b string) (merged string, ok bool) {
	from := lines(base)
	ours, theirs := hunks(from, lines(a)), hunks(from, lines(b))
	var out strings.Builder
	at := 0
	take := func(h hunk) {
		for _, l := range slices.Concat(from[at:h.at], h.lines) {
			out.WriteString(l)
		}
		at = h.end
	}
	for len(ours) > 0 || len(theirs) > 0 {
		switch {
		case len(theirs) == 0:
			take(ours[0])
			ours = ours[1:]
		case len(ours) == 0:
			take(theirs[0])
			theirs = theirs[1:]
		case ours[0].equal(theirs[0]):
			take(ours[0])
			ours, theirs = ours[1:], theirs[1:]
		case ours[0].clash(theirs[0]):
			return "", false
		case ours[0].at < theirs[0].at || ours[0].at == theirs[0].at && ours[0].end == ours[0].at:
			take(ours[0])
			ours = ours[1:]
		default:
			take(theirs[0])
			theirs = theirs[1:]
		}
	}
	take(hunk{at: len(from), end: len(from)})
	return out.String(), true
}
