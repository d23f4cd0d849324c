package local

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"weft/engine/host"
)

// attributes are host.Attributes in the kernel's terms.
type attributes struct {
	mode     fs.FileMode
	uid, gid int // -1 stays
}

func (f *files) attributes(a host.Attributes, mode fs.FileMode) (attributes, error) {
	uid, gid, err := f.accounts.ids(a.Owner, a.Group)
	if a.Mode != nil {
		mode = *a.Mode
	}
	return attributes{mode: mode, uid: uid, gid: gid}, err
}

// keep takes over what an existing file has and a does not ask to change.
func (s *attributes) keep(a host.Attributes, old unix.Stat_t) {
	if a.Mode == nil {
		s.mode = fileMode(old.Mode)
	}
	if s.uid < 0 {
		s.uid = int(old.Uid)
	}
	if s.gid < 0 {
		s.gid = int(old.Gid)
	}
}

// apply sets the owner first: chown(2) takes setuid and setgid away. It works
// on what is open, not on a name: whoever owns the directory could put a
// symlink there meanwhile, and chmod(2) follows it.
func (s attributes) apply(file *os.File) error {
	if err := file.Chown(s.uid, s.gid); err != nil {
		return err
	}
	return file.Chmod(s.mode)
}

// applyAt is apply for a path that is there, of any type but a symlink. Nothing
// is opened to be read: that moves some devices.
func (s attributes) applyAt(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if fileType(st.Mode) == host.Symlink {
		return unix.ELOOP
	}
	if err := unix.Fchownat(fd, "", s.uid, s.gid, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return os.Chmod(fmt.Sprint("/proc/self/fd/", fd), s.mode) // fchmod(2) takes no such descriptor
}

func lstat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	for {
		if err := unix.Lstat(path, &st); err != unix.EINTR {
			if err == unix.ENOTDIR {
				err = unix.ENOENT
			}
			return st, err
		}
	}
}

func fileType(mode uint32) host.FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return host.Regular
	case unix.S_IFDIR:
		return host.Directory
	case unix.S_IFLNK:
		return host.Symlink
	}
	return host.Special
}

// fileMode is the mode in package fs's terms.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	if mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}
