package doortest

import (
	"errors"
	"testing"

	"weft/engine/host"
)

const (
	unitName = "weft-test-door.service"
	unitFile = "/etc/systemd/system/" + unitName
	unitText = "[Unit]\nDescription=test of weft\n" +
		"[Service]\nExecStart=/bin/sleep 3600\n[Install]\nWantedBy=multi-user.target\n"
)

// Units checks the door to systemd. It skips where no systemd runs.
func Units(t *testing.T, h host.Host) {
	u, err := h.Units.Unit(t.Context(), unitName)
	if errors.Is(err, host.ErrNotReady) {
		t.Skipf("no systemd runs here: %v", err)
	}
	must(t, err)
	equal(t, "a unit that does not exist", u, host.Unit{Name: unitName, LoadState: "not-found", ActiveState: "inactive", SubState: "dead"})
	wantError(t, "start of nothing", h.Units.Do(t.Context(), host.Start, unitName), nil)
	wantError(t, "enabling of nothing", h.Units.Do(t.Context(), host.Enable, unitName), nil)
	for _, name := range []string{"", "ssh", "a/b.service"} {
		_, err := h.Units.Unit(t.Context(), name)
		wantError(t, "not a unit's name: "+name, err, nil)
	}
	t.Cleanup(func() { removeUnit(t, h) })
	must(t, h.Files.Write(t.Context(), unitFile, []byte(unitText), host.Attributes{}))
	must(t, h.Units.Do(t.Context(), host.Reload, ""))
	t.Run("Run", func(t *testing.T) { unitRuns(t, h.Units) })
	t.Run("Stale", func(t *testing.T) { unitStale(t, h) })
	t.Run("Enable", func(t *testing.T) { unitEnables(t, h.Units) })
	t.Run("Mask", func(t *testing.T) { unitMasks(t, h) })
	t.Run("Fail", func(t *testing.T) { unitFails(t, h) })
}

func removeUnit(t *testing.T, h host.Host) {
	_ = h.Units.Do(after(t), host.Stop, unitName)    // may be stopped
	_ = h.Units.Do(after(t), host.Disable, unitName) // may be disabled
	must(t, h.Files.Remove(after(t), unitFile))
	must(t, h.Units.Do(after(t), host.Reload, ""))
}

func unit(t *testing.T, u host.Units) host.Unit {
	t.Helper()
	state, err := u.Unit(t.Context(), unitName)
	must(t, err)
	return state
}

func unitRuns(t *testing.T, u host.Units) {
	equal(t, "before its start", unit(t, u), host.Unit{
		Name: unitName, LoadState: "loaded", ActiveState: "inactive", SubState: "dead", FileState: "disabled",
		FragmentPath: unitFile, Type: "simple", ExecStart: "/bin/sleep",
	})
	must(t, u.Do(t.Context(), host.Start, unitName))
	first := unit(t, u)
	equal(t, "started", first.ActiveState+" "+first.SubState, "active running")
	if first.MainPID == 0 || first.StartedAt == 0 {
		t.Errorf("a running unit has no process or no time: %+v", first)
	}
	must(t, u.Do(t.Context(), host.Start, unitName))
	equal(t, "started again", unit(t, u), first)
	must(t, u.Do(t.Context(), host.Restart, unitName))
	second := unit(t, u)
	if second.MainPID == first.MainPID || second.StartedAt <= first.StartedAt {
		t.Errorf("restart: %+v, then %+v", first, second)
	}
	must(t, u.Do(t.Context(), host.Stop, unitName))
	must(t, u.Do(t.Context(), host.Stop, unitName))
	stopped := unit(t, u)
	equal(t, "stopped", stopped.ActiveState, "inactive")
	equal(t, "process of a stopped unit", stopped.MainPID, 0)
}

// unitStale changes the file of a unit that runs, which systemd does not know before
// it is told.
func unitStale(t *testing.T, h host.Host) {
	must(t, h.Units.Do(t.Context(), host.Start, unitName))
	equal(t, "stale when it was read", unit(t, h.Units).Stale, false)
	must(t, h.Files.Write(t.Context(), unitFile, []byte("[Unit]\nDescription=another\n"+unitText), host.Attributes{}))
	equal(t, "stale when its file was changed", unit(t, h.Units).Stale, true)
	must(t, h.Units.Do(t.Context(), host.Reload, ""))
	equal(t, "stale when it was read again", unit(t, h.Units).Stale, false)
	must(t, h.Files.Write(t.Context(), unitFile, []byte(unitText), host.Attributes{}))
	must(t, h.Units.Do(t.Context(), host.Reload, ""))
	must(t, h.Units.Do(t.Context(), host.Stop, unitName))
}

func unitEnables(t *testing.T, u host.Units) {
	for range 2 {
		must(t, u.Do(t.Context(), host.Enable, unitName))
		equal(t, "enabled", unit(t, u).FileState, "enabled")
	}
	for range 2 {
		must(t, u.Do(t.Context(), host.Disable, unitName))
		equal(t, "disabled", unit(t, u).FileState, "disabled")
	}
}

// unitMasks masks a unit that has no file below /etc; one that has is refused.
func unitMasks(t *testing.T, h host.Host) {
	wantError(t, "mask of a unit with a file in the place of the mask", h.Units.Do(t.Context(), host.Mask, unitName), nil)
	const other = "weft-test-masked.service"
	t.Cleanup(func() { must(t, h.Units.Do(after(t), host.Unmask, other)) })
	must(t, h.Units.Do(t.Context(), host.Mask, other))
	masked, err := h.Units.Unit(t.Context(), other)
	must(t, err)
	equal(t, "masked", masked.LoadState+" "+masked.FileState, "masked masked")
	wantError(t, "start of a masked unit", h.Units.Do(t.Context(), host.Start, other), nil)
	must(t, h.Units.Do(t.Context(), host.Unmask, other))
	free, err := h.Units.Unit(t.Context(), other)
	must(t, err)
	equal(t, "unmasked", free.LoadState, "not-found")
}

// unitFails starts a unit whose dependency is not there.
func unitFails(t *testing.T, h host.Host) {
	text := "[Unit]\nRequires=weft-test-missing.service\n" + unitText[len("[Unit]\n"):]
	must(t, h.Files.Write(t.Context(), unitFile, []byte(text), host.Attributes{}))
	must(t, h.Units.Do(t.Context(), host.Reload, ""))
	wantError(t, "start without what it requires", h.Units.Do(t.Context(), host.Start, unitName), nil)
	if got := unit(t, h.Units).ActiveState; got == "active" {
		t.Errorf("the unit is %s", got)
	}
}
