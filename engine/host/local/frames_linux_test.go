package local

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/frame"
)

// testFrames: a frame crosses as it is, tags included; a side does not hear itself;
// waiting ends with its context, and the wire is good for another wait then.
func testFrames(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	near, err := frames{}.Attach(ctx, "", testLink)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := frames{}.Attach(ctx, testSpace, testPeer)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	long := append(testFrame(), make([]byte, 1000)...) // longer than what a capture keeps
	for _, f := range [][]byte{testFrame(), testFrame(300), testFrame(7, 300), long} {
		if err := near.Send(ctx, f); err != nil {
			t.Fatal(err)
		}
		if got := heard(t, ctx, far); !bytes.Equal(got, f) {
			t.Errorf("got % x, want % x", got, f)
		}
	}
	if err := far.Send(ctx, testFrame(9)); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, ctx, near); !bytes.Equal(got, testFrame(9)) {
		t.Errorf("got % x, which is not the other side's", got)
	}
	for range 20 {
		brief, end := context.WithCancel(ctx)
		go end()
		for err == nil { // a neighbour's frames may come first
			_, err = far.Receive(brief)
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("a wait ended with %v", err)
		}
		if err = near.Send(ctx, testFrame()); err != nil {
			t.Fatal(err)
		}
		heard(t, ctx, far)
	}
}

// heard is the next of the test's own frames.
func heard(t *testing.T, ctx context.Context, w host.Wire) []byte {
	t.Helper()
	for {
		b, err := w.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if f := frame.Decode(b); f.EtherType == 0x88b5 {
			return b
		}
	}
}

func testFramesFail(t *testing.T) {
	before := descriptors(t)
	for range 5 {
		for namespace, link := range map[string]string{"": "weft-test-none", "weft-test-none": testPeer} {
			if w, err := (frames{}).Attach(t.Context(), namespace, link); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("got %v, %v", w, err)
			}
		}
		w, err := frames{}.Attach(t.Context(), "", "lo")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Send(t.Context(), make([]byte, 1<<17)); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("a frame of 128 KiB: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	waitFor(t, "descriptors to be closed", func() bool { return descriptors(t) <= before })
}
