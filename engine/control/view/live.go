package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"weft/engine/control/textwidth"
)

// live is the part at the bottom of a terminal that is drawn again and again:
// a line for each host at work. Lines that stay are written above it. The zero
// live, on a pipe, only writes.
type live struct {
	mu    sync.Mutex
	out   io.Writer
	on    bool
	size  func() (columns, rows int) // of the terminal now
	busy  map[string]task
	drawn []int // columns of each line on the screen
	quit  chan struct{}
}

// task is what a host is doing.
type task struct {
	what  string
	since time.Time
}

func newLive(out io.Writer, size func() (columns, rows int)) *live {
	l := &live{out: out, busy: map[string]task{}}
	if size == nil {
		return l
	}
	l.on, l.size = true, size
	l.quit = make(chan struct{})
	go l.tick()
	return l
}

func (l *live) tick() {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-t.C:
			l.mu.Lock()
			l.redraw("")
			l.mu.Unlock()
		}
	}
}

// keep writes text that stays.
func (l *live) keep(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.redraw(text)
}

// work says what a host is doing now; nothing where what is empty.
func (l *live) work(host, what string) {
	if !l.on {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if what == "" {
		delete(l.busy, host)
		return
	}
	l.busy[host] = task{what, time.Now()}
}

// progress says how far a host is with what it is doing.
func (l *live) progress(host, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, busy := l.busy[host]; busy {
		l.busy[host] = task{what, t.since}
	}
}

// stop clears the live part for good.
func (l *live) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on {
		return
	}
	clear(l.busy)
	l.redraw("")
	l.on = false
	close(l.quit)
}

// redraw erases the live part, writes text above it and draws it again, in one
// write so that the terminal does not flicker.
func (l *live) redraw(text string) {
	var b strings.Builder
	if len(l.drawn) > 0 {
		columns, _ := l.size()
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", height(l.drawn, columns))
	}
	b.WriteString(text)
	l.drawn = nil
	if l.on {
		for _, line := range l.lines(l.size()) {
			b.WriteString(line + "\n")
			l.drawn = append(l.drawn, textwidth.Of(line))
		}
	}
	if b.Len() > 0 {
		_, _ = io.WriteString(l.out, b.String()) // a terminal that is gone cannot be told
	}
}

// height is how many rows lines take on a terminal that may have become
// narrower since they were drawn: it wraps them then.
func height(lines []int, columns int) int {
	rows := 0
	for _, n := range lines {
		rows += max(1, (n+columns-1)/max(columns, 1))
	}
	return rows
}

// lines are the hosts at work, those that have been at it longest first, cut
// to the terminal.
func (l *live) lines(columns, rows int) []string {
	hosts := slices.SortedFunc(maps.Keys(l.busy), func(a, b string) int {
		return cmp.Or(l.busy[a].since.Compare(l.busy[b].since), strings.Compare(a, b))
	})
	room := max(1, min(rows/2, 12))
	var out []string
	for i, h := range hosts {
		if i == room {
			out = append(out, textwidth.Cut(fmt.Sprintf("  … and %d more hosts", len(hosts)-room), columns-1))
			break
		}
		t := l.busy[h]
		since := time.Since(t.since).Round(time.Second).String()
		// The time stays, whatever the length of the rest: it moves.
		line := textwidth.Cut("  "+textwidth.Pad(flat(h), 16)+" "+flat(t.what), columns-2-len(since))
		out = append(out, textwidth.Cut(line+" "+since, columns-1))
	}
	return out
}
