package fake

import (
	"context"
	"fmt"
	"slices"
	"syscall"

	"weft/engine/host"
)

// OnFrame says what comes back for a frame that is sent onto a link, at once;
// nothing does without it.
func (m *Machine) OnFrame(answer func(m *Machine, namespace, link string, b []byte) [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.frame = answer
}

// frames is the door to the answers.
type frames struct{ m *Machine }

func (f frames) Attach(ctx context.Context, namespace, link string) (host.Wire, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &wire{m: f.m, namespace: namespace, link: link}
	if _, err := w.up(); err != nil {
		return nil, err
	}
	return w, nil
}

// wire is one link, with the frames that have come and were not received yet.
type wire struct {
	m               *Machine
	namespace, link string
	waiting         [][]byte
}

// up says whether the link is; an error where there is none.
func (w *wire) up() (bool, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	_, d, err := w.m.net.find(w.namespace, w.link)
	if err != nil {
		return false, fmt.Errorf("attach to %s: %w", w.link, err)
	}
	return d.Up, nil
}

// Send hands the frame to captures and to the hook. The answers cross the link
// for captures too.
func (w *wire) Send(ctx context.Context, b []byte) error {
	up, err := w.up()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && !up {
		err = fmt.Errorf("send on %s: %w", w.link, syscall.ENETDOWN)
	}
	if err != nil {
		return err
	}
	answer, err := enter(ctx, w.m, w.namespace, &w.m.hooks.frame)
	if err != nil {
		return err
	}
	w.m.Frame(w.namespace, w.link, host.Out, b)
	if answer == nil {
		return nil
	}
	for _, back := range answer(w.m, w.namespace, w.link, slices.Clone(b)) {
		w.m.Frame(w.namespace, w.link, host.In, back)
		w.waiting = append(w.waiting, back)
	}
	return nil
}

// Receive never waits: nothing comes to this machine by itself, so the time of
// who waits would only run out.
func (w *wire) Receive(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(w.waiting) == 0 {
		return nil, context.DeadlineExceeded
	}
	b := w.waiting[0]
	w.waiting = w.waiting[1:]
	return b, nil
}

func (*wire) Close() error { return nil }
