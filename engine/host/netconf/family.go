package netconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"weft/engine/host"
)

// Family is how a host keeps its network over a boot.
type Family string

// The families.
const (
	Ifupdown       Family = "ifupdown"
	NetworkManager Family = "networkmanager"
	Scripts        Family = "network-scripts"
	Netplan        Family = "netplan"
)

// Goal is what files are to be.
type Goal struct {
	Files Files
	Notes []string // what a reader of a plan should know
}

// family is what each of them does. Its files are a copy that it may change.
type family interface {
	read(ctx context.Context, v host.View) (Files, error)
	keep(files Files, p Part) (notes []string, err error)
	drop(files Files, p Part) error
	// readable says why a part's file would not be read at boot.
	readable(ctx context.Context, v host.View, p Part) error
}

func (f Family) of() (family, error) {
	switch f {
	case Ifupdown:
		return interfaces{}, nil
	case NetworkManager:
		return profiles{}, nil
	case Scripts:
		return scripts{}, nil
	case Netplan:
		return plans{}, nil
	}
	return nil, fmt.Errorf("%q is no way to keep a network: ifupdown, networkmanager, network-scripts or netplan", string(f))
}

// Read returns all files of the family.
func (f Family) Read(ctx context.Context, v host.View) (Files, error) {
	k, err := f.of()
	if err != nil {
		return nil, err
	}
	return k.read(ctx, v)
}

// Keep returns the files with the part in them. It is pure.
func (f Family) Keep(files Files, p Part) (Goal, error) {
	k, err := f.of()
	if err != nil {
		return Goal{}, err
	}
	g := Goal{Files: Files{}}
	maps.Copy(g.Files, files)
	g.Notes, err = k.keep(g.Files, p)
	var refused *refusal
	if errors.As(err, &refused) {
		refused.others = able(p)
	}
	return g, err
}

// refusal is the error of a family that has no words for something.
type refusal struct {
	what, device string
	family       Family
	others       []string // that have
}

func (r *refusal) Error() string {
	can := "no other way can"
	if len(r.others) > 0 {
		can = strings.Join(r.others, ", ") + " can"
	}
	return fmt.Sprintf("%s cannot keep %s of %s (%s): leave persist out, or name another way in persist_by", r.family, r.what, r.device, can)
}

func unknownOption(option, device string, f Family) error {
	return &refusal{what: option, device: device, family: f}
}

// able are the families that could keep a part.
func able(p Part) []string {
	var out []string
	for _, f := range []Family{Ifupdown, NetworkManager, Scripts, Netplan} {
		if k, err := f.of(); err == nil {
			if _, err := k.keep(Files{}, p); err == nil {
				out = append(out, string(f))
			}
		}
	}
	return out
}

// Drop returns the files with nothing of the part that we wrote in them; of a
// part that makes its device with nothing of it at all. It is pure.
func (f Family) Drop(files Files, p Part) (Goal, error) {
	k, err := f.of()
	if err != nil {
		return Goal{}, err
	}
	g := Goal{Files: maps.Clone(files)}
	return g, k.drop(g.Files, p)
}

// Readable says why the host would not read at boot what keeps a part; nil
// where it would. The error wraps [host.ErrNotReady] where an earlier step may
// bring what is missing.
func (f Family) Readable(ctx context.Context, v host.View, p Part) error {
	k, err := f.of()
	if err != nil {
		return err
	}
	return k.readable(ctx, v, p)
}

// The daemons that configure devices by themselves, as Detect is told of them.
const (
	NetworkManagerDaemon = "NetworkManager"
	NetworkdDaemon       = "systemd-networkd"
)

// Detect says what configures a device at boot; owner is the daemon that
// configures it now, and empty for none. Of a host that has nothing of the kind
// it says ifupdown, whose Readable tells what to install.
func Detect(ctx context.Context, v host.View, device, owner string) (Family, error) {
	netplan, err := exists(ctx, v, "/usr/sbin/netplan")
	if err != nil {
		return "", err
	}
	if netplan {
		files, err := plans{}.read(ctx, v)
		if err != nil || len(files) > 0 {
			return Netplan, err
		}
	}
	if owner == NetworkManagerDaemon {
		return detectProfile(ctx, v, device)
	}
	for _, known := range []struct {
		file   string
		family Family
	}{{scriptDirectory + "/ifup-eth", Scripts}, {"/sbin/ifup", Ifupdown}, {"/usr/sbin/NetworkManager", NetworkManager}} {
		there, err := exists(ctx, v, known.file)
		if err != nil || there {
			return known.family, err
		}
	}
	return Ifupdown, nil
}

// detectProfile says where NetworkManager has the profile of a device: with its
// plugin ifcfg-rh that may be a file of network-scripts.
func detectProfile(ctx context.Context, v host.View, device string) (Family, error) {
	files, err := scripts{}.read(ctx, v)
	if err != nil {
		return "", err
	}
	own, err := profiles{}.read(ctx, v)
	if err != nil {
		return "", err
	}
	if _, keyfile := profileOf(own, device); !keyfile && scriptOf(files, device) != "" {
		return Scripts, nil
	}
	return NetworkManager, nil
}

func exists(ctx context.Context, v host.View, name string) (bool, error) {
	_, err := v.Files.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readAll reads the files of a directory that are wanted; none of one that is
// not there.
func readAll(ctx context.Context, v host.View, dir string, wanted func(name string) bool) (Files, error) {
	names, err := v.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Files{}, nil
	}
	if err != nil {
		return nil, err
	}
	files := Files{}
	for _, name := range names {
		file := dir + "/" + name
		if !wanted(name) {
			continue
		}
		info, err := v.Files.Stat(ctx, file)
		if err != nil {
			return nil, err
		}
		switch {
		case info.Type == host.Symlink && info.Target == "/dev/null":
			files[file] = ""
			continue
		case info.Type != host.Regular && info.Type != host.Symlink:
			continue
		}
		// What a symlink leads to has its say; write and Look refuse to change it.
		text, err := read(ctx, v.Files, file)
		if err != nil {
			return nil, err
		}
		if text != nil || info.Type == host.Symlink {
			files[file] = *cmp.Or(text, new(string))
		}
	}
	return files, nil
}
