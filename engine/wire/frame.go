package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// MaxFrame is the longest frame either side accepts, in bytes. A longer one is
// a broken or hostile peer, and ends the session.
const MaxFrame = 64 << 20

// What one request may be answered with. More is a broken or hostile runner,
// and ends the session: the controller keeps findings, outputs and what it
// tells the operator, so without an end a host could fill its memory.
const (
	MaxEvents = 1 << 17   // events
	MaxAnswer = 256 << 20 // bytes of frames
)

// MaxValues is how many JSON values one frame may hold. A value of two bytes
// can become a struct of a hundred, so the length alone bounds no memory.
const MaxValues = 1 << 20

// MaxNoise is how many bytes before the magic are skipped.
const MaxNoise = 1 << 20

// ErrNoMagic says that the stream ended, or ran on, without [Magic]. What came
// instead is in the [NoiseError] around it.
var ErrNoMagic = errors.New("the other end does not speak weft's protocol")

// NoiseError carries what came instead of the protocol: the output of a login
// script, an error of the shell. It may hold anything, so neutralise it before
// it is shown.
type NoiseError struct {
	Noise []byte // the first bytes of it, at most 4096
}

func (e *NoiseError) Error() string {
	text := strings.TrimSpace(string(e.Noise))
	if text == "" {
		return ErrNoMagic.Error()
	}
	return ErrNoMagic.Error() + "; it said: " + text
}

// Unwrap makes it an [ErrNoMagic].
func (e *NoiseError) Unwrap() error { return ErrNoMagic }

// A Writer writes messages of one direction. It may be used from several
// goroutines.
type Writer[M Message] struct {
	mu     sync.Mutex
	w      *bufio.Writer
	opened bool
}

// NewWriter returns a Writer to w. The magic goes out with the first message.
func NewWriter[M Message](w io.Writer) *Writer[M] {
	return &Writer[M]{w: bufio.NewWriterSize(w, 32<<10)}
}

// Write sends messages in one flush.
func (w *Writer[M]) Write(messages ...M) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.opened {
		w.opened = true
		if _, err := w.w.WriteString(Magic); err != nil {
			return err
		}
	}
	for _, m := range messages {
		var behind []byte
		if p := part(&m); p != nil {
			behind, p.Length = p.Bytes, len(p.Bytes)
		}
		body := encode(m)
		if len(body) > MaxFrame {
			return fmt.Errorf("a message of %d bytes is longer than a frame may be (%d)", len(body), MaxFrame)
		}
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(body)))
		if _, err := w.w.Write(head[:]); err != nil {
			return err
		}
		if _, err := w.w.Write(body); err != nil {
			return err
		}
		if _, err := w.w.Write(behind); err != nil {
			return err
		}
	}
	return w.w.Flush()
}

// A Reader reads messages of one direction. It is not for several goroutines.
type Reader[M Message] struct {
	r      *bufio.Reader
	opened bool

	events, bytes int // since the last Done
}

// NewReader returns a Reader from r.
func NewReader[M Message](r io.Reader) *Reader[M] {
	return &Reader[M]{r: bufio.NewReaderSize(r, 32<<10)}
}

// Read returns the next message. It returns io.EOF at the end of a whole
// stream, io.ErrUnexpectedEOF within a frame, and a [*NoiseError] where the
// magic does not come.
func (r *Reader[M]) Read() (M, error) {
	var m M
	if err := r.Open(); err != nil {
		return m, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return m, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return m, fmt.Errorf("a frame of %d bytes is announced, more than %d are not accepted", n, MaxFrame)
	}
	// Grow with what really arrives: the length is the peer's word.
	body, err := io.ReadAll(io.LimitReader(r.r, int64(n)))
	if err != nil {
		return m, err
	}
	if len(body) < int(n) {
		return m, io.ErrUnexpectedEOF
	}
	if values(body) > MaxValues {
		return m, fmt.Errorf("a frame of more than %d values came, which are not accepted", MaxValues)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("decode a frame: %w", err)
	}
	size := len(body)
	if p := part(&m); p != nil {
		if err := p.readBytes(r.r); err != nil {
			return m, err
		}
		size += p.Length
	}
	return m, r.count(m, size)
}

// count ends an answer that does not end.
func (r *Reader[M]) count(m M, size int) error {
	e, ok := any(m).(Event)
	if !ok {
		return nil
	}
	r.events, r.bytes = r.events+1, r.bytes+size
	switch {
	case e.Done != nil:
		r.events, r.bytes = 0, 0
	case r.events > MaxEvents:
		return fmt.Errorf("more than %d events came in answer to one request, which are not accepted", MaxEvents)
	case r.bytes > MaxAnswer:
		return fmt.Errorf("more than %d MiB came in answer to one request, which are not accepted", MaxAnswer>>20)
	}
	return nil
}

// values is at least how many values JSON text holds; what is no JSON is the
// decoder's to find.
func values(text []byte) int {
	n := 1
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case !quoted && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

// Open reads up to and with the magic, so that whoever starts a runner knows
// that one is there before the first message is asked for. It returns a
// [*NoiseError] where the magic does not come. Read does it where it was not
// done.
func (r *Reader[M]) Open() error {
	if r.opened {
		return nil
	}
	if err := r.seekMagic(); err != nil {
		return err
	}
	r.opened = true
	return nil
}

// seekMagic skips noise. Magic begins with a byte that occurs only there, so a
// mismatch needs no going back.
func (r *Reader[M]) seekMagic() error {
	var noise []byte
	matched := 0
	for range MaxNoise {
		b, err := r.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return &NoiseError{Noise: noise}
			}
			return err
		}
		switch b {
		case Magic[matched]:
			matched++
		case Magic[0]:
			matched = 1
		default:
			matched = 0
		}
		if matched == len(Magic) {
			return nil
		}
		if len(noise) < 4096 && b != 0 {
			noise = append(noise, b)
		}
	}
	return &NoiseError{Noise: noise}
}
