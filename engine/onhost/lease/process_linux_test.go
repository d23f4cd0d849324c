package lease

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The test binary plays the other runner: it takes the lease and hangs, with a
// child of its own, as one does whose controller is gone.
func TestMain(m *testing.M) {
	if dir := os.Getenv("WEFT_TEST_HANG"); dir != "" {
		hang(dir)
	}
	os.Exit(m.Run())
}

func hang(dir string) {
	h, _, err := Take(context.Background(), dir, Terms{Run: "r1", Owner: "gone", Time: 50 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	child := exec.Command("sleep", "1000")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as the Commands door does
	if err := child.Start(); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "child"), []byte{byte(child.Process.Pid >> 16), byte(child.Process.Pid >> 8), byte(child.Process.Pid)}, 0o600); err != nil {
		panic(err)
	}
	if os.Getenv("WEFT_TEST_DIE") != "" {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	time.Sleep(time.Hour)
	_ = h
}

func startHanging(t *testing.T, dir string, env ...string) (runner *exec.Cmd, child int) {
	t.Helper()
	runner = exec.Command(os.Args[0])
	runner.Env = append(os.Environ(), append(env, "WEFT_TEST_HANG="+dir)...)
	runner.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as cmd/weft-runner does
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(dir, "child"))
		if err == nil && len(b) == 3 {
			child = int(b[0])<<16 | int(b[1])<<8 | int(b[2])
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other runner does not start")
		}
	}
	t.Cleanup(func() {
		_ = syscall.Kill(runner.Process.Pid, syscall.SIGKILL)
		_ = syscall.Kill(child, syscall.SIGKILL)
	})
	return runner, child
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); startTime(pid) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still lives", pid)
		}
	}
}

func TestTakeOverEndsTheOldRunnersProcesses(t *testing.T) {
	dir := t.TempDir()
	runner, child := startHanging(t, dir)
	go func() { _ = runner.Wait() }()
	h, over := take(t, dir, Terms{Run: "r2", Wait: 10 * time.Second})
	defer h.Release()
	if over == nil || over.Run != "r1" || over.Pid != runner.Process.Pid {
		t.Errorf("took over %+v", over)
	}
	gone(t, runner.Process.Pid)
	gone(t, child)
}

func TestWhatAKilledRunnerLeftRunningIsEnded(t *testing.T) {
	dir := t.TempDir()
	runner, child := startHanging(t, dir, "WEFT_TEST_DIE=1")
	_ = runner.Wait()
	if startTime(child) == 0 {
		t.Fatal("the child died by itself")
	}
	h, over := take(t, dir, Terms{Run: "r2"})
	defer h.Release()
	if over == nil || over.Run != "r1" {
		t.Errorf("took over %+v", over)
	}
	gone(t, child)
}

// A process id that was given to another is not ours to end.
func TestAnotherProcessOfThatNumberIsLeftAlone(t *testing.T) {
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	r := record{Boot: BootID(), Start: 1}
	r.Pid = other.Process.Pid
	if err := endSession(r); err != nil {
		t.Fatal(err)
	}
	if startTime(other.Process.Pid) == 0 {
		t.Error("it was ended")
	}
}

func FuzzStat(f *testing.F) {
	f.Add("42 (a) b) (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0")
	f.Add("1 (x)")
	f.Add(") ")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := parseStat(text); ok && s.state == 0 {
			t.Fatalf("%q has no state", text)
		}
	})
}

func TestStat(t *testing.T) {
	s, ok := parseStat("42 (a) b) (c) S 1 40 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0")
	if !ok || s != (stat{state: 'S', session: 41, start: 12345}) {
		t.Errorf("%+v %v", s, ok)
	}
	if startTime(os.Getpid()) == 0 {
		t.Error("this process never started")
	}
}
