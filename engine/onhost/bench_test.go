package onhost

import (
	"fmt"
	"io"
	"testing"

	"weft/engine/step"
	"weft/engine/wire"
)

// BenchmarkSixtyConverged is a whole session about sixty steps that have
// nothing to do, on the fake: what is measured is the runner, not the kernel.
func BenchmarkSixtyConverged(b *testing.B) {
	s := newSite(b)
	var units []step.Unit
	for i := range 60 {
		path := fmt.Sprintf("/etc/converged-%d", i)
		s.machine.WriteFile(path, "content")
		units = append(units, file(path, "content"))
	}
	s.config.Log = nil
	b.ReportAllocs()
	for b.Loop() {
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- Serve(b.Context(), inR, outW, s.config); outW.Close() }()
		go func() {
			w := wire.NewWriter[wire.Request](inW)
			if err := w.Write(
				wire.Request{ID: 1, Hello: &wire.Hello{Run: "r1", Intent: wire.Change}},
				wire.Request{ID: 2, Check: &wire.Check{Units: units}},
				wire.Request{ID: 3, Bye: &wire.Bye{}},
			); err != nil {
				panic(err)
			}
		}()
		r, converged := wire.NewReader[wire.Event](outR), 0
		for {
			e, err := r.Read()
			if err != nil {
				break
			}
			if e.Unit != nil && e.Unit.State == wire.Converged {
				converged++
			}
		}
		if err := <-ended; err != nil || converged != 60 {
			b.Fatalf("%d converged, %v", converged, err)
		}
	}
}
