package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"

	"weft/engine/wire"
)

// read answers with a part of a file that another host wants. Nothing is held
// open between two parts: the controller sees by the version that they are of one
// file.
func (s *session) read(ctx context.Context, r wire.Read) error {
	if r.At < 0 || r.Length <= 0 || r.Length > wire.PartSize {
		return fmt.Errorf("%d bytes from %d on cannot be read at once", r.Length, r.At)
	}
	f, err := s.Host.Files.Open(ctx, r.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, min(int64(r.Length), max(0, f.Size()-r.At)))
	n, err := f.ReadAt(b, r.At)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", r.Path, err)
	}
	s.out.now(wire.Event{Part: &wire.Part{At: r.At, Size: f.Size(), Version: f.Version, Bytes: b[:n]}})
	return nil
}
