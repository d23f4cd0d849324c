// Package trial is what a boot with new kernel arguments is tried by, between
// the step that orders it and the service that watches it.
//
// A step (kind kernel_cmdline) writes down what is tried ([Save]), and orders a
// boot entry that the boot loader takes once. Its command line carries
// weft.trial=ID. On that boot, and on no other, systemd starts
// weft-trial.service early, whose program is [Watch]: it waits until the step
// has kept what was tried, which takes the state away, and boots the machine
// anew where that does not come in time. The one-shot entry is used up by then,
// so the machine comes back with its old arguments. Notes say how far the trial
// came, for whoever looks afterwards ([Notes]).
//
// The kernel, too, may end a trial: [Arguments] has a panic, a soft lockup, a
// stuck initramfs and a systemd that hangs end in a boot.
package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
)

// Where a trial lies. The directory is root's alone.
const (
	Dir     = "/var/lib/weft/trial"
	state   = Dir + "/state"
	booted  = Dir + "/booted"
	ended   = Dir + "/ended"
	cmdline = "/proc/cmdline"
	bootID  = "/proc/sys/kernel/random/boot_id"
)

// Entry is the id of the boot entry.
const Entry = "weft-trial"

// The service that watches a trial.
const (
	Service     = "weft-trial.service"
	ServiceFile = "/etc/systemd/system/" + Service
)

// key is the parameter that marks the boot; the kernel passes over names with
// a dot that no module has.
const key = "weft.trial="

// State is a trial that was ordered.
type State struct {
	// ID is on the command line of the trial's boot.
	ID string `json:"id"`
	// Boot is the boot in which it was ordered.
	Boot string `json:"boot"`
	// Parts are what the steps of the machine try, in their order.
	Parts []Part `json:"parts"`
	// Values are kernel settings that the trial's arguments change, as they
	// were found, by their paths.
	Values map[string]string `json:"values,omitzero"`
}

// Part is what one step tries.
type Part struct {
	Step    string          `json:"step"` // its address
	Request json.RawMessage `json:"request"`
	Confirm time.Duration   `json:"confirm"`
	Staged  bool            `json:"staged,omitzero"`
}

// Without returns the state without a step's part.
func (s State) Without(step string) State {
	s.Parts = slices.DeleteFunc(slices.Clone(s.Parts), func(p Part) bool { return p.Step == step })
	return s
}

// Has says whether a step takes part.
func (s State) Has(step string) bool {
	return slices.ContainsFunc(s.Parts, func(p Part) bool { return p.Step == step })
}

// Confirm is for how long the watch waits: the longest of the parts.
func (s State) Confirm() time.Duration {
	var longest time.Duration
	for _, p := range s.Parts {
		longest = max(longest, p.Confirm)
	}
	return longest
}

// Lasts is for how long the machine tries at most, from the start of the watch:
// after that it boots as it was.
func (s State) Lasts() time.Duration { return bootTime + s.Confirm() }

// Staged says whether all parts leave the boot to another hand.
func (s State) Staged() bool {
	return len(s.Parts) > 0 && !slices.ContainsFunc(s.Parts, func(p Part) bool { return !p.Staged })
}

// Arguments are added to the command line of a trial's boot: its mark, and what
// makes a kernel and an initramfs that cannot go on boot anew instead of
// waiting for a person (kernel-parameters.txt, initramfs-tools(7),
// dracut.cmdline(7), systemd(1)).
func Arguments(id string) []string { return append([]string{key + id}, fallback()...) }

func fallback() []string {
	return []string{"panic=30", "softlockup_panic=1", "systemd.watchdog_sec=60", "rd.shell=0", "rd.emergency=reboot"}
}

// Sets are the kernel settings below /proc/sys that [Arguments] sets, and to
// what.
func Sets() map[string]string {
	return map[string]string{"/proc/sys/kernel/panic": "30", "/proc/sys/kernel/softlockup_panic": "1"}
}

// Strip takes the words of [Arguments] out of a command line's, and returns the
// id of the trial; empty where it is the command line of none.
func Strip(words []string) (rest []string, id string) {
	for i, w := range words {
		id, ok := strings.CutPrefix(w, key)
		if !ok {
			continue
		}
		end := i + 1
		for _, a := range fallback() {
			if end < len(words) && words[end] == a {
				end++
			}
		}
		return slices.Concat(words[:i], words[end:]), id
	}
	return words, ""
}

// Running is the id of the trial that this boot is; empty where it is none.
func Running(ctx context.Context, v host.View) (string, error) {
	line, err := v.Kernel.Get(ctx, cmdline)
	if err != nil {
		return "", err
	}
	_, id := Strip(strings.Fields(line))
	return id, nil
}

// Load returns the trial that was ordered. The error wraps [fs.ErrNotExist]
// where there is none.
func Load(ctx context.Context, v host.View) (State, error) {
	var s State
	text, err := v.Files.Read(ctx, state)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", state, err)
	}
	return s, nil
}

// Save writes a trial down. Its directory is made where it is not there.
func Save(ctx context.Context, h host.Host, s State) error {
	if _, err := h.Files.Stat(ctx, Dir); errors.Is(err, fs.ErrNotExist) {
		private := fs.FileMode(0o700)
		if err := h.Files.MakeDirectory(ctx, Dir, host.Attributes{Mode: &private}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return write(ctx, h, state, s)
}

// Forget removes the state and the notes.
func Forget(ctx context.Context, h host.Host) error {
	for _, name := range []string{booted, ended, state, Dir} {
		if err := h.Files.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Notes say how far a trial came.
type Notes struct {
	// Booted is the boot id of the trial's boot, where it came as far as its
	// service, and could write.
	Booted string
	// Ended says why the service booted the machine anew, or, for a trial
	// whose boot another hand chose, that it was well.
	Ended string
}

type note struct {
	ID   string `json:"id"`
	Boot string `json:"boot"`
	// Until is the uptime, in seconds, at which the trial is over, and Up says
	// that it is counted from when the machine was up.
	Until float64 `json:"until,omitzero"`
	Up    bool    `json:"up,omitzero"`
	Why   string  `json:"why,omitzero"`
}

// Tell returns the notes of a trial.
func Tell(ctx context.Context, v host.View, id string) Notes {
	var n Notes
	if b, ok := readNote(ctx, v, booted); ok && b.ID == id {
		n.Booted = b.Boot
	}
	if e, ok := readNote(ctx, v, ended); ok && e.ID == id {
		n.Ended = e.Why
	}
	return n
}

// readNote reads a note; one that was torn is none.
func readNote(ctx context.Context, v host.View, name string) (note, bool) {
	var n note
	text, err := v.Files.Read(ctx, name)
	return n, err == nil && json.Unmarshal(text, &n) == nil
}

func write(ctx context.Context, h host.Host, name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	private := fs.FileMode(0o600)
	return h.Files.Write(ctx, name, append(text, '\n'), host.Attributes{Mode: &private})
}

// Unit is the text of weft-trial.service. It is not a part of sysinit.target's
// order but stands beside it, so that it runs in an emergency shell too; it is
// not stopped by a shutdown before the very end, so that it can force one that
// hangs. Where its program cannot be started for minutes, or fails again and
// again, nobody can confirm the trial, and systemd boots anew.
func Unit(runner string, s State) string {
	staged := ""
	if s.Staged() {
		staged = " -staged"
	}
	return fmt.Sprintf(`# Written by weft, and removed when the trial is decided.
[Unit]
Description=weft: boot anew unless the kernel arguments of this boot are confirmed
ConditionKernelCommandLine=weft.trial
DefaultDependencies=no
IgnoreOnIsolate=yes
After=systemd-remount-fs.service
StartLimitIntervalSec=1h
StartLimitBurst=30
FailureAction=reboot-force

[Service]
Type=simple
ExecStart=%s trial -confirm %s%s
Restart=on-failure
RestartSec=10s
OOMScoreAdjust=-900

[Install]
WantedBy=sysinit.target emergency.target rescue.target
`, strings.ReplaceAll(runner, "%", "%%"), s.Confirm(), staged)
}

// uptime is how long the machine has been up, in seconds.
func uptime(ctx context.Context, v host.View) (float64, error) {
	text, err := v.Kernel.Get(ctx, "/proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(text, " ")
	return strconv.ParseFloat(first, 64)
}
