package testlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// memoryName is the file of a snapshot that holds what was in the machine's memory and devices.
const memoryName = "memory"

// makeSnapshot returns the directory of a snapshot of the shape, made if the cache lacks it: a machine that is booted and
// nobody yet.
func (c cache) makeSnapshot(ctx context.Context, s shape) (string, error) {
	return c.make(snapshotsDir, s.key(), func(dir string) error {
		c.log("booting a virtual machine with %d MiB once, for a snapshot (about a minute)", s.memory())
		if err := snapshot(ctx, s, filepath.Join(dir, "root")); err != nil {
			return fmt.Errorf("make a snapshot of a virtual machine: %w", err)
		}
		return nil
	})
}

func snapshot(ctx context.Context, s shape, dir string) error {
	empty := filepath.Join(dir, "repository")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return err
	}
	if err := makeOverlay(ctx, filepath.Join(dir, overlayName), filepath.Join(s.Image, rawDiskName), "raw"); err != nil {
		return err
	}
	if err := s.makeVariables(dir, uefiVariables); err != nil {
		return err
	}
	// The kernel ends qemu with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	memory, err := os.Create(filepath.Join(dir, memoryName))
	if err != nil {
		return err
	}
	defer func() { _ = memory.Close() }()
	start := qemuStart{shape: s, files: vmFiles{Disk: overlayName, Variables: variablesName, Repository: empty}, dir: dir, process: contained()}
	q, err := start.start()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = q.cmd.Process.Kill() })
	defer stop()
	if err := q.keep(memory); err != nil {
		return errors.Join(fmt.Errorf("%w; its console ends with:\n%s", err, consoleEnd(q.console)), context.Cause(ctx), q.end())
	}
	return q.end()
}

// keep writes a machine that is ready to its snapshot, and leaves it stopped.
func (q *qemu) keep(memory *os.File) error {
	if err := q.expect("ready", vmBootTime); err != nil {
		return err
	}
	if err := q.control.giveFile("memory", memory); err != nil {
		return err
	}
	for _, command := range []struct {
		name      string
		arguments any
	}{
		{"stop", nil},
		{"migrate-set-parameters", map[string]any{"max-bandwidth": 1 << 40}},
		{"migrate", map[string]any{"uri": "fd:memory"}},
	} {
		if _, err := q.control.do(command.name, command.arguments); err != nil {
			return err
		}
	}
	deadline := time.After(vmBootTime)
	for {
		text, err := q.control.do("query-migrate", nil)
		if err != nil {
			return err
		}
		var state struct {
			Status string
			Desc   string `json:"error-desc"`
		}
		if err := json.Unmarshal(text, &state); err != nil {
			return err
		}
		switch state.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("qemu cannot write the machine: %s", state.Desc)
		}
		select {
		case <-deadline:
			return fmt.Errorf("qemu has not written the machine after %s", vmBootTime)
		case <-time.After(pollInterval):
		}
	}
}

// qemuVersion is what qemu calls itself: a snapshot is good for that one alone.
func qemuVersion(ctx context.Context) (string, error) {
	text, err := output(exec.CommandContext(ctx, qemuProgram, "--version"))
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first, nil
}
