package host

import "context"

// Space is how much room a file system has, from statfs(2).
type Space struct {
	Total    int64 // bytes
	Free     int64 // bytes that root can still write
	ReadOnly bool
}

// Disks asks file systems for their room. It has no writing half.
type Disks interface {
	// Space is that of the file system that holds path. The error wraps
	// [fs.ErrNotExist] where there is no such path.
	Space(ctx context.Context, path string) (Space, error)
}
