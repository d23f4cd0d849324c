package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kernel is the values below /proc and /sys.
type kernel struct{}

// maxValue ends the reading of files that never end.
const maxValue = 16 << 20

func (kernel) Get(ctx context.Context, path string) (string, error) {
	if err := kernelPath(ctx, "read", path); err != nil {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", pathError("read", path, err)
	}
	defer release(file)
	value, err := io.ReadAll(io.LimitReader(file, maxValue))
	if err == nil && len(value) == maxValue {
		err = errors.New("longer than any value")
	}
	return strings.TrimSuffix(string(value), "\n"), pathError("read", path, err)
}

func (kernel) List(ctx context.Context, dir string) ([]string, error) {
	if err := kernelPath(ctx, "list", dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (kernel) Link(ctx context.Context, path string) (string, error) {
	if err := kernelPath(ctx, "readlink", path); err != nil {
		return "", err
	}
	target, err := os.Readlink(path)
	return target, pathError("readlink", path, err)
}

// Set writes in one write(2), as the kernel takes each for a value of its own.
func (kernel) Set(ctx context.Context, path, value string) error {
	if err := kernelPath(ctx, "write", path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return pathError("write", path, err)
	}
	_, err = file.WriteString(value + "\n")
	return pathError("write", path, errors.Join(err, file.Close()))
}

func kernelPath(ctx context.Context, op, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !filepath.IsAbs(path) || !underKernel(path) {
		return &fs.PathError{Op: op, Path: path, Err: fmt.Errorf("not below /proc or /sys: %w", fs.ErrInvalid)}
	}
	return nil
}
