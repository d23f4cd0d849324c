package push

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"sync"

	"weft/engine/wire"
)

// What is kept of a stderr: the last lines, and of each its beginning.
const (
	keptLines = 100
	keptBytes = 1000
)

// lines reads a stderr to its end and keeps the last of it, neutralised.
type lines struct {
	done chan struct{}

	mu   sync.Mutex
	kept []string
	hook func(string)
}

// readLines begins to read. Log is told every line; it may be nil.
func readLines(r io.Reader, log func(string)) *lines {
	l := &lines{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		in := bufio.NewReaderSize(r, 4096)
		for {
			line, err := in.ReadSlice('\n')
			text := string(line)
			for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line is for nobody
				_, err = in.ReadSlice('\n')
			}
			if text = strings.TrimRight(text, "\r\n"); text != "" {
				l.add(text, log)
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l *lines) add(text string, log func(string)) {
	if len(text) > keptBytes {
		text = text[:keptBytes] + "…"
	}
	text = wire.Neutralise(text)
	l.mu.Lock()
	if l.kept = append(l.kept, text); len(l.kept) > keptLines {
		l.kept = l.kept[1:]
	}
	hook := l.hook
	l.mu.Unlock()
	if hook != nil {
		hook(text)
	}
	if log != nil {
		log(text)
	}
}

// onLine has every further line told to f; nil ends that.
func (l *lines) onLine(f func(string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = f
}

// last are the lines kept so far.
func (l *lines) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.kept...)
}

// wait returns all that was kept when the stream has ended.
func (l *lines) wait() string {
	<-l.done
	return strings.Join(l.last(), "\n")
}
