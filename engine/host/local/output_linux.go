package local

import "fmt"

// bounded keeps the first and the last bytes of what is written to it. A
// program that prints without end does not fill the memory.
type bounded struct {
	limit int // bytes kept at each end
	head  []byte
	tail  []byte // a ring once it is full
	total int
}

// Write never fails.
func (b *bounded) Write(p []byte) (int, error) {
	written := len(p)
	b.total += written
	if room := b.limit - len(b.head); room > 0 {
		n := min(room, len(p))
		b.head = append(b.head, p[:n]...)
		p = p[n:]
	}
	b.tail = append(b.tail, p...)
	if len(b.tail) > 2*b.limit {
		b.tail = append(b.tail[:0], b.tail[len(b.tail)-b.limit:]...)
	}
	return written, nil
}

// cut says how many bytes were left out.
func (b *bounded) cut() int { return max(0, b.total-2*b.limit) }

// Bytes returns what was kept, with a note where something was left out.
func (b *bounded) Bytes() []byte {
	if b.cut() == 0 {
		return append(b.head[:len(b.head):len(b.head)], b.tail...)
	}
	out := append([]byte(nil), b.head...)
	out = fmt.Appendf(out, "\n[weft: %d bytes left out]\n", b.cut())
	return append(out, b.tail[len(b.tail)-b.limit:]...)
}
