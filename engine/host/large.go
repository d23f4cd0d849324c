package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
)

// PartSize is how much of a large file is held at a time, in bytes.
const PartSize = 256 << 10

// An OpenFile is a file that is read in parts. Close it.
type OpenFile struct {
	*io.SectionReader // of the bytes that it had when it was opened
	io.Closer
	// Version differs between two openings where the file was replaced or
	// written in between.
	Version string
}

// Elsewhere brings the file of another host. The way leads through the
// controller, which alone decides which file it is: that which the step under
// way names by [weft/engine/step.Importer].
type Elsewhere interface {
	// Fetch asks for the file, and returns when its size is known. The error
	// says why it cannot be had.
	Fetch(ctx context.Context) (Arrival, error)
}

// An Arrival is a file of another host on its way. It is read by whoever
// fetched it, and closed also where it was not read to its end. A read fails
// where the file stops coming.
type Arrival struct {
	io.ReadCloser
	Size int64 // bytes, as was announced; no more come
}

// A SumError says that a content is another than was wanted.
type SumError struct{ Want, Got string } // sha256, in hexadecimal digits

func (e *SumError) Error() string {
	return fmt.Sprintf("the content has the sha256 %s, and %s is wanted", e.Got, e.Want)
}

// Sum is the sha256 of a file's content, in lower case hexadecimal digits. The
// file is read in parts. It is remembered until the next effect.
func Sum(ctx context.Context, v View, name string) (string, error) {
	return Recall(v.Memo, "sha256 "+name, func() (string, error) {
		f, err := v.Files.Open(ctx, name)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
		sum := sha256.New()
		for part := make([]byte, PartSize); ; {
			n, err := f.Read(part)
			_, _ = sum.Write(part[:n]) // a hash takes everything
			switch {
			case err == io.EOF: //nolint:errorlint // io.Reader promises it bare
				return hex.EncodeToString(sum.Sum(nil)), nil
			case err != nil:
				return "", fmt.Errorf("read %s: %w", name, err)
			case ctx.Err() != nil:
				return "", context.Cause(ctx)
			}
		}
	})
}

// nameMax is how long the name of a file may be on Linux, in bytes.
const nameMax = 255

// Temporary is the name under which a file is written before it takes its
// place. It is hidden, so that programs that read whole directories of snippets
// do not read it, and made of the final name, so that what a crash leaves is
// found again.
func Temporary(name string) string {
	dir, base := path.Split(name)
	base = ".weft-" + base
	return dir + base[:min(len(base), nameMax)]
}
