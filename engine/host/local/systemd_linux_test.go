package local

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"weft/engine/host"
)

// needSystemd returns the units of a machine that systemd runs.
func needSystemd(tb testing.TB) *units {
	tb.Helper()
	u := &units{}
	if _, err := u.connect(); err != nil {
		tb.Skipf("no systemd runs here: %v", err)
	}
	return u
}

// install writes a unit that goes away with the test.
func install(t *testing.T, u *units, path, text string) {
	t.Helper()
	f, ctx := newFiles(), context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if err := errors.Join(f.Remove(ctx, path), u.Do(ctx, host.Reload, "")); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(f.Write(ctx, path, []byte(text), host.Attributes{}), u.Do(ctx, host.Reload, "")); err != nil {
		t.Fatal(err)
	}
}

func TestNoSystemdIsNotReady(t *testing.T) {
	if _, err := dialSystemd(filepath.Join(t.TempDir(), "no")); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("got %v", err)
	}
}

func TestSystemdFailureCarriesTheLog(t *testing.T) {
	u := needSystemd(t)
	install(t, u, "/etc/systemd/system/weft-test-fail.service",
		"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo this is why >&2; exit 3'\n")
	err := u.Do(t.Context(), host.Start, "weft-test-fail.service")
	if err == nil || !strings.Contains(err.Error(), `the job ended as "failed"`) || !strings.Contains(err.Error(), "this is why") {
		t.Errorf("got %v", err)
	}
	if got, err := u.Unit(t.Context(), "weft-test-fail.service"); err != nil || got.ActiveState != "failed" || got.FileState != "static" || got.Type != "oneshot" {
		t.Errorf("got %+v, %v", got, err)
	}
	err = u.Do(t.Context(), host.Enable, "weft-test-fail.service")
	if err == nil || !strings.Contains(err.Error(), "[Install]") {
		t.Errorf("enabled without an [Install] section: %v", err)
	}
}

func TestSystemdGeneratedUnit(t *testing.T) {
	u := needSystemd(t)
	install(t, u, "/etc/init.d/weft-test-sysv", "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: weft-test-sysv\n# Required-Start:\n"+
		"# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop:\n### END INIT INFO\nexit 0\n")
	if err := errors.Join(
		second(commands{}.Run(t.Context(), host.Command{Argv: []string{"chmod", "0755", "/etc/init.d/weft-test-sysv"}})),
		u.Do(t.Context(), host.Reload, ""),
	); err != nil {
		t.Fatal(err)
	}
	got, err := u.Unit(t.Context(), "weft-test-sysv.service")
	if err != nil || got.LoadState != "loaded" || got.FileState != "generated" {
		t.Errorf("got %+v, %v", got, err)
	}
	err = u.Do(t.Context(), host.Enable, "weft-test-sysv.service")
	if err == nil || !strings.Contains(err.Error(), "update-rc.d") {
		t.Errorf("enabled: %v", err)
	}
}

// systemd closes its connections when it executes itself anew, which an update
// of its package does.
func TestSystemdComesBackAfterReexec(t *testing.T) {
	u := needSystemd(t)
	before, err := u.connect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (commands{}).Run(t.Context(), host.Command{Argv: []string{"systemctl", "daemon-reexec"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the old connection to end", func() bool { return !before.conn.Connected() })
	if got, err := u.Unit(t.Context(), "basic.target"); err != nil || got.ActiveState != "active" || got.Type != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func BenchmarkUnit(b *testing.B) {
	u := needSystemd(b)
	for b.Loop() {
		if _, err := u.Unit(b.Context(), "systemd-journald.service"); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzEscapeUnit(f *testing.F) {
	f.Add("ssh.service")
	f.Add("1-a@\\x2d.mount")
	f.Fuzz(func(t *testing.T, name string) {
		for i, c := range []byte(escapeUnit(name)) {
			letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !letter && (c < '0' || c > '9' || i == 0) {
				t.Errorf("%q in the path of %q", c, name)
			}
		}
	})
}
