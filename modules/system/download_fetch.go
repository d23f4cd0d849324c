package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
)

// bring fetches the file and has it take its place. Programs open what they write by its
// name, so where others may put a link there meanwhile, they write to a directory of
// root's, and the file is copied as a file step writes one.
func (d downloads) bring(ctx context.Context, h host.Host, want downloaded, a host.Attributes) error {
	who, _, err := writersOf(ctx, h.View(), path.Dir(want.Path))
	if err != nil {
		return err
	}
	if who == "" {
		if err := d.fetch(ctx, h, want, want.part()); err != nil {
			return err
		}
		if err := h.Files.SetAttributes(ctx, want.part(), a); err != nil {
			return err
		}
		_, err = h.Commands.Run(ctx, host.Command{Argv: []string{"mv", "-fT", "--", want.part(), want.Path}})
		return err
	}
	if err := makeKept(ctx, h); err != nil {
		return err
	}
	part := path.Join(h.Kept, want.SHA256.Or("")+".part")
	if err := d.fetch(ctx, h, want, part); err != nil {
		return err
	}
	if err := copyHere(ctx, h, part, want.Path, want.SHA256.Or(""), a); err != nil {
		return err
	}
	return h.Files.Remove(ctx, part)
}

// fetch has a program fetch the file to a part, from the first place that has the
// right one. The part of a run that was cut is gone on with.
func (d downloads) fetch(ctx context.Context, h host.Host, want downloaded, part string) error {
	wanted := want.SHA256.Or("")
	if err := distrust(ctx, h, part); err != nil {
		return err
	}
	if whole, _, err := partSum(ctx, h.View(), part); err != nil || whole == wanted {
		return err
	}
	var failures []error
	for _, from := range d.spec.URLs {
		err := d.fetchFrom(ctx, h, from, part, wanted)
		if err == nil {
			// On the disk before it has its name: a file whose name survives a power cut is whole.
			_, err = h.Commands.Query(ctx, host.Command{Argv: []string{"sync", "--", part}})
			return err
		}
		if ctx.Err() != nil || errors.Is(err, host.ErrNotReady) {
			return err
		}
		failures = append(failures, fmt.Errorf("%s: %w", from, err))
	}
	return fmt.Errorf("no URL has it; what was at %s is untouched: %w", want.Path, errors.Join(failures...))
}

// distrust removes what lies at the part's name and is not root's own file: others may
// have written to the directory before.
func distrust(ctx context.Context, h host.Host, part string) error {
	info, err := h.Files.Stat(ctx, part)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Type == host.Regular && info.Owner == "root" {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Files.Remove(ctx, part)
}

// fetchFrom tries one place. Where a beginning that another sent does not fit, all
// is fetched again. What is no beginning of the file is removed.
func (d downloads) fetchFrom(ctx context.Context, h host.Host, from, part, wanted string) error {
	for {
		fresh, err := notThere(ctx, h.View(), part)
		if err != nil {
			return err
		}
		c, err := d.program(ctx, h.View(), from, part)
		if err != nil {
			return err
		}
		r, err := h.Commands.Run(ctx, c)
		if err == nil {
			got, _, sumErr := partSum(ctx, h.View(), part)
			if sumErr != nil || got == wanted {
				return sumErr
			}
			err = fmt.Errorf("the file there has the sha256 %s, not %s", got, wanted)
		} else if err = explained(err, d.spec.MaxMB); !errors.Is(err, errTooLarge) && (fresh || !misfit(r)) {
			return d.crowded(ctx, h.View(), part, err) // a beginning, to be gone on with
		}
		if rmErr := h.Files.Remove(ctx, part); rmErr != nil || fresh {
			return errors.Join(err, rmErr)
		}
	}
}

// crowded says where a program may have failed because there was no room.
func (downloads) crowded(ctx context.Context, v host.View, part string, err error) error {
	dir := path.Dir(part)
	if room, spaceErr := v.Disks.Space(ctx, dir); spaceErr == nil && room.Free < 1<<20 {
		return fmt.Errorf("the file system of %s is full: %w", dir, err)
	}
	return err
}

// misfit says whether a server has no more than the part already (HTTP 416), or
// cannot go on with one: statuses 33 and 36 of curl(1).
func misfit(r host.Result) bool {
	return r.Exit == 33 || r.Exit == 36 || strings.Contains(string(r.Stderr), "416")
}

var errTooLarge = errors.New("it is larger than max_mb allows")

// explained says what the bound means that a program ran into.
func explained(err error, maxMB int) error {
	var exit *host.ExitError
	if errors.As(err, &exit) && slices.Contains([]int{63, 128 + 25, 128 + 31}, exit.Result.Exit) || strings.Contains(err.Error(), "File too large") {
		return fmt.Errorf("%w, %d: %w", errTooLarge, maxMB, err)
	}
	return err
}

// partSum is the sum of the part, and whether there is one.
func partSum(ctx context.Context, v host.View, part string) (sum string, there bool, err error) {
	gone, err := notThere(ctx, v, part)
	if err != nil || gone {
		return "", false, err
	}
	sum, err = host.Sum(ctx, v, part)
	return sum, true, err
}

// aptHelper fetches files by apt's own methods, on a Debian that has neither curl nor
// wget.
const aptHelper = "/usr/lib/apt/apt-helper"

// program is what fetches a URL here. prlimit(1) bounds what it may write.
func (d downloads) program(ctx context.Context, v host.View, from, part string) (host.Command, error) {
	timeout, err := time.ParseDuration(d.spec.Timeout)
	if err != nil {
		return host.Command{}, err
	}
	c := host.Command{Timeout: timeout + 10*time.Second}
	for name, value := range d.spec.Environment {
		c.Env = append(c.Env, name+"="+value)
	}
	slices.Sort(c.Env)
	seconds := strconv.Itoa(int(timeout.Seconds()))
	bounded := func(argv ...string) host.Command {
		c.Argv = append([]string{"prlimit", "--fsize=" + strconv.Itoa(d.spec.MaxMB<<20), "--"}, argv...)
		return c
	}
	if u, err := url.Parse(from); err == nil && u.Scheme == "file" {
		return bounded("cp", "--", u.Path, part), nil
	}
	if curl, ok := installed(ctx, v, "curl"); ok {
		c.Stdin = []byte(d.curlConfig(from, part, seconds))
		return bounded(curl, "-q", "--config", "-"), nil
	}
	if d.spec.Username != "" {
		return c, fmt.Errorf("a user name and password are given to curl alone, and the host has none; a package step before this one installs it: %w", host.ErrNotReady)
	}
	if wget, ok := installed(ctx, v, "wget"); ok {
		c.Stdin = []byte(from + "\n")
		return bounded(wget, "--no-config", "--no-verbose", "--continue", "--tries=2", "--timeout=60", "--max-redirect=10", "--output-document="+part, "--input-file=-"), nil
	}
	if gone, err := notThere(ctx, v, aptHelper); err == nil && !gone {
		if d.hidden {
			return c, fmt.Errorf("the URL is sensitive, and apt-helper takes it as an argument that every user of the host can read; a package step before this one installs curl: %w", host.ErrNotReady)
		}
		return bounded(aptHelper, "-o", "Acquire::http::Timeout=60", "-o", "Acquire::https::Timeout=60", "download-file", from, part), nil
	}
	return c, fmt.Errorf("the host has neither curl, wget nor apt-helper; a package step before this one installs one: %w", host.ErrNotReady)
}

// installed finds a program where packages put it.
func installed(ctx context.Context, v host.View, name string) (string, bool) {
	for _, dir := range []string{"/usr/local/bin/", "/usr/bin/", "/bin/"} {
		if gone, err := notThere(ctx, v, dir+name); err == nil && !gone {
			return dir + name, true
		}
	}
	return "", false
}

// curlConfig is a file of options for curl(1), read from its standard input.
func (d downloads) curlConfig(from, part, seconds string) string {
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	lines := []string{
		"url = " + quote(from), "output = " + quote(part), "continue-at = -", "globoff", "fail", "location", "silent", "show-error",
		`proto = "=http,https"`, `proto-redir = "=http,https"`, "max-redirs = 10", "connect-timeout = 30", "retry = 2",
		"max-time = " + seconds, "speed-limit = 1000", "speed-time = 60", "max-filesize = " + strconv.Itoa(d.spec.MaxMB<<20),
	}
	if d.spec.Username != "" {
		lines = append(lines, "user = "+quote(d.spec.Username+":"+d.spec.Password))
	}
	return strings.Join(lines, "\n") + "\n"
}
