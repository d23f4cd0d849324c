package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic is CLOCK_MONOTONIC in microseconds, the clock of systemd's
// timestamps.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("lease: no monotonic clock: " + err.Error())
	}
	return t.Nano() / 1000
}

// Boottime is CLOCK_BOOTTIME in microseconds: like [Monotonic], but it goes on
// while the machine sleeps (clock_gettime(2)).
func Boottime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("lease: no clock of the boot: " + err.Error())
	}
	return t.Nano() / 1000
}

// BootID is the kernel's random id of this boot (random(4)).
var BootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})

// askToEnd has a runner finish its effect, or what it was sent whole, and end.
func askToEnd(r record) error {
	if r.Start == 0 || startTime(r.Pid) != r.Start {
		return nil
	}
	return signal(r.Pid, syscall.SIGTERM)
}

// endRunner ends the process that holds a lock after its lease expired, and
// returns once the lock is ours.
func endRunner(ctx context.Context, r record, lock *os.File) error {
	if r.Start != 0 && startTime(r.Pid) == r.Start {
		if err := signal(r.Pid, syscall.SIGTERM); err != nil {
			return err
		}
	}
	killed := time.Now().Add(kindness)
	giveUp := killed.Add(kindness)
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		switch now := time.Now(); {
		case now.After(giveUp):
			return errors.New("its process does not end")
		case now.After(killed) && r.Start != 0 && startTime(r.Pid) == r.Start:
			if err := signal(r.Pid, syscall.SIGKILL); err != nil {
				return err
			}
		}
		if err := pause(ctx, poll); err != nil {
			return err
		}
	}
}

// endSession kills what a runner that is gone left running: the programs it
// started are in its session (setsid(2)), of which it was the leader. The
// number of a session is not given to a new process while it has members.
func endSession(r record) error {
	if r.Boot != BootID() || r.Pid == os.Getpid() || r.Pid <= 1 || startTime(r.Pid) != 0 {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, ok := readStat(pid)
		if !ok || s.session != r.Pid {
			continue
		}
		if err := signal(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}

func signal(pid int, s syscall.Signal) error {
	err := syscall.Kill(pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// startTime is when a process started, in clock ticks since boot; zero where
// there is no such process, or only what its parent has not yet buried.
func startTime(pid int) uint64 {
	s, ok := readStat(pid)
	if !ok || s.state == 'Z' {
		return 0
	}
	return s.start
}

type stat struct {
	state   byte
	session int
	start   uint64
}

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(string(b))
}

// parseStat reads proc_pid_stat(5). The second field, the program's name, is
// in parentheses and may hold anything, so fields are counted from the last
// closing one.
func parseStat(text string) (stat, bool) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return stat{}, false
	}
	f := strings.Fields(text[i+1:])
	if len(f) < 20 || len(f[0]) != 1 || strings.Trim(f[0], "RSDZTtXxKWPI") != "" { // the states of proc_pid_stat(5)
		return stat{}, false
	}
	session, err1 := strconv.Atoi(f[3])
	start, err2 := strconv.ParseUint(f[19], 10, 64)
	return stat{state: f[0][0], session: session, start: start}, err1 == nil && err2 == nil
}
