package local

import (
	"bytes"
	"sync"
)

// lines counts the lines that a program prints, and keeps the last. Nil counts
// nothing.
type lines struct {
	mu   sync.Mutex
	last string
	n    int
	told int // how many had been seen when somebody was told last
}

// longestLine is how long a line is that is told. Of a longer one nothing is: half of
// a secret would not be known for one.
const longestLine = 1 << 10

// stream is one of the program's outputs: a line is written to one of them.
func (l *lines) stream() *lineWriter { return &lineWriter{to: l} }

// tell says the last line, if there is a new one.
func (l *lines) tell(watch func(last string, n int)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	last, n, news := l.last, l.n, l.n > l.told
	l.told = l.n
	l.mu.Unlock()
	if news {
		watch(last, n)
	}
}

func (l *lines) add(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if len(line) <= longestLine {
		l.last = string(bytes.TrimSpace(line))
	}
}

// lineWriter cuts what is written to it into lines. A carriage return ends one
// too: programs that draw a line again and again end it so.
type lineWriter struct {
	to   *lines
	open []byte // the line that has not ended
}

// Write never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	written := len(p)
	for {
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			break
		}
		w.keep(p[:i])
		w.to.add(w.open)
		w.open, p = w.open[:0], p[i+1:]
	}
	w.keep(p)
	return written, nil
}

func (w *lineWriter) keep(p []byte) {
	w.open = append(w.open, p[:min(len(p), longestLine+1-len(w.open))]...)
}
