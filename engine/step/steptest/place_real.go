package steptest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"

	"weft/engine/host"
	"weft/engine/host/local"
)

// realDoors are the doors of the machine that the test runs on.
func realDoors() (host.Host, error) {
	if runtime.GOOS != "linux" {
		return host.Host{}, errors.New("WEFT_LAWS_HOST needs Linux")
	}
	return local.New(), nil
}

// realGround cleans this very machine and arranges it.
func (s Subject) realGround(doors host.Host) ground {
	return func(ctx context.Context, found Hand) (place, error) {
		s.clean(ctx, doors)
		doors.Elsewhere = s.Elsewhere
		p := realPlace{doors: doors, touches: s.Touches}
		if len(found.Host) == 0 {
			return p, nil
		}
		return p, p.hand(ctx, found)
	}
}

// clean ignores what fails: most of it is not there most of the time.
func (s Subject) clean(ctx context.Context, doors host.Host) {
	for _, c := range s.Clean {
		_, _ = doors.Commands.Run(ctx, c)
	}
}

type realPlace struct {
	doors   host.Host
	touches Touches
}

func (p realPlace) host() host.Host {
	h := p.doors
	h.Memo = &host.Memo{}
	return h
}

func (p realPlace) hand(ctx context.Context, h Hand) error {
	if len(h.Host) == 0 {
		return fmt.Errorf("%s has no Host half", h.Name)
	}
	for _, c := range h.Host {
		if _, err := p.doors.Commands.Run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// boot would end the walk with the machine.
func (realPlace) boot(context.Context) error {
	return errors.New("this change needs a reboot, which no walk on a real host survives: walk it on the fake alone")
}

// snapshot reads all that the subject touches.
func (p realPlace) snapshot(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, name := range p.touches.Files {
		if err := p.tree(ctx, &b, name); err != nil {
			return "", err
		}
	}
	for _, name := range p.touches.Kernel {
		value, err := p.doors.Kernel.Get(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		fmt.Fprintf(&b, "kernel %s = %q\n", name, value)
	}
	for _, name := range p.touches.Units {
		u, err := p.doors.Units.Unit(ctx, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "unit %s %s %s %s %s\n", name, u.LoadState, u.ActiveState, u.SubState, u.FileState)
	}
	for _, c := range p.touches.Queries {
		r, err := p.doors.Commands.Query(ctx, c)
		var exit *host.ExitError
		if err != nil && !errors.As(err, &exit) && !errors.Is(err, host.ErrNotReady) {
			return "", err
		}
		fmt.Fprintf(&b, "%s: %d\n%s\n", c, r.Exit, r.Stdout)
	}
	return b.String(), nil
}

// tree writes down a file, or a directory with all below.
func (p realPlace) tree(ctx context.Context, b *strings.Builder, name string) error {
	info, err := p.doors.Files.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(b, "file %s is not there\n", name)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "file %s %s %v %s %s %s\n", name, info.Type, info.Mode, info.Owner, info.Group, info.Target)
	switch info.Type {
	case host.Regular:
		content, err := p.doors.Files.Read(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%q\n", content)
	case host.Directory:
		names, err := p.doors.Files.List(ctx, name)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := p.tree(ctx, b, path.Join(name, n)); err != nil {
				return err
			}
		}
	}
	return nil
}
