package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestPartsCarryBytes(t *testing.T) {
	whole := bytes.Repeat([]byte{0, '{', '"', 0xff}, PartSize/4)
	parts := []Part{{Number: 1, Size: 3 * PartSize, Version: "v", Bytes: whole}, {Number: 1, At: PartSize, Bytes: []byte("x")}, {Error: "gone"}, {}}
	var b bytes.Buffer
	w := NewWriter[Request](&b)
	for i := range parts {
		if err := w.Write(Request{ID: i, Part: &parts[i]}, hello); err != nil {
			t.Fatal(err)
		}
	}
	if over := b.Len() - PartSize; over > 2000 {
		t.Errorf("a part costs %d bytes more than it carries", over)
	}
	r := NewReader[Request](iotest.HalfReader(&b))
	for i, want := range parts {
		got, err := r.Read()
		if want.Length = len(want.Bytes); err != nil || got.Part == nil || !reflect.DeepEqual(*got.Part, want) {
			t.Fatalf("part %d: %v, or another one", i, err)
		}
		if next, err := r.Read(); err != nil || next.Hello == nil {
			t.Fatalf("after part %d: %+v, %v", i, next, err)
		}
	}
}

func TestPartsThatAreRefused(t *testing.T) {
	frame := func(json string) string {
		return Magic + string([]byte{0, 0, 0, byte(len(json))}) + json
	}
	for name, c := range map[string]struct{ in, says string }{
		"too long":  {frame(`{"part":{"length":262145}}`), "not accepted"},
		"below 0":   {frame(`{"part":{"length":-1}}`), "not accepted"},
		"cut":       {frame(`{"part":{"length":9}}`) + "12345678", io.ErrUnexpectedEOF.Error()},
		"not begun": {frame(`{"part":{"length":9}}`), io.ErrUnexpectedEOF.Error()},
	} {
		if _, err := NewReader[Event](strings.NewReader(c.in)).Read(); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The bytes count for what one request may be answered with.
func TestPartsEndToo(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter[Event](&b)
	if err := w.Write(Event{ID: 1, Part: &Part{Bytes: make([]byte, PartSize)}}); err != nil {
		t.Fatal(err)
	}
	r := NewReader[Event](io.MultiReader(strings.NewReader(Magic), &again{frame: b.Bytes()[len(Magic):]}))
	n, err := 0, error(nil)
	for ; err == nil && n < 2*MaxAnswer/PartSize; n++ {
		_, err = r.Read()
	}
	if err == nil || !strings.Contains(err.Error(), "256 MiB") {
		t.Errorf("after %d parts: %v", n, err)
	}
}

// BenchmarkPart is what a byte of a relayed file costs in frames, once each way.
func BenchmarkPart(b *testing.B) {
	p := Part{Bytes: make([]byte, PartSize)}
	in, out := io.Pipe()
	b.SetBytes(PartSize)
	go func() {
		w := NewWriter[Request](out)
		for w.Write(Request{Part: &p}) == nil {
			continue
		}
	}()
	r := NewReader[Request](in)
	for b.Loop() {
		if _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
	in.Close()
}
