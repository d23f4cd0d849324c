package doortest

import (
	"bytes"
	"context"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/engine/host"
)

// Files checks the door to the file system, in a directory below /tmp.
func Files(t *testing.T, f host.Files) {
	parts := map[string]func(t *testing.T, f host.Files, dir string){
		"Write": fileWrite, "Attributes": fileAttributes, "Directory": fileDirectory, "Link": fileLink,
		"Remove": fileRemove, "Missing": fileMissing, "Refused": fileRefused, "Parallel": fileParallel,
		"Large": fileLarge,
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) { part(t, f, newDirectory(t, f)) })
	}
}

// newDirectory makes a directory that goes away with the test.
func newDirectory(t *testing.T, f host.Files) string {
	dir := "/tmp/weft-test-files"
	removeAll(t, f, dir)
	must(t, f.MakeDirectory(t.Context(), dir, host.Attributes{}))
	t.Cleanup(func() { removeAll(t, f, dir) })
	return dir
}

func removeAll(t *testing.T, f host.Files, path string) {
	ctx := after(t)
	if info, err := f.Stat(ctx, path); err == nil && info.Type == host.Directory {
		names, err := f.List(ctx, path)
		must(t, err)
		for _, name := range names {
			removeAll(t, f, path+"/"+name)
		}
	}
	must(t, f.Remove(ctx, path))
}

// stat leaves the time out: it is another on each machine, but there for a file.
func stat(t *testing.T, f host.Files, path string) host.FileInfo {
	t.Helper()
	info, err := f.Stat(t.Context(), path)
	must(t, err)
	if info.Modified.IsZero() != (info.Type != host.Regular) {
		t.Errorf("%s, a %s, was modified at %s", path, info.Type, info.Modified)
	}
	info.Modified = time.Time{}
	return info
}

func content(t *testing.T, f host.Files, path string) string {
	t.Helper()
	b, err := f.Read(t.Context(), path)
	must(t, err)
	return string(b)
}

func fileWrite(t *testing.T, f host.Files, dir string) {
	path := dir + "/a"
	for _, text := range []string{"one\n", "", "two\x00\xff", strings.Repeat("long", 100_000)} {
		must(t, f.Write(t.Context(), path, []byte(text), host.Attributes{}))
		equal(t, "content", content(t, f, path), text)
		equal(t, "info", stat(t, f, path), host.FileInfo{Type: host.Regular, Mode: 0o644, Owner: "root", Group: "root", Size: int64(len(text))})
	}
	names, err := f.List(t.Context(), dir)
	must(t, err)
	if !slices.Equal(names, []string{"a"}) {
		t.Errorf("the directory holds %v", names)
	}
	must(t, f.Write(t.Context(), dir+"/"+strings.Repeat("n", 255), []byte("x"), host.Attributes{}))
}

func fileAttributes(t *testing.T, f host.Files, dir string) {
	path := dir + "/a"
	want := host.FileInfo{Type: host.Regular, Mode: 0o640 | fs.ModeSetuid | fs.ModeSetgid, Owner: "nobody", Group: "daemon", Size: 3}
	must(t, f.Write(t.Context(), path, []byte("one"), host.Attributes{Mode: ptr(want.Mode), Owner: "nobody", Group: "daemon"}))
	equal(t, "a new file", stat(t, f, path), want)
	must(t, f.Write(t.Context(), path, []byte("two"), host.Attributes{}))
	equal(t, "written again", stat(t, f, path), want)
	must(t, f.SetAttributes(t.Context(), path, host.Attributes{Group: "root"}))
	want.Group = "root"
	equal(t, "another group", stat(t, f, path), want)
	must(t, f.SetAttributes(t.Context(), path, host.Attributes{Mode: ptr(fs.FileMode(0o600)), Owner: "4242424"}))
	want.Mode, want.Owner = 0o600, "4242424"
	equal(t, "another mode, and an owner without a name", stat(t, f, path), want)
	for _, a := range []host.Attributes{{Owner: "weft-no-such-user"}, {Group: "weft-no-such-group"}} {
		wantError(t, "unknown account", f.SetAttributes(t.Context(), path, a), nil)
		wantError(t, "unknown account", f.Write(t.Context(), path, []byte("x"), a), nil)
	}
	equal(t, "after refusals", content(t, f, path), "two")
	wantError(t, "attributes of nothing", f.SetAttributes(t.Context(), dir+"/no", host.Attributes{}), fs.ErrNotExist)
}

func fileDirectory(t *testing.T, f host.Files, dir string) {
	path := dir + "/d"
	must(t, f.MakeDirectory(t.Context(), path, host.Attributes{Mode: ptr(0o770 | fs.ModeSticky), Group: "daemon"}))
	info := stat(t, f, path)
	info.Size = 0
	equal(t, "info", info, host.FileInfo{Type: host.Directory, Mode: 0o770 | fs.ModeSticky, Owner: "root", Group: "daemon"})
	wantError(t, "made twice", f.MakeDirectory(t.Context(), path, host.Attributes{}), fs.ErrExist)
	wantError(t, "written as a file", f.Write(t.Context(), path, nil, host.Attributes{}), syscall.EISDIR)
	wantError(t, "replaced by a link", f.Link(t.Context(), path, "x"), fs.ErrExist)
	_, err := f.Read(t.Context(), path)
	wantError(t, "read as a file", err, syscall.EISDIR)
	must(t, f.Write(t.Context(), path+"/b", nil, host.Attributes{}))
	must(t, f.Write(t.Context(), path+"/a", nil, host.Attributes{}))
	names, err := f.List(t.Context(), path)
	must(t, err)
	equal(t, "names", strings.Join(names, " "), "a b")
	wantError(t, "removed with files in it", f.Remove(t.Context(), path), nil)
	_, err = f.List(t.Context(), path+"/a")
	wantError(t, "a file listed", err, syscall.ENOTDIR)
}

func fileLink(t *testing.T, f host.Files, dir string) {
	path, target := dir+"/l", dir+"/t"
	must(t, f.Write(t.Context(), target, []byte("target"), host.Attributes{}))
	must(t, f.Link(t.Context(), path, "nowhere"))
	must(t, f.Link(t.Context(), path, "t"))
	info := stat(t, f, path)
	equal(t, "type and target", string(info.Type)+" "+info.Target, "symlink t")
	equal(t, "read through", content(t, f, path), "target")
	wantError(t, "the mode of a link", f.SetAttributes(t.Context(), path, host.Attributes{Mode: ptr(fs.FileMode(0o600))}), nil)
	must(t, f.SetAttributes(t.Context(), path, host.Attributes{Owner: "nobody"}))
	equal(t, "owner of the link", stat(t, f, path).Owner, "nobody")
	equal(t, "owner of the target", stat(t, f, target).Owner, "root")

	must(t, f.Write(t.Context(), path, []byte("instead"), host.Attributes{}))
	equal(t, "a link that was written", stat(t, f, path), host.FileInfo{Type: host.Regular, Mode: 0o644, Owner: "root", Group: "root", Size: 7})
	equal(t, "its target", content(t, f, target), "target")
	must(t, f.Link(t.Context(), path, target))
	equal(t, "a file replaced by a link", content(t, f, path), "target")
	must(t, f.Remove(t.Context(), path))
	equal(t, "the target of a removed link", content(t, f, target), "target")

	must(t, f.MakeDirectory(t.Context(), dir+"/d", host.Attributes{}))
	must(t, f.Link(t.Context(), dir+"/way", "d"))
	must(t, f.Write(t.Context(), dir+"/way/a", []byte("on the way"), host.Attributes{}))
	equal(t, "written by way of a link", content(t, f, dir+"/d/a"), "on the way")
	must(t, f.Link(t.Context(), dir+"/loop", "loop"))
	_, err := f.Read(t.Context(), dir+"/loop")
	wantError(t, "a loop", err, syscall.ELOOP)
}

func fileRemove(t *testing.T, f host.Files, dir string) {
	must(t, f.Write(t.Context(), dir+"/a", nil, host.Attributes{}))
	must(t, f.MakeDirectory(t.Context(), dir+"/d", host.Attributes{}))
	must(t, f.Link(t.Context(), dir+"/l", "nowhere"))
	for _, name := range []string{"/a", "/d", "/l"} {
		must(t, f.Remove(t.Context(), dir+name))
		must(t, f.Remove(t.Context(), dir+name))
		_, err := f.Stat(t.Context(), dir+name)
		wantError(t, "stat of "+name, err, fs.ErrNotExist)
	}
	must(t, f.Remove(t.Context(), dir+"/no/way"))
}

func fileMissing(t *testing.T, f host.Files, dir string) {
	must(t, f.Write(t.Context(), dir+"/file", nil, host.Attributes{}))
	for _, path := range []string{dir + "/no", dir + "/no/way", dir + "/file/below"} {
		_, statErr := f.Stat(t.Context(), path)
		_, readErr := f.Read(t.Context(), path)
		for _, err := range []error{statErr, readErr} {
			wantError(t, path, err, fs.ErrNotExist)
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name %s", err, path)
			}
		}
	}
	_, err := f.List(t.Context(), dir+"/no")
	wantError(t, "list", err, fs.ErrNotExist)
	wantError(t, "write below nothing", f.Write(t.Context(), dir+"/no/a", nil, host.Attributes{}), fs.ErrNotExist)
	wantError(t, "mkdir below nothing", f.MakeDirectory(t.Context(), dir+"/no/a", host.Attributes{}), fs.ErrNotExist)
	wantError(t, "link below nothing", f.Link(t.Context(), dir+"/no/a", "x"), fs.ErrNotExist)
}

func fileRefused(t *testing.T, f host.Files, _ string) {
	for _, path := range []string{"", "relative", "/proc/version", "/sys/kernel", "/tmp/../proc/version"} {
		_, err := f.Read(t.Context(), path)
		wantError(t, "read "+path, err, fs.ErrInvalid)
		_, err = f.Stat(t.Context(), path)
		wantError(t, "stat "+path, err, fs.ErrInvalid)
		wantError(t, "write "+path, f.Write(t.Context(), path, nil, host.Attributes{}), fs.ErrInvalid)
	}
}

// fileParallel checks that a reader sees one whole content or another.
func fileParallel(t *testing.T, f host.Files, dir string) {
	path := dir + "/a"
	contents := [][]byte{bytes.Repeat([]byte("a"), 50_000), bytes.Repeat([]byte("b"), 70_000)}
	must(t, f.Write(t.Context(), path, contents[0], host.Attributes{}))
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	readers.Go(func() {
		for ctx.Err() == nil {
			got, err := f.Read(t.Context(), path)
			if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
				t.Errorf("a reader saw %d bytes, %v", len(got), err)
				return
			}
		}
	})
	for _, c := range contents {
		writers.Go(func() {
			for range 10 {
				if err := f.Write(t.Context(), path, c, host.Attributes{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
}
