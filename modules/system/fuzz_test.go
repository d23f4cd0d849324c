package system

import (
	"testing"
	"time"
)

// FuzzUptime reads /proc/uptime, which a container's runtime may make up.
func FuzzUptime(f *testing.F) {
	f.Add("350735.47 234388.90\n", int64(7))
	f.Fuzz(func(t *testing.T, text string, started int64) {
		since, err := uptimeSince(text, started)
		if err == nil && (since < 0 || started >= 0 && since > 137*366*24*time.Hour) {
			t.Errorf("%q and %d are %s", text, started, since)
		}
	})
}

// FuzzMode reads a mode as people write it.
func FuzzMode(f *testing.F) {
	f.Add("0644")
	f.Fuzz(func(t *testing.T, text string) {
		mode, err := parseMode(text)
		if err != nil {
			return
		}
		if again, err := parseMode(formatMode(mode)); err != nil || again != mode {
			t.Errorf("%q is %v, written %q, is %v", text, mode, formatMode(mode), again)
		}
	})
}
