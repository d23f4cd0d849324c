package local

import (
	"context"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// disks are the file systems.
type disks struct{}

func (disks) Space(ctx context.Context, path string) (host.Space, error) {
	if err := ctx.Err(); err != nil {
		return host.Space{}, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return host.Space{}, pathError("statfs", path, err)
	}
	block := uint64(st.Frsize) //nolint:gosec // a size is never negative
	return host.Space{
		Total:    int64(st.Blocks * block), //nolint:gosec // fits: no file system has 2^63 bytes
		Free:     int64(st.Bfree * block),  //nolint:gosec // as above
		ReadOnly: st.Flags&unix.ST_RDONLY != 0,
	}, nil
}
