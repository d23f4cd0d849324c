// Package private keeps the places that decide what a runner does to its own
// user, which is root: the state directory, whose records say what is undone
// by which program, and the directory of the lease, which names processes to
// end. Somebody else who could write there would be root.
package private

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Make makes a directory and what is missing above it, mode 0700. One that is
// there must belong to this user and be writable for nobody else; it is left as
// it is.
func Make(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir) // an operator may have moved it to another disk with a link
	if err != nil {
		return err
	}
	const hint = "find out who made it so; where its content can be trusted, chown -R root:root and chmod -R go-w it"
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("%s belongs to user %d, not to root: %s: %w", dir, st.Uid, hint, fs.ErrPermission)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others than root (mode %04o): %s: %w", dir, info.Mode().Perm(), hint, fs.ErrPermission)
	}
	return nil
}

// Open opens a regular file. It follows no link, and does not wait for the
// other end of a pipe. Flags and mode are those of [os.OpenFile].
func Open(path string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, mode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file (%s): remove it", path, info.Mode().Type())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads a regular file of no more than 1 MiB.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	const limit = 1 << 20
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return b, err
}
