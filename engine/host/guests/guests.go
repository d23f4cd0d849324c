// Package guests finds the virtual machines that run on a host, and those of them
// that have a card on its Open vSwitch. Where libvirtd does not answer they are
// not none: what it left behind and the processes of qemu tell.
package guests

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"weft/engine/host"
	"weft/engine/host/xmltree"
)

// Found is what a change would hit.
type Found struct {
	Names    []string // sorted
	Warnings []string // what is not certain about them
}

// guest is a virtual machine that runs. Its definition is nil where nothing tells
// what cards it has.
type guest struct {
	name string
	live *xmltree.Node
}

// seen is all that run.
type seen struct {
	guests   []guest
	warnings []string
}

// Running are all that run.
func Running(ctx context.Context, v host.View) (Found, error) {
	all, err := running(ctx, v)
	if err != nil {
		return Found{}, err
	}
	return all.found(func(guest) bool { return true }), nil
}

// found are those that a change hits.
func (s seen) found(hit func(guest) bool) Found {
	var f Found
	for _, g := range s.guests {
		if hit(g) {
			f.Names = append(f.Names, g.name)
		}
	}
	slices.Sort(f.Names)
	f.Names = slices.Compact(f.Names)
	if len(f.Names) > 0 {
		f.Warnings = s.warnings
	}
	return f
}

func running(ctx context.Context, v host.View) (seen, error) {
	return host.Recall(v.Memo, "guests: running", func() (seen, error) {
		all, refused := fromLibvirtd(ctx, v)
		if refused == nil || ctx.Err() != nil {
			return seen{guests: all}, ctx.Err()
		}
		return fromProcesses(ctx, v, refused)
	})
}

func fromLibvirtd(ctx context.Context, v host.View) ([]guest, error) {
	names, err := v.Libvirt.Domains(ctx)
	if err != nil {
		return nil, err
	}
	var all []guest
	for _, n := range names {
		d, err := v.Libvirt.Virtual(ctx, host.VirtualDomain, n.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone meanwhile
		case err != nil:
			return nil, err
		case d.Active:
			live, err := xmltree.Parse(d.Live)
			if err != nil {
				return nil, fmt.Errorf("read domain %s: %w", d.Name, err)
			}
			all = append(all, guest{d.Name, live})
		}
	}
	return all, nil
}
