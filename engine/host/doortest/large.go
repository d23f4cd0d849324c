package doortest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"weft/engine/host"
)

// fileLarge checks what is read and written in parts.
func fileLarge(t *testing.T, f host.Files, dir string) {
	ctx, path := t.Context(), dir+"/a"
	content := bytes.Repeat([]byte("weft"), host.PartSize)
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	size := int64(len(content))
	want := host.FileInfo{Type: host.Regular, Mode: 0o640, Owner: "nobody", Group: "daemon", Size: size}
	must(t, f.Receive(ctx, path, iotest.HalfReader(bytes.NewReader(content)), size, sum, host.Attributes{Mode: ptr(want.Mode), Owner: "nobody", Group: "daemon"}))
	equal(t, "info", stat(t, f, path), want)
	opened, err := f.Open(ctx, path)
	must(t, err)
	got, err := io.ReadAll(opened)
	must(t, err)
	must(t, opened.Close())
	if !bytes.Equal(got, content) || opened.Size() != size {
		t.Errorf("%d bytes of %d were read", len(got), opened.Size())
	}
	summed, err := host.Sum(ctx, host.View{Files: f}, path)
	must(t, err)
	equal(t, "sum", summed, sum)
	again, err := f.Open(ctx, path)
	must(t, err)
	must(t, again.Close())
	equal(t, "the version of the same file", again.Version, opened.Version)

	for name, c := range map[string]struct {
		from io.Reader
		size int64
		sum  string
		want error
	}{
		"too short":    {strings.NewReader("short"), 6, sum, io.ErrUnexpectedEOF},
		"too long":     {strings.NewReader("longer"), 5, sum, nil},
		"another":      {strings.NewReader("another"), 7, sum, nil},
		"breaks":       {iotest.ErrReader(errBreaks), 5, sum, errBreaks},
		"breaks later": {io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errBreaks)), 5, sum, errBreaks},
		"endless room": {strings.NewReader("x"), 1 << 60, sum, nil},
	} {
		wantError(t, name, f.Receive(ctx, path, c.from, c.size, c.sum, host.Attributes{}), c.want)
	}
	equal(t, "after refusals", stat(t, f, path), want)
	names, err := f.List(ctx, dir)
	must(t, err)
	if !slices.Equal(names, []string{"a"}) {
		t.Errorf("the directory holds %v", names)
	}
	var other *host.SumError
	if err := f.Receive(ctx, path, strings.NewReader("x"), 1, sum, host.Attributes{}); !errors.As(err, &other) || !strings.Contains(err.Error(), path) {
		t.Errorf("a wrong sum: %v", err)
	}
	none := fmt.Sprintf("%x", sha256.Sum256(nil))
	must(t, f.Receive(ctx, path, strings.NewReader(""), 0, none, host.Attributes{}))
	want.Size = 0
	equal(t, "nothing at all", stat(t, f, path), want)
	replaced, err := f.Open(ctx, path)
	must(t, err)
	must(t, replaced.Close())
	if replaced.Version == opened.Version {
		t.Error("a file that was replaced has the same version")
	}

	must(t, f.Link(ctx, dir+"/l", "a"))
	linked, err := f.Open(ctx, dir+"/l")
	must(t, err)
	must(t, linked.Close())
	equal(t, "by way of a link", linked.Version, replaced.Version)
	wantError(t, "to a directory", f.Receive(ctx, dir, strings.NewReader(""), 0, none, host.Attributes{}), syscall.EISDIR)
	wantError(t, "below nothing", f.Receive(ctx, dir+"/no/a", strings.NewReader(""), 0, none, host.Attributes{}), fs.ErrNotExist)
	wantError(t, "to the kernel", f.Receive(ctx, "/proc/a", strings.NewReader(""), 0, none, host.Attributes{}), fs.ErrInvalid)
	_, err = f.Open(ctx, dir)
	wantError(t, "a directory opened", err, syscall.EISDIR)
	_, err = f.Open(ctx, dir+"/no")
	wantError(t, "what is not there opened", err, fs.ErrNotExist)
}

var errBreaks = errors.New("it broke")
