package steptest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// place is where a walk happens.
type place interface {
	// host returns the doors, with an empty memo.
	host() host.Host
	snapshot(ctx context.Context) (string, error)
	// hand lets another hand change the place.
	hand(ctx context.Context, h Hand) error
	// boot boots the place anew.
	boot(ctx context.Context) error
}

// ground makes places in the state that a hand left.
type ground func(ctx context.Context, found Hand) (place, error)

// onRealHost says whether the environment asks for the real host.
func onRealHost() bool { return os.Getenv("WEFT_LAWS_HOST") == "1" }

func (s Subject) fakeGround() ground {
	arranged := map[string]*fake.Machine{}
	return func(_ context.Context, found Hand) (place, error) {
		m, ok := arranged[found.Name]
		if !ok {
			m = fake.New()
			if s.Machine != nil {
				m = s.Machine()
			}
			if found.Fake != nil {
				found.Fake(m)
			}
			arranged[found.Name] = m
		}
		return fakePlace{m.Clone()}, nil
	}
}

type fakePlace struct{ m *fake.Machine }

func (p fakePlace) host() host.Host {
	h := p.m.Host()
	h.Memo = &host.Memo{}
	return h
}

func (p fakePlace) snapshot(context.Context) (string, error) { return p.m.Snapshot(), nil }

func (p fakePlace) hand(_ context.Context, h Hand) error {
	if h.Fake == nil {
		return fmt.Errorf("%s has no Fake half", h.Name)
	}
	h.Fake(p.m)
	return nil
}

// boot gives each boot an id of its own, and the same in every walk.
func (p fakePlace) boot(context.Context) error {
	last, _ := p.m.KernelValue("/proc/sys/kernel/random/boot_id")
	p.m.Reboot(fmt.Sprintf("%x", sha256.Sum256([]byte(last)))[:32])
	return nil
}

// misplaced says why a hand cannot work here; empty where it can.
func misplaced(h Hand) string {
	if onRealHost() && h.Fake != nil && len(h.Host) == 0 {
		return h.Name + " has no Host commands: tried on the fake only"
	}
	return ""
}
