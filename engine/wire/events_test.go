package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"testing"
)

// FuzzEvents is the controller's side: whatever a host sends, what was read is
// a message that can be sent again, and costs no more memory than it has bytes.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(Magic + "\x00\x00\x00\x02{}"))
	f.Add([]byte(Magic + "\x00\x00\x00\x15{\"part\":{\"length\":3}}weft"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewReader[Event](bytes.NewReader(stream))
		for {
			got, err := r.Read()
			var noise *NoiseError
			if errors.As(err, &noise) && len(noise.Noise) > 4096 {
				t.Fatalf("%d bytes of noise are kept", len(noise.Noise))
			}
			if err != nil {
				return
			}
			var b bytes.Buffer
			if err := NewWriter[Event](&b).Write(got); err != nil {
				t.Fatal(err)
			}
			again, err := NewReader[Event](&b).Read()
			if err != nil || !reflect.DeepEqual(again, got) && !bytes.Equal(encode(again), encode(got)) {
				t.Fatalf("%+v became %+v, %v", got, again, err)
			}
		}
	})
}

// A length is the peer's word: what it announces and does not send costs
// nothing.
func TestAnnouncedBytesCostNothing(t *testing.T) {
	head := binary.BigEndian.AppendUint32([]byte(Magic), MaxFrame)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := NewReader[Event](bytes.NewReader(append(head, "{"...))).Read()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated for a frame of one", grown)
	}
}
