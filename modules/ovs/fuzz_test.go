package ovs

import (
	"context"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// FuzzLog reads the end of a log that anybody who sends packets can fill: a few
// lines of it are shown, and only those that name the device.
func FuzzLog(f *testing.F) {
	f.Add("2026|bridge|WARN|could not open network device eth9 (No such device)\n", "eth9")
	f.Fuzz(func(t *testing.T, content, name string) {
		m := fake.New()
		m.Program("tail", func(*fake.Machine, host.Command) host.Result { return host.Result{Stdout: []byte(content)} })
		said := logLines(context.Background(), m.Host(), name)
		_, shown, there := strings.Cut(said, "\n")
		if !there {
			return
		}
		for i, line := range strings.Split(shown, "\n") {
			if i >= logShown {
				t.Fatalf("more than %d lines of %q", logShown, content)
			}
			if !strings.Contains(line, strings.TrimSpace(name)) || !strings.Contains(content, line) {
				t.Errorf("%q is said of %q in %q", line, name, content)
			}
		}
	})
}

// FuzzDevices reads a table of devices: a container may name one as it likes, but
// for slashes, colons and white space (dev_valid_name() of the kernel).
func FuzzDevices(f *testing.F) {
	f.Add("Inter-|   Receive\n face |bytes\n    lo: 1 1 0\nvnet3:7 7 0\n")
	f.Add(":\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, name := range devicesIn(table) {
			if strings.ContainsAny(name, ":\n") || strings.TrimSpace(name) != name || !strings.Contains(table, name+":") && !strings.Contains(table, name) {
				t.Errorf("%q of %q", name, table)
			}
		}
	})
}
