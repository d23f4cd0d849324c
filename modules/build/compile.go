package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// A compilation is a build under way.
type compilation struct {
	build
	h    host.Host
	key  string
	in   inputs
	dir  string          // all of it
	done map[string]bool // phases that need not be begun again
}

// compile makes the archive of a result. What an earlier run of the same inputs came
// to is not made again.
func (b build) compile(ctx context.Context, h host.Host, p *plan) error {
	c := compilation{build: b, h: h, key: p.key, in: p.in, dir: b.work(p.key), done: map[string]bool{}}
	text, err := h.Files.Read(ctx, c.doneFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if json.Unmarshal(text, &c.done) != nil || c.done == nil { // null is JSON too
		c.done = map[string]bool{}
	}
	if err := c.unpack(ctx); err != nil {
		return err
	}
	words, err := c.fill(ctx)
	if err != nil {
		return err
	}
	for _, ph := range b.phases {
		if err := c.phase(ctx, ph, words); err != nil {
			return err
		}
	}
	return c.pack(ctx)
}

func (c compilation) doneFile() string { return path.Join(c.dir, "done.json") }

// finish notes that a phase is not to be begun again.
func (c compilation) finish(ctx context.Context, phase string) error {
	c.done[phase] = true
	text, err := json.Marshal(c.done)
	if err != nil {
		return err
	}
	return c.h.Files.Write(ctx, c.doneFile(), text, host.Attributes{})
}

// empty makes a directory anew, the build user's or root's.
func (c compilation) empty(ctx context.Context, name, owner string) error {
	at := path.Join(c.dir, name)
	if _, err := c.h.Files.Stat(ctx, at); err == nil {
		if err := removeAll(ctx, c.h, at); err != nil {
			return err
		}
	}
	private := fs.FileMode(0o700)
	return c.h.Files.MakeDirectory(ctx, at, host.Attributes{Mode: &private, Owner: owner})
}

// unpack checks the tarball and unpacks it. GNU tar lets no member out of the
// directory: it takes a leading / off, refuses "..", and makes links that lead
// outside last. What such links would be good for, nobody needs: they are refused.
func (c compilation) unpack(ctx context.Context) error {
	if c.done["unpack"] {
		return nil
	}
	sum, err := sha256sum(ctx, c.h.View(), c.source)
	if err != nil {
		return err
	}
	if sum != c.sum {
		return fmt.Errorf("%s is not the source that was asked for: its SHA-256 is %s, not %s", c.source, sum, c.sum)
	}
	c.h.Tell("unpacking")
	if err := c.empty(ctx, "source", c.user); err != nil {
		return err
	}
	source := path.Join(c.dir, "source")
	argv := c.as("tar", "--extract", "--no-same-owner", "--no-same-permissions", "--file="+c.source, "--directory="+source)
	if err := c.program(ctx, "unpack", host.Command{Argv: argv, Timeout: c.timeout}, nil); err != nil {
		return err
	}
	if err := c.inspect(ctx, source); err != nil {
		return err
	}
	return c.finish(ctx, "unpack")
}

// fill knows what goes into the arguments of programs. The source is the one
// directory that most tarballs hold.
func (c compilation) fill(ctx context.Context) (*strings.Replacer, error) {
	jobs := c.jobs
	if jobs == 0 {
		answer, err := c.h.Commands.Query(ctx, host.Command{Argv: []string{"nproc"}})
		if err != nil {
			return nil, err
		}
		if jobs, err = strconv.Atoi(strings.TrimSpace(string(answer.Stdout))); err != nil || jobs < 1 {
			jobs = 1
		}
	}
	source := path.Join(c.dir, "source")
	names, err := c.h.Files.List(ctx, source)
	if err != nil {
		return nil, err
	}
	if len(names) == 1 {
		if info, err := c.h.Files.Stat(ctx, path.Join(source, names[0])); err == nil && info.Type == host.Directory {
			source = path.Join(source, names[0])
		}
	}
	return strings.NewReplacer(
		"{source}", source, "{build}", path.Join(c.dir, "build"), "{staging}", path.Join(c.dir, "staging"),
		"{prefix}", c.tree(c.key), "{jobs}", strconv.Itoa(jobs), "{dpdk}", c.in["dpdk"],
	), nil
}

// phase runs the programs of a phase.
func (c compilation) phase(ctx context.Context, ph phase, words *strings.Replacer) error {
	if c.done[ph.name] {
		return nil
	}
	if directory, fresh := map[string]string{"configure": "build", "install": "staging"}[ph.name]; fresh {
		if err := c.empty(ctx, directory, c.user); err != nil {
			return err
		}
	}
	programs := ph.argv
	if ph.made && len(programs) == 0 {
		var err error
		if programs, err = c.makesConfigure(ctx, words.Replace("{source}")); err != nil {
			return err
		}
	}
	for _, argv := range programs {
		filled := make([]string, len(argv))
		for i, word := range argv {
			filled[i] = words.Replace(word)
		}
		env := []string{"HOME=" + c.home(c.key), "SOURCE_DATE_EPOCH=" + strconv.FormatInt(builtAt.Unix(), 10)}
		for name, value := range c.env {
			env = append(env, name+"="+words.Replace(value))
		}
		slices.Sort(env)
		cmd := c.command(words.Replace(ph.dir), filled)
		cmd.Env, cmd.Timeout = env, c.timeout
		c.h.Tell(ph.name)
		if err := c.program(ctx, ph.name, cmd, c.progress(ph.name)); err != nil {
			return err
		}
	}
	if ph.once {
		return c.finish(ctx, ph.name)
	}
	return nil
}

// makesConfigure is what makes a configure where a source comes without.
func (c compilation) makesConfigure(ctx context.Context, source string) ([][]string, error) {
	for _, name := range []string{"configure", "boot.sh", "autogen.sh"} {
		_, err := c.h.Files.Stat(ctx, path.Join(source, name))
		switch {
		case err == nil && name == "configure":
			return nil, nil
		case err == nil:
			return [][]string{{path.Join(source, name)}}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return [][]string{{"autoreconf", "--install", "--force"}}, nil
}

// pack writes the manifest beside what was staged, and packs it.
func (c compilation) pack(ctx context.Context) error {
	c.h.Tell("packing")
	staging, err := c.staged(ctx)
	if err != nil {
		return err
	}
	all, err := list(ctx, c.h.Files, staging)
	if err != nil {
		return fmt.Errorf("look at what was installed: %w", err)
	}
	tree := c.tree(c.key)
	m := manifest{Name: c.name, Version: c.version, Key: c.key, Tree: tree, Inputs: c.in}
	for _, f := range all {
		name, ours := strings.CutPrefix("/"+f.Path, tree+"/")
		if !ours {
			return fmt.Errorf("the build installs /%s, outside of its prefix %s: have it put all below {prefix}", f.Path, tree)
		}
		if name == manifestName {
			return fmt.Errorf("the build installs %s/%s, which weft writes: have it leave that out", tree, name)
		}
		if c.user != "" && modeOf(f.Mode)&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			return fmt.Errorf("the build installs %s/%s with mode %s, which %s may not give to a program of root's: leave user out, or that mode", tree, name, f.Mode, c.user)
		}
		if f.Path = name; f.Mode != "" {
			content, err := c.h.Files.Read(ctx, path.Join(staging, tree, name))
			if err != nil {
				return err
			}
			f.Size, f.SHA256 = int64(len(content)), sumOf(content)
		}
		m.Files = append(m.Files, f)
	}
	if len(m.Files) == 0 {
		return fmt.Errorf("the build installs nothing below its prefix %s", tree)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := c.h.Files.Write(ctx, path.Join(staging, tree, manifestName), text, host.Attributes{}); err != nil {
		return err
	}
	return c.archived(ctx, c.h, path.Join(staging, tree), c.packed(c.key))
}

// archived packs a tree of root's, which all may read once it is packed. Owners and times
// are the same for all, so that equal files make equal archives.
func (r recipe) archived(ctx context.Context, h host.Host, tree, archive string) error {
	fresh := archive + ".new"
	if err := layOut(ctx, h, fresh, ""); err != nil {
		return err
	}
	if err := run(ctx, h, "tar", "--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner",
		"--mtime=@"+strconv.FormatInt(builtAt.Unix(), 10), "--file="+fresh, "--directory="+tree, "."); err != nil {
		return err
	}
	public := fs.FileMode(0o644)
	if err := h.Files.SetAttributes(ctx, fresh, host.Attributes{Mode: &public}); err != nil {
		return err
	}
	return enter(ctx, h, fresh, archive)
}

// layOut makes an empty file that its owner alone may read and write.
func layOut(ctx context.Context, h host.Host, file, owner string) error {
	if err := h.Files.Remove(ctx, file); err != nil {
		return err
	}
	private := fs.FileMode(0o600)
	return h.Files.Write(ctx, file, nil, host.Attributes{Mode: &private, Owner: owner})
}

// enter has a new archive take its place, with its sum: a sum beside an archive
// says that it is whole.
func enter(ctx context.Context, h host.Host, fresh, archive string) error {
	sum, err := sha256sum(ctx, h.View(), fresh)
	if err != nil {
		return err
	}
	if err := h.Files.Remove(ctx, sumFile(archive)); err != nil {
		return err
	}
	if err := rename(ctx, h, fresh, archive); err != nil {
		return err
	}
	return h.Files.Write(ctx, sumFile(archive), sumText(sum, archive), host.Attributes{})
}

// sha256sum asks the program: the file may be bigger than memory.
func sha256sum(ctx context.Context, v host.View, file string) (string, error) {
	answer, err := v.Commands.Query(ctx, host.Command{Argv: []string{"sha256sum", "--", file}})
	if err != nil {
		return "", err
	}
	sum, _, _ := bytes.Cut(bytes.TrimPrefix(answer.Stdout, []byte(`\`)), []byte(" "))
	if !sumPattern.Match(sum) {
		return "", fmt.Errorf("sha256sum says %q of %s", answer.First(), file)
	}
	return string(sum), nil
}
