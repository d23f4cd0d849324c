package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"weft/engine/step"
)

func frames(t testing.TB, requests ...Request) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter[Request](&b)
	for _, r := range requests {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

var (
	hello = Request{ID: 1, Hello: &Hello{Run: "r1", Intent: Change, Owner: "<&>"}}
	check = Request{ID: 2, Check: &Check{Units: []step.Unit{{Address: "file.a", Kind: "file", Spec: []byte(`{"a":1}`)}}}}
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	stream := frames(t, hello, check)
	if n := strings.Count(string(stream), Magic); n != 1 {
		t.Errorf("the magic is there %d times", n)
	}
	for name, in := range map[string]io.Reader{
		"whole":                bytes.NewReader(stream),
		"byte by byte":         iotest.OneByteReader(bytes.NewReader(stream)),
		"after a banner":       strings.NewReader("Welcome!\r\n\x00weft-fram\x00\x00" + string(stream)),
		"with data and an end": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		r := NewReader[Request](in)
		for _, want := range []Request{hello, check} {
			got, err := r.Read()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: read %+v, %v", name, got, err)
			}
		}
		if _, err := r.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestManyMessagesAreOneWrite(t *testing.T) {
	var writes countedWrites
	if err := NewWriter[Request](&writes).Write(hello, check, check); err != nil {
		t.Fatal(err)
	}
	if writes != 1 {
		t.Errorf("%d writes", writes)
	}
}

type countedWrites int

func (c *countedWrites) Write(b []byte) (int, error) { *c++; return len(b), nil }

func TestWhatIsNoProtocol(t *testing.T) {
	r := NewReader[Event](strings.NewReader("bash: /var/lib/weft: No such file\n"))
	_, err := r.Read()
	var noise *NoiseError
	if !errors.As(err, &noise) || !errors.Is(err, ErrNoMagic) || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("got %v", err)
	}
	if _, err := NewReader[Event](strings.NewReader("")).Read(); !errors.Is(err, ErrNoMagic) {
		t.Errorf("nothing at all: %v", err)
	}
	endless := io.LimitReader(zeros{}, MaxNoise+100)
	if _, err := NewReader[Event](endless).Read(); !errors.As(err, &noise) || len(noise.Noise) > 4096 {
		t.Errorf("endless noise: %v", err)
	}
	broken := iotest.ErrReader(io.ErrClosedPipe)
	if _, err := NewReader[Event](broken).Read(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a broken stream: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestBrokenFrames(t *testing.T) {
	stream := frames(t, hello)
	head := len(Magic)
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"cut within the length": {stream[:head+2], io.ErrUnexpectedEOF},
		"cut within the body":   {stream[:len(stream)-1], io.ErrUnexpectedEOF},
		"cut before the body":   {stream[:head+4], io.ErrUnexpectedEOF},
	} {
		if _, err := NewReader[Request](bytes.NewReader(c.in)).Read(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := binary.BigEndian.AppendUint32([]byte(Magic), MaxFrame+1)
	if _, err := NewReader[Request](bytes.NewReader(long)).Read(); err == nil || !strings.Contains(err.Error(), "announced") {
		t.Errorf("a frame that is too long: %v", err)
	}
	garbage := append(binary.BigEndian.AppendUint32([]byte(Magic), 3), "{x}"...)
	var syntax *json.SyntaxError
	if _, err := NewReader[Request](bytes.NewReader(garbage)).Read(); !errors.As(err, &syntax) {
		t.Errorf("a frame that is no JSON: %v", err)
	}
}

// A runner that does not stop talking is not listened to for ever.
func TestAnswersEnd(t *testing.T) {
	frame := func(e Event) []byte {
		body := encode(e)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	small := frame(Event{ID: 1, Unit: &UnitEvent{Address: "file.a", State: Converged}})
	large := frame(Event{ID: 1, Exec: &ExecEvent{Stdout: make([]byte, 24<<20)}})
	done := frame(Event{ID: 1, Done: &Done{}})
	for name, c := range map[string]struct {
		answer []byte
		until  string
	}{
		"many events": {small, "131072 events"},
		"many bytes":  {large, "256 MiB"},
	} {
		r := NewReader[Event](io.MultiReader(strings.NewReader(Magic), &again{frame: c.answer}))
		n, err := 0, error(nil)
		for ; err == nil; n++ {
			_, err = r.Read()
		}
		if !strings.Contains(err.Error(), c.until) || n*len(c.answer) > MaxAnswer+len(c.answer) || n > MaxEvents+1 {
			t.Errorf("%s: %d events, then %v", name, n, err)
		}
	}
	// Each request has its own measure.
	r := NewReader[Event](io.MultiReader(strings.NewReader(Magic), &again{frame: append(bytes.Repeat(small, 1000), done...)}))
	for range MaxEvents + 2000 {
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
}

// again repeats a frame without end.
type again struct {
	frame []byte
	at    int
}

func (a *again) Read(b []byte) (int, error) {
	n := copy(b, a.frame[a.at:])
	a.at = (a.at + n) % len(a.frame)
	return n, nil
}

// A frame that is short but would be large in memory is not decoded.
func TestValuesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		refuse bool
	}{
		"many objects":    {`{"unit":{"finding":{"deltas":[` + strings.Repeat("{},", MaxValues) + `{}]}}}`, true},
		"many in strings": {`{"unit":{"error":"` + strings.Repeat(`{},[\"`, MaxValues) + `"}}`, false},
	} {
		in := append(binary.BigEndian.AppendUint32([]byte(Magic), uint32(len(c.body))), c.body...)
		_, err := NewReader[Event](bytes.NewReader(in)).Read()
		if refused := err != nil && strings.Contains(err.Error(), "values"); refused != c.refuse || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(frames(f, hello, check))
	f.Add([]byte("banner\n" + Magic + "\x00\x00\x00\x02{}"))
	f.Add([]byte(Magic + "\xff\xff\xff\xff"))
	f.Add([]byte(Magic + "\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewReader[Request](bytes.NewReader(stream))
		for {
			got, err := r.Read()
			if err != nil {
				return
			}
			again, err := NewReader[Request](bytes.NewReader(frames(t, got))).Read()
			if err != nil || !reflect.DeepEqual(show(t, again), show(t, got)) {
				t.Fatalf("%+v became %+v, %v", got, again, err)
			}
		}
	})
}

func show(t *testing.T, r Request) string {
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
