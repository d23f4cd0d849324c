package testlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// diskName is the file that is the disk of a host whose disk has a size.
const diskName = "disk"

// disk returns the directory that the host's own files lie in: its state's, or the root of a file system of its own.
func (s supervisor) disk() (string, error) {
	if s.machine.Disk == 0 {
		return s.dir, nil
	}
	file, at := filepath.Join(s.dir, diskName), filepath.Join(s.dir, diskName+".mounted")
	if err := makeDisk(file, s.machine.Disk); err != nil {
		return "", fmt.Errorf("make a disk of %d bytes: %w", s.machine.Disk, err)
	}
	// The kernel may not have let go of the last boot's mount yet, and a file that is two devices at once is lost.
	for deadline := time.Now().Add(downTime); attached(file); {
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%s is still in use after %s", file, downTime)
		}
		<-time.After(pollInterval / 4)
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return "", err
	}
	if _, err := output(exec.Command("mount", "-t", "ext4", "-o", "loop", file, at)); err != nil {
		return "", err
	}
	// Those of boots that are over make room for this one's, also where there is no other.
	old, _ := filepath.Glob(filepath.Join(at, "work.*"))
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	return at, nil
}

// makeDisk makes a file with an empty file system, once. A size of some bytes takes as many only as are written to.
func makeDisk(file string, size int64) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.Create(file + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	// All of it is for everybody, as on the overlay without it; and after a crash of the machine nobody wants it.
	if _, err := output(exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", f.Name())); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// attached says whether a loop device stands on the file.
func attached(file string) bool {
	devices, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, d := range devices {
		name, err := os.ReadFile(d)
		if err == nil && strings.TrimSpace(string(name)) == file {
			return true
		}
	}
	return false
}
