package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"syscall"

	"weft/engine/host"
)

// kept is the directory of [host.Host.Kept]. It is a runner's and no state of
// the machine, so a snapshot leaves it out.
const kept = "/var/lib/weft-kept"

// Arrive makes a content the one that is fetched from elsewhere.
func (m *Machine) Arrive(content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.arrives = &content
}

// Fetch implements [host.Elsewhere].
func (m *Machine) Fetch(ctx context.Context) (host.Arrival, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return host.Arrival{}, context.Cause(ctx)
	}
	content := *m.hooks.arrives
	return host.Arrival{ReadCloser: io.NopCloser(strings.NewReader(content)), Size: int64(len(content))}, nil
}

func (f files) Open(ctx context.Context, name string) (host.OpenFile, error) {
	b, err := f.Read(ctx, name)
	if err != nil {
		return host.OpenFile{}, err
	}
	content := strings.NewReader(string(b))
	return host.OpenFile{
		SectionReader: io.NewSectionReader(content, 0, content.Size()), Closer: io.NopCloser(nil),
		Version: fmt.Sprintf("%x", sha256.Sum256(b)),
	}, nil
}

func (f files) Receive(ctx context.Context, name string, from io.Reader, size int64, sum string, a host.Attributes) error {
	if err := f.refuse(ctx, "receive", name); err != nil {
		return err
	}
	if space, err := disks(f).Space(ctx, "/"); err == nil && space.Free < size {
		return pathError("receive", name, syscall.ENOSPC)
	}
	content, err := io.ReadAll(io.LimitReader(from, size+1))
	switch got := sha256.Sum256(content); {
	case err != nil:
	case int64(len(content)) < size:
		err = io.ErrUnexpectedEOF
	case int64(len(content)) > size:
		err = fmt.Errorf("more than the %d bytes came that were announced", size)
	case hex.EncodeToString(got[:]) != sum:
		err = &host.SumError{Want: sum, Got: hex.EncodeToString(got[:])}
	}
	if err != nil {
		return pathError("receive", name, err)
	}
	return f.Write(ctx, name, content, a)
}
