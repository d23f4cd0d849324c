package host

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// FileType is what a path names.
type FileType string

// The types of a path that weft tells apart.
const (
	Regular   FileType = "file"
	Directory FileType = "directory"
	Symlink   FileType = "symlink"
	Special   FileType = "special" // a device, socket or pipe
)

// FileInfo is what lstat(2) tells of a path.
type FileInfo struct {
	Type   FileType
	Mode   fs.FileMode // permission bits, and setuid, setgid, sticky as fs.ModeSetuid and so on
	Owner  string      // user name, or the decimal id of a user without one
	Group  string      // group name, or the decimal id of a group without one
	Size   int64       // bytes
	Target string      // of a symlink
	// Modified is when the content of a file was written last, as its
	// programs or their hands say (utimensat(2)); zero for what is no file.
	Modified time.Time
}

// Attributes are the owner, group and mode that a file is written with. A nil
// Mode and an empty name keep what an existing file has; a new file gets 0644
// (a directory 0755) and belongs to the runner's user, which is root.
type Attributes struct {
	Mode  *fs.FileMode
	Owner string
	Group string
}

// FileReader reads files outside /proc and /sys. Errors wrap [fs.ErrNotExist]
// where the path is not there, and name the path.
type FileReader interface {
	// Stat does not follow a symlink at the end of path.
	Stat(ctx context.Context, path string) (FileInfo, error)
	// Read returns the whole file.
	Read(ctx context.Context, path string) ([]byte, error)
	// Open opens a file that may be too large to be held in memory. Like Read
	// it follows symlinks and refuses what is no regular file.
	Open(ctx context.Context, path string) (OpenFile, error)
	// List returns the names in a directory, sorted.
	List(ctx context.Context, dir string) ([]string, error)
}

// FileWriter changes files. Each call is one effect, and atomic: a reader, or
// a machine that loses power, sees the old state or the new one.
type FileWriter interface {
	// Write replaces the whole content by a synced temporary file in the same
	// directory and a rename. The directory must exist.
	Write(ctx context.Context, path string, content []byte, a Attributes) error
	// Receive is Write for a content that comes in parts and is not held in
	// memory. It must have exactly so many bytes and this sha256, in lower case
	// hexadecimal digits (else [*SumError]): it is checked before the rename. A
	// process that is killed meanwhile leaves [Temporary], which the next write
	// to the path replaces.
	Receive(ctx context.Context, path string, from io.Reader, size int64, sha256 string, a Attributes) error
	// MakeDirectory makes one directory; its parent must exist.
	MakeDirectory(ctx context.Context, path string, a Attributes) error
	// Link makes or replaces a symlink.
	Link(ctx context.Context, path, target string) error
	// SetAttributes changes owner, group and mode of what is there.
	SetAttributes(ctx context.Context, path string, a Attributes) error
	// Remove removes a file, a link or an empty directory. What is not there
	// is no error.
	Remove(ctx context.Context, path string) error
}

// Files is the door to the file system.
type Files interface {
	FileReader
	FileWriter
}

// KernelReader reads what is below /proc and /sys. Errors wrap
// [fs.ErrNotExist] where the kernel has no such file, directory or link.
type KernelReader interface {
	// Get returns the content of a kernel file without its last newline.
	Get(ctx context.Context, path string) (string, error)
	// List returns the names in a directory, sorted.
	List(ctx context.Context, dir string) ([]string, error)
	// Link returns where a symlink leads, as the kernel spells it: the
	// driver of a device is "../../../bus/pci/drivers/e1000e".
	Link(ctx context.Context, path string) (string, error)
}

// KernelWriter writes values below /proc and /sys in place.
type KernelWriter interface {
	// Set writes value and a newline.
	Set(ctx context.Context, path, value string) error
}

// Kernel is the door to /proc and /sys.
type Kernel interface {
	KernelReader
	KernelWriter
}
