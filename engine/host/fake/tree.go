package fake

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"weft/engine/host"
)

// node is one inode. It is replaced, never changed.
type node struct {
	Type    host.FileType
	Mode    fs.FileMode
	Owner   string
	Group   string
	Target  string
	Content string
	// Modified is when Content was written, where that was said: by a tool that
	// keeps what an archive says of it. Else it is [written].
	Modified time.Time
}

// written is when whatever a machine did not say otherwise of was written.
var written = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// tree is a file system: inodes by their clean absolute path, in which no
// directory is a symlink.
type tree map[string]node

func (t tree) clone() tree { return maps.Clone(t) }

// maxLinks is how many symlinks the kernel follows (path_resolution(7)).
const maxLinks = 40

// locate walks name as path_resolution(7) says. It returns where the last
// component lies; ok says whether something is there.
func (t tree) locate(name string, last linkRule) (real string, ok bool, err error) {
	if !path.IsAbs(name) {
		return "", false, syscall.EINVAL
	}
	rest := strings.Split(strings.Trim(name, "/"), "/")
	at, links := "/", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		next := path.Join(at, part)
		n, there := t[next]
		switch {
		case !there && len(rest) == 0:
			return next, false, nil
		case !there:
			return "", false, syscall.ENOENT
		case n.Type == host.Symlink && (len(rest) > 0 || last == follow):
			if links++; links > maxLinks {
				return "", false, syscall.ELOOP
			}
			if path.IsAbs(n.Target) {
				at = "/"
			}
			rest = append(strings.Split(strings.Trim(n.Target, "/"), "/"), rest...)
		case n.Type != host.Directory && len(rest) > 0:
			return "", false, syscall.ENOTDIR
		default:
			at = next
		}
	}
	return at, true, nil
}

// linkRule says what becomes of a symlink at the end of a path.
type linkRule int

const (
	stay linkRule = iota
	follow
)

// find is locate for what must be there.
func (t tree) find(name string, last linkRule) (string, node, error) {
	real, ok, err := t.locate(name, last)
	if err == nil && !ok {
		err = syscall.ENOENT
	}
	return real, t[real], err
}

// children are the paths right below dir, sorted.
func (t tree) children(dir string) []string {
	var names []string
	for p := range t {
		if p != "/" && path.Dir(p) == dir {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names
}

// removeAll removes what lies at a path and all below.
func (t tree) removeAll(real string) {
	below := strings.TrimSuffix(real, "/") + "/"
	for p := range t {
		if p == real || strings.HasPrefix(p, below) {
			delete(t, p)
		}
	}
}
