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
	Confirm time.Duration // how long it waits, from its own first start in this boot
	Staged  bool          // whether a machine that is up is enough
}

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
	began, err := uptime(ctx, v)
	if err != nil {
		return "", fmt.Errorf("read the clock: %w", err)
	}
	seen, marked := false, false
	for {
		s, err := Load(ctx, v)
		ours := err == nil && s.ID == id
		if seen && !ours && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			return Kept, nil
		}
		seen = seen || ours
		if seen && !marked {
			began, marked = mark(ctx, h, note{ID: id, Boot: boot, Uptime: began})
		}
		if t.Staged && up(ctx, v) {
			return Well, write(ctx, h, ended, note{ID: id, Boot: boot, Why: string(Well)})
		}
		now, err := uptime(ctx, v)
		if err != nil {
			return "", fmt.Errorf("read the clock: %w", err)
		}
		if now >= began+t.Confirm.Seconds() {
			_ = write(ctx, h, ended, note{ID: id, Boot: boot, Why: "nobody confirmed it within " + t.Confirm.String()})
			return Expired, nil
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
}

// mark notes that the boot came as far as this, and when. A watch that was
// killed goes on with the time that it began at first.
func mark(ctx context.Context, h host.Host, n note) (began float64, ok bool) {
	if b, there := readNote(ctx, h.View(), booted); there && b.ID == n.ID && b.Boot == n.Boot {
		return b.Uptime, true
	}
	return n.Uptime, write(ctx, h, booted, n) == nil
}

// up says whether the machine has come up as far as a person at a distance
// needs it: its default target is reached and sshd is there.
func up(ctx context.Context, v host.View) bool {
	return active(ctx, v, "default.target") &&
		(active(ctx, v, "ssh.service") || active(ctx, v, "sshd.service") || active(ctx, v, "ssh.socket") || active(ctx, v, "sshd.socket"))
}

func active(ctx context.Context, v host.View, unit string) bool {
	u, err := v.Units.Unit(ctx, unit)
	return err == nil && u.ActiveState == "active"
}
