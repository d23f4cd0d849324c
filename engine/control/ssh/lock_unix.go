//go:build unix

package ssh

import (
	"os"
	"syscall"
)

// lock waits for the advisory lock of a file; closing the file gives it back.
func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			return err
		}
	}
}
