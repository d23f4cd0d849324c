package local

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// accounts knows the names of users and groups from /etc/passwd and
// /etc/group. Accounts of other sources (LDAP) have no name here. The files
// are read again when they have changed.
type accounts struct {
	users  accountFile
	groups accountFile
}

func (a *accounts) user(id uint32) string  { return a.users.name("/etc/passwd", id) }
func (a *accounts) group(id uint32) string { return a.groups.name("/etc/group", id) }

// ids turns owner and group names into ids; -1 for an empty name, which
// chown(2) leaves alone.
func (a *accounts) ids(owner, group string) (uid, gid int, err error) {
	if uid, err = a.users.id("/etc/passwd", owner); err != nil {
		return 0, 0, fmt.Errorf("no user %q in /etc/passwd; the package or step that makes it must come first", owner)
	}
	if gid, err = a.groups.id("/etc/group", group); err != nil {
		return 0, 0, fmt.Errorf("no group %q in /etc/group; the package or step that makes it must come first", group)
	}
	return uid, gid, nil
}

// accountFile is one of the two files as it was read last.
type accountFile struct {
	mu     sync.Mutex
	read   stamp
	names  map[uint32]string
	byName map[string]uint32
}

// stamp tells whether a file was replaced or edited.
type stamp struct {
	inode uint64
	size  int64
	time  time.Time
}

func (f *accountFile) name(path string, id uint32) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh(path)
	if name, ok := f.names[id]; ok {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (f *accountFile) id(path, name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh(path)
	if id, ok := f.byName[name]; ok {
		return int(id), nil
	}
	id, err := strconv.ParseUint(name, 10, 32)
	return int(id), err
}

func (f *accountFile) refresh(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	now := stamp{inode: info.Sys().(*syscall.Stat_t).Ino, size: info.Size(), time: info.ModTime()}
	if now == f.read {
		return
	}
	if text, err := os.ReadFile(path); err == nil {
		f.names, f.byName = parseAccounts(text)
		f.read = now
	}
}

// parseAccounts reads the lines of passwd(5) and group(5), which both begin
// with NAME:PASSWORD:ID. The first line of an id or a name counts.
func parseAccounts(text []byte) (names map[uint32]string, byName map[string]uint32) {
	names, byName = map[uint32]string{}, map[string]uint32{}
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(bytes.TrimSpace(line), []byte(":"), 4)
		if len(fields) < 4 || len(fields[0]) == 0 {
			continue
		}
		id, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if err != nil {
			continue
		}
		name := string(fields[0])
		if _, known := names[uint32(id)]; !known {
			names[uint32(id)] = name
		}
		if _, known := byName[name]; !known {
			byName[name] = uint32(id)
		}
	}
	return names, byName
}
