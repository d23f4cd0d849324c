//go:build !linux

package lease

import (
	"context"
	"errors"
	"os"
	"time"
)

var origin = time.Now()

// Monotonic is a monotonic clock in microseconds.
func Monotonic() int64 { return time.Since(origin).Microseconds() + 1 }

// Boottime is the same clock.
func Boottime() int64 { return Monotonic() }

// BootID is empty: the boot has no id here.
func BootID() string { return "" }

func startTime(int) uint64 { return 0 }

func askToEnd(record) error { return nil }

func endSession(record) error { return nil }

func endRunner(context.Context, record, *os.File) error {
	return errors.New("a runner is ended on Linux only")
}
