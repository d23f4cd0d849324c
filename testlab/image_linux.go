package testlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// makeImage returns the root of the recipe's image, built if the cache lacks it.
func (c cache) makeImage(ctx context.Context, r imageRecipe) (string, error) {
	return c.make(imagesDir, r.key(), func(dir string) error {
		c.log("building image %s from %s (once for this recipe; about a minute)", r.key(), r.Sources[0].URI)
		return buildImage(ctx, r, dir)
	})
}

func buildImage(ctx context.Context, r imageRecipe, dir string) error {
	sources := filepath.Join(dir, "image.sources")
	if err := os.WriteFile(sources, renderDeb822(r.Sources), 0o644); err != nil {
		return err
	}
	transport, err := transportOptions(ctx)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	arguments := []string{"--mode=root", "--variant=minbase", "--quiet", "--include=" + strings.Join(r.Packages, ",")}
	for _, option := range transport {
		arguments = append(arguments, "--aptopt="+option)
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(arguments, r.Release.Codename, root, sources)...)
	cmd.SysProcAttr = contained()
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("build image %s: %w", r.Release.Image, err)
	}
	if err := furnish(ctx, r, root); err != nil {
		return fmt.Errorf("furnish image %s: %w", r.Release.Image, err)
	}
	return nil
}

// contained lets nothing of a command outlive it or us, however either ends: neither mounts nor processes.
func contained() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
}

// furnish turns what mmdebstrap made into what every host starts from.
func furnish(ctx context.Context, r imageRecipe, root string) error {
	for _, pattern := range r.Removed {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	for path, content := range r.Files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		if err := writeFile(filepath.Join(root, path), []byte(content), mode); err != nil {
			return err
		}
	}
	for path, target := range r.Links {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
			return err
		}
	}
	for _, unit := range r.Masked {
		path := filepath.Join(root, "etc/systemd/system", unit)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink("/dev/null", path); err != nil {
			return err
		}
	}
	for i, user := range r.Users {
		if err := addUser(ctx, root, user, firstUser+i); err != nil {
			return err
		}
	}
	return nil
}

func addUser(ctx context.Context, root string, user imageUser, id int) error {
	arguments := []string{"--create-home", "--shell", "/bin/bash", "--uid", strconv.Itoa(id), "--gid", "users"} // Debian has a group operator already
	if user.Password != "" {
		arguments = append(arguments, "--password", user.Password)
	}
	if user.Sudo == "" {
		arguments = append(arguments, "--groups", "sudo")
	}
	cmd := exec.CommandContext(ctx, "/usr/sbin/useradd", append(arguments, user.Name)...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("add user %s: %w", user.Name, err)
	}
	if user.Sudo == "" {
		return nil
	}
	rule := filepath.Join(root, "etc/sudoers.d", user.Name)
	return writeFile(rule, []byte(user.Name+" "+user.Sudo+"\n"), 0o440)
}

// makeRepository returns the directory of the recipe's apt repository, filled if the cache lacks it.
func (c cache) makeRepository(ctx context.Context, r repositoryRecipe, image imageRecipe, root string) (string, error) {
	return c.make(repositoriesDir, r.key(), func(dir string) error {
		c.log("filling the local apt repository with %s and what they depend on", strings.Join(r.Packages, ", "))
		if err := fillRepository(ctx, r, image, root, dir); err != nil {
			return fmt.Errorf("fill the local apt repository: %w", err)
		}
		return nil
	})
}

// fillRepository downloads what apt would install in a host of the image, recommended packages included, and indexes it.
func fillRepository(ctx context.Context, r repositoryRecipe, image imageRecipe, root, dir string) error {
	apt, repository := filepath.Join(dir, "apt"), filepath.Join(dir, "root")
	for _, d := range []string{repository, apt + "/state/lists/partial", apt + "/cache/archives/partial", apt + "/sources"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	packages, sources := binariesAndSources(r.Packages)
	text := renderDeb822(image.Sources)
	if len(sources) > 0 {
		text = append(text, withTypes("deb-src", text)...)
	}
	if err := os.WriteFile(apt+"/sources/lab.sources", text, 0o644); err != nil {
		return err
	}
	transport, err := transportOptions(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(apt+"/apt.conf", aptConfiguration(apt, root, transport), 0o644); err != nil {
		return err
	}
	calls := [][]string{{"--quiet", "update"}, append([]string{"--yes", "--quiet", "--download-only", "install"}, packages...)}
	if len(sources) > 0 {
		calls = append(calls, append([]string{"--quiet", "--download-only", "source"}, sources...))
	}
	for _, arguments := range calls {
		cmd := exec.CommandContext(ctx, "apt-get", arguments...)
		cmd.Dir = repository // where the files of source packages are put
		cmd.Env = append(os.Environ(), "APT_CONFIG="+apt+"/apt.conf", "LC_ALL=C")
		cmd.SysProcAttr = contained()
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	archives, err := filepath.Glob(apt + "/cache/archives/*.deb")
	if err != nil {
		return err
	}
	for _, path := range archives {
		if err := os.Rename(path, filepath.Join(repository, filepath.Base(path))); err != nil {
			return err
		}
	}
	if err := indexRepository(ctx, repository); err != nil {
		return err
	}
	return os.RemoveAll(apt)
}

// indexRepository writes what makes a flat repository of a directory of packages; apt-ftparchive(1).
func indexRepository(ctx context.Context, dir string) error {
	for _, index := range []struct{ verb, file string }{{"packages", "Packages"}, {"release", "Release"}} {
		cmd := exec.CommandContext(ctx, "apt-ftparchive", index.verb, ".")
		cmd.Dir = dir
		text, err := output(cmd)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, index.file), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// aptConfiguration points this machine's apt at a host of the image: its installed packages, its sources, and nothing
// of the machine's own but how to reach the mirrors. apt.conf(5).
func aptConfiguration(apt, root string, transport []string) []byte {
	lines := []string{
		`Dir::Etc::main "/dev/null";`, `Dir::Etc::parts "/dev/null";`,
		`Dir::Etc::sourcelist "/dev/null";`, `Dir::Etc::sourceparts "` + apt + `/sources";`,
		`Dir::Etc::preferences "/dev/null";`, `Dir::Etc::preferencesparts "/dev/null";`,
		`Dir::State "` + apt + `/state";`, `Dir::State::status "` + root + `/var/lib/dpkg/status";`,
		`Dir::Cache "` + apt + `/cache";`,
		`APT::Sandbox::User "root";`, `Acquire::Languages "none";`, `Acquire::Retries "3";`,
	}
	return []byte(strings.Join(append(lines, transport...), "\n") + "\n")
}

// transportOptions is how this machine's apt reaches its mirrors: proxies and the like.
func transportOptions(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "apt-config", "dump", "--no-empty", "--format", `%F "%v";%n`, "Acquire::http", "Acquire::https")
	text, err := output(cmd)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" }), nil
}

// output runs a command and returns what it wrote to stdout. The error of one that fails holds the end of its stderr.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.Join(lines[max(0, len(lines)-6):], "\n"))
	}
	return stdout.Bytes(), nil
}
