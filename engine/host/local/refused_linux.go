package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// explain says of an error what its number does not: how full which file system
// is, which mount is read-only, whether chattr(1) forbids it. Size is how many
// bytes were to be written.
func explain(path string, size int64, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) != nil {
			return err
		}
		if st.Files > 0 && st.Ffree == 0 {
			return fmt.Errorf("%w: %s has no inode left (df -i)", err, mountOf(dir))
		}
		return fmt.Errorf("%w: %d bytes are wanted, and %s has %d left (df)", err, size, mountOf(dir), st.Bavail*uint64(st.Bsize))
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: %s is mounted read-only (findmnt -T %s)", err, mountOf(dir), dir)
	case errors.Is(err, unix.EPERM):
		for _, p := range []string{path, dir} {
			if flag := forbids(p); flag != "" {
				return fmt.Errorf("%w: %s is %s", err, p, flag)
			}
		}
	}
	return err
}

// forbids is the flag of chattr(1) that keeps even root from changing a path.
func forbids(path string) string {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st) != nil {
		return ""
	}
	switch {
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return "immutable (lsattr, chattr -i)"
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return "append-only (lsattr, chattr -a)"
	}
	return ""
}

// mountOf is the mount point that a path lies below.
func mountOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "the file system of " + path
	}
	return deepest(string(table), path)
}

// deepest is the last and longest mount point of a mountinfo table, see
// proc_pid_mountinfo(5), that path is or lies below.
func deepest(table, path string) string {
	at := "/"
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if len(point) >= len(at) && strings.HasPrefix(path+"/", strings.TrimSuffix(point, "/")+"/") {
			at = point
		}
	}
	return at
}

// unescape reads the octal escapes of spaces and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
