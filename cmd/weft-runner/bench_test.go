package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/step"
	"weft/engine/wire"
)

// BenchmarkSixtyConverged is the runner's process from its start to its end on
// this machine: 30 files, 20 directories and 10 packages that have nothing to
// do. The target is 15 ms.
func BenchmarkSixtyConverged(b *testing.B) {
	m := newMachine(b)
	runner := m.install(buildA)
	dir := b.TempDir()
	content := strings.Repeat("a line of a configuration file\n", 128)
	var units []step.Unit
	for i := range 30 {
		path := filepath.Join(dir, fmt.Sprintf("file-%d", i))
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
		units = append(units, unit("file", fmt.Sprint(i), map[string]any{"path": path, "content": content, "mode": "0644"}))
	}
	for i := range 20 {
		path := filepath.Join(dir, fmt.Sprintf("dir-%d", i))
		if err := os.Mkdir(path, 0o755); err != nil {
			b.Fatal(err)
		}
		units = append(units, unit("directory", fmt.Sprint(i), map[string]any{"path": path, "mode": "0755"}))
	}
	for i, name := range []string{"apt", "base-files", "bash", "coreutils", "dpkg", "grep", "gzip", "libc6", "sed", "tar"} {
		units = append(units, unit("package", fmt.Sprint(i), map[string]any{"name": name}))
	}
	var cpu time.Duration
	for b.Loop() {
		s := m.serve(runner)
		s.send(wire.Request{Hello: &wire.Hello{Run: "r1", Owner: "anna", Intent: wire.Change}})
		s.send(wire.Request{Check: &wire.Check{Units: units}})
		s.read(done)
		for _, e := range s.read(done) {
			if e.Unit != nil && e.Unit.State != wire.Converged {
				b.Fatalf("%s is %s: %s", e.Unit.Address, e.Unit.State, e.Unit.Error)
			}
		}
		s.bye()
		cpu += s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
	}
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/op")
}
