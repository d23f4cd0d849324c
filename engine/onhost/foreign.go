package onhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"weft/engine/onhost/journal"
	"weft/engine/wire"
)

// args is the order as another build's runner takes it: frozen.
func (o Order) args() []string {
	args := []string{"undo"}
	if o.Play != "" {
		args = append(args, "-play", o.Play)
	}
	if o.Half {
		args = append(args, "-half")
	}
	return append(args, "--", o.Run)
}

// foreign has another build's runner take back what it did, and gives its
// events to hear. That runner finds that its parent holds the lease.
func (s *session) foreign(ctx context.Context, j *journal.Journal, o Order, hear func(wire.Event)) error {
	path := filepath.Join(s.State, "bin", j.Runner, "weft-runner")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("run %s was made by another build of weft, whose runner is not on this host any more: %w", o.Run, err)
	}
	if err := s.out.flush(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, o.args()...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "WEFT_STATE=" + s.State, "WEFT_RUNTIME=" + s.Runtime}
	cmd.Dir = "/"
	cmd.Stderr = s.Log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it finishes its effect
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the runner of run %s: %w", o.Run, err)
	}
	refused, spoken := passOn(bufio.NewScanner(stdout), hear)
	err = cmd.Wait()
	s.Host.Memo.Forget()
	switch {
	case refused != "":
		return errors.New(refused)
	case err != nil:
		return fmt.Errorf("the runner of run %s: %w", o.Run, err)
	case !spoken:
		return fmt.Errorf("the runner of run %s ended without a word", o.Run)
	}
	return nil
}

// passOn hands on the events of another runner, one of JSON a line. It returns
// what that runner refused, and whether it came to its end.
func passOn(lines *bufio.Scanner, hear func(wire.Event)) (refused string, spoken bool) {
	lines.Buffer(nil, wire.MaxFrame)
	for lines.Scan() {
		var e wire.Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // of a later build, about what this one cannot know
		}
		e.ID = 0
		switch {
		case e.Done != nil:
			refused, spoken = e.Done.Error, true
		case e.Unit != nil || e.Need != nil || e.Reboot != nil:
			hear(e)
		}
	}
	return refused, spoken
}

// rollbackForeign rolls a run of another build back, and reads its journal
// again.
func (s *session) rollbackForeign(ctx context.Context, j *journal.Journal, play string) error {
	if err := j.Close(); err != nil {
		return err
	}
	err := s.foreign(ctx, j, Order{Run: j.Header.Run, Play: play}, func(e wire.Event) {
		if e.Reboot == nil {
			s.out.now(e)
			return
		}
		s.bootsOthers = append(s.bootsOthers, e.Reboot.Steps...) // it is this session's to order
	})
	again, loaded := s.store.Load(j.Header.Run)
	if loaded != nil {
		return errors.Join(err, loaded)
	}
	*j = *again
	return err
}
