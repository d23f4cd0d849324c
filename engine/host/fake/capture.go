package fake

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"weft/engine/host"
	"weft/engine/host/frame"
)

// recording is a capture under way.
type recording struct {
	taps   []host.Tap
	seen   []host.Seen
	enough context.CancelFunc
}

// Frame lets a frame cross a link, for the captures that are under way: In is
// towards this machine. Functions that answer pings call it.
func (m *Machine) Frame(namespace, link string, way host.Direction, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := frame.Decode(b)
	for _, r := range m.recordings {
		for i, t := range r.taps {
			if t.Namespace == namespace && t.Link == link {
				t.Count(&r.seen[i], way, f)
			}
		}
		if host.Done(r.taps, r.seen) {
			r.enough()
		}
	}
}

// LoseFrames makes every capture under way miss n frames of a link.
func (m *Machine) LoseFrames(namespace, link string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.recordings {
		for i, t := range r.taps {
			if t.Namespace == namespace && t.Link == link {
				r.seen[i].Lost += n
			}
		}
	}
}

func (p packets) Capture(ctx context.Context, taps []host.Tap, during func(context.Context) error) ([]host.Seen, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	r := &recording{taps: taps, seen: make([]host.Seen, len(taps)), enough: enough}
	if err := p.m.record(r); err != nil {
		return nil, err
	}
	err := during(ctx)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.recordings = slices.DeleteFunc(p.m.recordings, func(o *recording) bool { return o == r })
	return r.seen, err
}

func (m *Machine) record(r *recording) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range r.taps {
		s, err := m.net.space(t.Namespace)
		if err == nil && s.find(t.Link) == nil {
			err = fs.ErrNotExist
		}
		if err != nil {
			return fmt.Errorf("capture on %s: there is no such link: %w", t.Link, err)
		}
	}
	m.recordings = append(m.recordings, r)
	return nil
}
