package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// where names a link and its namespace.
func where(t host.Tap) string { return t.Link + from(t.Namespace) }

// capture looks at frames while during runs. That links are not there is what
// the probe saw, and no failure of the machine.
func capture(ctx context.Context, v host.View, taps []host.Tap, during func(context.Context) error) ([]host.Seen, error) {
	saw, err := v.Packets.Capture(ctx, taps, during)
	if errors.Is(err, fs.ErrNotExist) {
		var places []string
		for _, t := range taps {
			places = append(places, where(t))
		}
		return nil, &step.ProbeError{Wanted: "frames on " + strings.Join(places, ", "), Seen: err.Error(),
			Hint: "a port of DPDK is no link of the kernel, and its frames are not seen here: capture at the other end"}
	}
	return saw, err
}

// unless forgets an error that came of a context's end: the capture had seen
// enough.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// wait waits for a time, or less where the context ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// kindsShown bounds what an error says of the frames that were seen instead.
const kindsShown = 4

// crowd describes the frames of a tap: "0 of 57 frames (40 geneve 7, 17 ARP)".
func crowd(s host.Seen) string {
	text := fmt.Sprintf("%d of %d frames", s.Matched, s.Frames)
	if s.Frames > 0 {
		text += " (" + kinds(s) + ")"
	}
	return text
}

// kinds are what most frames of a tap were: "40 geneve 7, 17 ARP".
func kinds(s host.Seen) string {
	names := slices.SortedFunc(maps.Keys(s.Kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Kinds[b], s.Kinds[a]), strings.Compare(a, b))
	})
	var shown []string
	for i, name := range names {
		if i == kindsShown {
			shown = append(shown, "…")
			break
		}
		shown = append(shown, fmt.Sprintf("%d %s", s.Kinds[name], name))
	}
	return strings.Join(shown, ", ")
}

// unproved is a silence that proves nothing, since frames came too fast to be
// looked at; nil where none did.
func unproved(t host.Tap, s host.Seen) error {
	if s.Lost == 0 {
		return nil
	}
	return &step.ProbeError{Wanted: "a look at every frame on " + where(t), Seen: fmt.Sprintf("%d lost", s.Lost),
		Hint: "the link is too busy for this probe: capture at a quieter one"}
}
