package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// Open follows symlinks, as Read does.
func (f *files) Open(ctx context.Context, path string) (host.OpenFile, error) {
	file, info, err := openRegular(ctx, path)
	if err != nil {
		return host.OpenFile{}, err
	}
	version := fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		version += fmt.Sprintf(" %d %d %d", st.Dev, st.Ino, st.Ctim.Nano())
	}
	return host.OpenFile{SectionReader: io.NewSectionReader(file, 0, info.Size()), Closer: file, Version: version}, nil
}

// Receive asks the file system for all the room at once, where it can promise
// any: a disk that is too full is known before anything was sent.
func (f *files) Receive(ctx context.Context, path string, from io.Reader, size int64, sum string, a host.Attributes) error {
	return f.change(ctx, "receive", path, size, func(at place) error {
		return f.replace(at, a, func(file *os.File) error {
			if err := allocate(file, size); err != nil {
				return err
			}
			got, err := fill(ctx, file, from, size)
			if err == nil && got != sum {
				err = &host.SumError{Want: sum, Got: got}
			}
			return err
		})
	})
}

// allocate takes room for a file; a file system that cannot promise any is asked
// for none.
func allocate(file *os.File, size int64) error {
	for size > 0 {
		switch err := unix.Fallocate(int(file.Fd()), 0, 0, size); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		default:
			return err
		}
	}
	return nil
}

// fill copies so many bytes, and returns their sha256.
func fill(ctx context.Context, to io.Writer, from io.Reader, size int64) (string, error) {
	sum := sha256.New()
	part := make([]byte, host.PartSize)
	for left := size; ; {
		if err := ctx.Err(); err != nil {
			return "", context.Cause(ctx)
		}
		n, err := from.Read(part)
		if left -= int64(n); left < 0 {
			return "", fmt.Errorf("more than the %d bytes came that were announced", size)
		}
		_, _ = sum.Write(part[:n]) // a hash takes everything
		if _, err := to.Write(part[:n]); err != nil {
			return "", err
		}
		switch {
		case errors.Is(err, io.EOF) && left > 0:
			return "", fmt.Errorf("%d of %d bytes came: %w", size-left, size, io.ErrUnexpectedEOF)
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(sum.Sum(nil)), nil
		case err != nil:
			return "", err
		}
	}
}
