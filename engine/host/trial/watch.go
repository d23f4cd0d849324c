package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"weft/engine/host"
)

// Verdict is how a trial ended.
type Verdict string

// The verdicts.
const (
	// Kept: the step has made permanent what was tried, or this boot is no
	// trial.
	Kept Verdict = "kept"
	// Well: nobody of weft waits for this boot, and the machine is up.
	Well Verdict = "well"
	// Expired: nobody confirmed it in time; the machine must be booted anew.
	Expired Verdict = "expired"
)

// Terms are what a watch goes by. They come with its command line, since it
// must work where no file system but the root is mounted.
type Terms struct {
	Confirm time.Duration // how long it waits once the machine is up
	Staged  bool          // whether a machine that is up is enough
}

// bootTime is how long the machine has to come up, from the first start of the
// watch, before the time for a confirmation runs all the same. Slow machines
// check and start for minutes before anybody can come back to them.
const bootTime = 2 * time.Minute

// Watch waits until the trial of this boot is decided. Pause is called between
// two looks, and its error ends the watch. What cannot be read or written does
// not end it: such a boot is not well.
func Watch(ctx context.Context, h host.Host, t Terms, pause func(context.Context) error) (Verdict, error) {
	v := h.View()
	id, err := Running(ctx, v)
	if err != nil {
		return "", fmt.Errorf("read the command line of this boot: %w", err)
	}
	if id == "" {
		return Kept, nil
	}
	boot, err := v.Kernel.Get(ctx, bootID)
	if err != nil {
		return "", err
	}
	now, err := uptime(ctx, v)
	if err != nil {
		return "", fmt.Errorf("read the clock: %w", err)
	}
	n := note{ID: id, Boot: boot, Until: now + (bootTime + t.Confirm).Seconds()}
	seen, marked := false, false
	for {
		s, err := Load(ctx, v)
		ours := err == nil && s.ID == id
		if seen && !ours && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			return Kept, nil
		}
		seen = seen || ours
		if t.Staged && reachable(ctx, v) {
			return Well, write(ctx, h, ended, note{ID: id, Boot: boot, Why: string(Well)})
		}
		if now, err = uptime(ctx, v); err != nil {
			return "", fmt.Errorf("read the clock: %w", err)
		}
		if soon := now + t.Confirm.Seconds(); soon < n.Until && !n.Up && up(ctx, v) {
			n.Until, n.Up, marked = soon, true, false
		}
		if seen && !marked {
			n, marked = mark(ctx, h, n)
		}
		if now >= n.Until {
			_ = write(ctx, h, ended, note{ID: id, Boot: boot, Why: "nobody confirmed it within " + t.Confirm.String()})
			return Expired, nil
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
}

// mark notes that the boot came as far as this, and how long it has. A watch
// that was killed goes on with the time that it had.
func mark(ctx context.Context, h host.Host, n note) (note, bool) {
	if b, there := readNote(ctx, h.View(), booted); there && b.ID == n.ID && b.Boot == n.Boot && (b.Up || !n.Up) {
		return b, true
	}
	return n, write(ctx, h, booted, n) == nil
}

// up says whether the machine has come up as far as weft comes back to.
func up(ctx context.Context, v host.View) bool { return active(ctx, v, "default.target") }

// reachable says whether the machine has come up as far as a person at a
// distance needs it: its default target is reached and sshd is there.
func reachable(ctx context.Context, v host.View) bool {
	return up(ctx, v) &&
		(active(ctx, v, "ssh.service") || active(ctx, v, "sshd.service") || active(ctx, v, "ssh.socket") || active(ctx, v, "sshd.socket"))
}

func active(ctx context.Context, v host.View, unit string) bool {
	u, err := v.Units.Unit(ctx, unit)
	return err == nil && u.ActiveState == "active"
}
