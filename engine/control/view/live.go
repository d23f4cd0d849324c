package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// live is the part at the bottom of a terminal that is drawn again and again:
// a line for each host at work. Lines that stay are printed above it. The zero
// live, on a pipe, only prints.
type live struct {
	mu    sync.Mutex
	out   io.Writer
	on    bool
	rows  func() int // height of the terminal
	width func() int
	busy  map[string]task
	drawn int
	quit  chan struct{}
}

// task is what a host is doing.
type task struct {
	what  string
	since time.Time
}

func newLive(out io.Writer, size func() (width, rows int)) *live {
	l := &live{out: out, busy: map[string]task{}}
	if size == nil {
		return l
	}
	l.on = true
	l.width = func() int { w, _ := size(); return max(w, 20) }
	l.rows = func() int { _, h := size(); return max(h, 4) }
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

// print writes text that stays.
func (l *live) print(text string) {
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

// redraw erases the live part, prints text above it and draws it again, in one
// write so that the terminal does not flicker.
func (l *live) redraw(text string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.drawn)
	}
	b.WriteString(text)
	l.drawn = 0
	if l.on {
		for _, line := range l.lines() {
			b.WriteString(line + "\n")
			l.drawn++
		}
	}
	if b.Len() > 0 {
		_, _ = io.WriteString(l.out, b.String()) // a terminal that is gone cannot be told
	}
}

// lines are the hosts at work, those that have been at it longest first, cut
// to the terminal.
func (l *live) lines() []string {
	hosts := make([]string, 0, len(l.busy))
	for h := range l.busy {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b string) int {
		if c := l.busy[a].since.Compare(l.busy[b].since); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	room := min(l.rows()/2, 12)
	var out []string
	for i, h := range hosts {
		if i == room {
			out = append(out, fmt.Sprintf("  … and %d more hosts", len(hosts)-room))
			break
		}
		t := l.busy[h]
		line := fmt.Sprintf("  %-16s %s %s", h, t.what, time.Since(t.since).Round(time.Second))
		if r := []rune(line); len(r) >= l.width() {
			line = string(r[:l.width()-1])
		}
		out = append(out, line)
	}
	return out
}
