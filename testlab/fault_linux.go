package testlab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ballastName is the file in a host's root that fills its disk.
const ballastName = ".weft-lab-ballast"

// ErrNoDisk says that a host's disk has no size of its own, so that it cannot be filled without filling the machine's.
var ErrNoDisk = errors.New("its disk has no size of its own; take the lab down and bring it up with one: weft lab up --disk 2048")

// Cut pulls the host's cables out of a network; out of those with access where network is empty. Links lose their
// carrier and nobody is told; an emulated e1000e loses frames alone. A wire's other end loses its carrier too. A host that
// boots is plugged in again.
func (l *Lab) Cut(ctx context.Context, name, network string) error {
	return l.withEnds(ctx, name, func(n NIC) bool {
		of, _ := l.spec.network(n.Network)
		return n.Network == network || network == "" && of.Access
	}, pulled)
}

// Mend plugs all cables of a host in again, and the other ends of its wires.
func (l *Lab) Mend(ctx context.Context, name string) error {
	return l.withEnds(ctx, name, func(NIC) bool { return true }, plugged)
}

// withEnds brings a host's cables into a state, and the other ends of those that are wires.
func (l *Lab) withEnds(ctx context.Context, name string, wanted func(NIC) bool, state cable) error {
	if err := l.withCables(ctx, name, wanted, state); err != nil {
		return err
	}
	described, _ := l.spec.host(name)
	wires := map[string]bool{}
	for _, n := range described.NICs {
		if of, _ := l.spec.network(n.Network); of.Wire && wanted(n) {
			wires[n.Network] = true
		}
	}
	atWire := func(n NIC) bool { return wires[n.Network] }
	for _, h := range l.spec.Hosts {
		if h.Name == name || !slices.ContainsFunc(h.NICs, atWire) {
			continue
		}
		if err := l.withCables(ctx, h.Name, atWire, state); err != nil {
			return fmt.Errorf("the wire's other end: %w", err)
		}
	}
	return nil
}

// cable is how a cable is: plugged in or pulled out.
type cable string

const (
	plugged cable = "plugged"
	pulled  cable = "pulled"
)

// at brings the cable of one NIC into this state, the NIC's host being in namespaces: the far end of its pair follows.
func (c cable) at(port string) error {
	link, err := netlink.LinkByName(port)
	if err != nil {
		return err
	}
	if c == pulled {
		return netlink.LinkSetDown(link)
	}
	return netlink.LinkSetUp(link)
}

func (l *Lab) withCables(ctx context.Context, name string, wanted func(NIC) bool, state cable) error {
	described, ok := l.spec.host(name)
	if !ok {
		return l.noHost(name)
	}
	if !slices.ContainsFunc(described.NICs, wanted) {
		return fmt.Errorf("host %s has no NIC on that network", name)
	}
	if described.VM != nil {
		return l.withHost(ctx, name, func(h host, _ int) error {
			return h.withMonitor(func(q *qmp) error { return state.atCards(q, described.NICs, wanted) })
		})
	}
	return l.locked(ctx, func() error {
		return inNetns(fabricNetns(l.spec.Name), func() error {
			for _, n := range described.NICs {
				if !wanted(n) {
					continue
				}
				if err := state.at(portName(name, n.Name)); err != nil {
					return fmt.Errorf("the cable of host %s, NIC %s: %w", name, n.Name, err)
				}
			}
			return nil
		})
	})
}

// Fill leaves no byte free on the disk of a host that runs. See [Options].Disk.
func (l *Lab) Fill(ctx context.Context, name string) error {
	if l.isVM(name) {
		return l.inside(ctx, name, guestFill)
	}
	return l.withRoot(ctx, name, func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, ballastName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(swell(f), f.Close())
	})
}

// swell makes a file as large as its file system allows.
func swell(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var free unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &free); err != nil {
		return err
	}
	// Bookkeeping wants a part of what is said to be free, so what is left is asked for in ever smaller pieces.
	at, piece := info.Size(), int64(free.Bavail)*free.Bsize
	for piece > 0 {
		err := unix.Fallocate(int(f.Fd()), 0, at, piece)
		switch {
		case err == nil:
			at += piece
		case errors.Is(err, unix.ENOSPC):
			piece /= 2
		default:
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// Free takes away what Fill put onto the disk.
func (l *Lab) Free(ctx context.Context, name string) error {
	if l.isVM(name) {
		return l.inside(ctx, name, guestFree)
	}
	return l.withRoot(ctx, name, func(root string) error {
		if err := os.Remove(filepath.Join(root, ballastName)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// withRoot does something to the disk of a host that runs, if it has a size of its own.
func (l *Lab) withRoot(ctx context.Context, name string, f func(root string) error) error {
	return l.withHost(ctx, name, func(h host, _ int) error {
		var m machine
		if err := readJSON(filepath.Join(h.dir, machineFileName), &m); err != nil {
			return err
		}
		if m.Disk == 0 {
			return fmt.Errorf("host %s: %w", name, ErrNoDisk)
		}
		pid, err := h.initPid()
		if err != nil {
			return err
		}
		if err := f(fmt.Sprintf("/proc/%d/root", pid)); err != nil {
			return fmt.Errorf("host %s: %w", name, err)
		}
		return nil
	})
}

// Reinstall makes the host anew: another machine-id, another host key, an empty disk. What this machine knows of its old
// key stays, as it does when somebody else reinstalls a server; the next Up puts that right.
func (l *Lab) Reinstall(ctx context.Context, name string) error {
	return l.withHost(ctx, name, func(h host, _ int) error {
		path := filepath.Join(h.dir, machineFileName)
		var before machine
		if err := readJSON(path, &before); err != nil {
			return err
		}
		r, err := readRecord(l.recordPath())
		if err != nil {
			return err
		}
		if err := h.group.end(ctx); err != nil {
			return err
		}
		if err := os.RemoveAll(h.dir); err != nil {
			return err
		}
		login, err := loadOrMakeKey(filepath.Join(l.sshDir(), "key"), "weft-lab-"+l.spec.Name)
		if err != nil {
			return err
		}
		l.options.Disk = before.Disk
		if _, err := l.prepare(r, login); err != nil {
			return err
		}
		if err := l.switchOn(ctx, h); err != nil {
			return err
		}
		return h.waitUp(ctx, 0)
	})
}
