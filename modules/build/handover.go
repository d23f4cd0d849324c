package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"weft/engine/host"
)

// The directory of a build under way is root's, and so are its entries' names: source,
// build, staging and home below it are the build user's. Whoever owns a directory may put
// links into it, at any time, that root would follow: so root opens no path below those.

// workPlace sees that the directory of a build under way is as this step makes it. Another
// user's is made anew: root would run what he prepared, and he can do nothing in root's.
func (b build) workPlace(ctx context.Context, h host.Host, key string) error {
	work, home := b.work(key), b.home(key)
	private, passable := fs.FileMode(0o700), fs.FileMode(0o711)
	of := host.Attributes{Mode: &private, Owner: "root"}
	own := host.Attributes{Mode: &private, Owner: "root"}
	if b.user != "" {
		of.Mode, own.Owner = &passable, b.user
	}
	ours, err := isDirectory(ctx, h.View(), work, of)
	if err != nil {
		return err
	}
	if ours {
		if ours, err = isDirectory(ctx, h.View(), home, own); err != nil || ours {
			return err
		}
	}
	if _, err := h.Files.Stat(ctx, work); err == nil {
		if err := removeAll(ctx, h, work); err != nil {
			return err
		}
	}
	if err := h.Files.MakeDirectory(ctx, work, of); err != nil {
		return err
	}
	return h.Files.MakeDirectory(ctx, home, own)
}

// isDirectory says whether a directory is there, with the owner and the mode given.
func isDirectory(ctx context.Context, v host.View, at string, a host.Attributes) (bool, error) {
	info, err := v.Files.Stat(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Type == host.Directory && info.Owner == a.Owner && info.Mode.Perm() == *a.Mode, err
}

// command is a program of the build in a directory, which the build user enters himself.
func (c compilation) command(dir string, argv []string) host.Command {
	if c.user == "" {
		return host.Command{Argv: c.as(argv...), Dir: dir}
	}
	return host.Command{Argv: c.as(append([]string{"env", "--chdir=" + dir, "--"}, argv...)...), Dir: c.dir}
}

// inspect refuses a source with links that lead out of it, or with what is neither a file
// nor a link. The build user looks.
func (c compilation) inspect(ctx context.Context, source string) error {
	answer, err := c.h.Commands.Query(ctx, host.Command{
		Argv:    c.as("find", source, "!", "-type", "f", "!", "-type", "d", "-printf", `%y\0%P\0%l\0`),
		Timeout: c.timeout,
	})
	if err != nil {
		return fmt.Errorf("look at what was unpacked: %w", err)
	}
	words := strings.Split(string(answer.Stdout), "\x00")
	for ; len(words) >= 3; words = words[3:] {
		class, name, target := words[0], words[1], words[2]
		if class != "l" {
			return fmt.Errorf("%s is not built: %s in it is neither a file nor a link", c.source, name)
		}
		leads := path.Join(path.Dir(name), target)
		if path.IsAbs(target) || !below(leads) && leads != "." {
			return fmt.Errorf("%s is not built: %s in it leads to %s, out of the source", c.source, name, target)
		}
	}
	return nil
}

// staged is a directory with what was installed that is root's alone. Another build user
// packs it into a file that root laid out for him; what root unpacks of that is root's. It
// has the modes that he gave, so it lies in a directory that he cannot enter.
func (c compilation) staged(ctx context.Context) (string, error) {
	staging := path.Join(c.dir, "staging")
	if c.user == "" {
		return staging, nil
	}
	handed, taken := path.Join(c.dir, "handed.tar"), path.Join(c.dir, "taken")
	if err := layOut(ctx, c.h, handed, c.user); err != nil {
		return "", err
	}
	argv := c.as("tar", "--create", "--format=gnu", "--file="+handed, "--directory="+staging, ".")
	if err := c.program(ctx, "pack", host.Command{Argv: argv, Timeout: c.timeout}, nil); err != nil {
		return "", err
	}
	if err := c.empty(ctx, "taken", ""); err != nil {
		return "", err
	}
	taken = path.Join(taken, "staging")
	if err := c.h.Files.MakeDirectory(ctx, taken, host.Attributes{}); err != nil {
		return "", err
	}
	argv = []string{"tar", "--extract", "--same-permissions", "--no-same-owner", "--file=" + handed, "--directory=" + taken}
	if err := c.program(ctx, "pack", host.Command{Argv: argv, Timeout: c.timeout}, nil); err != nil {
		return "", err
	}
	return taken, c.h.Files.Remove(ctx, handed)
}
