package testlab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"

	"github.com/sourcegraph/conc/pool"
)

// Up boots the lab: it builds what the cache lacks, makes networks that are missing, boots hosts that do not run, and
// returns when every host's sshd answers. Asked again it does only what is missing. A host may be added to a lab that
// runs; any other change of its description wants Down first. When Up fails, what it made stays for a look, until Down.
func (l *Lab) Up(ctx context.Context) error {
	if err := errors.Join(Check(l.options), l.spec.checkMachine()); err != nil {
		return fmt.Errorf("this machine cannot run a lab:\n%w", err)
	}
	return l.locked(ctx, func() error {
		err := l.up(ctx)
		if err != nil {
			return fmt.Errorf("lab %s: %w", l.spec.Name, err)
		}
		return nil
	})
}

func (l *Lab) up(ctx context.Context) error {
	before, err := readRecord(l.recordPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	exists := err == nil
	if exists {
		if err := before.Spec.grownInto(l.spec); err != nil {
			return err
		}
	}
	if err := checkRoutes(l.spec); err != nil {
		return err
	}
	r, err := l.build(ctx, before)
	if err != nil {
		return err
	}
	login, err := loadOrMakeKey(filepath.Join(l.sshDir(), "key"), "weft-lab-"+l.spec.Name)
	if err != nil {
		return err
	}
	groups, err := openCgroups()
	if err != nil {
		return err
	}
	defer groups.close()
	if err := l.checkMemory(groups); err != nil {
		return err
	}
	if !netnsExists(fabricNetns(l.spec.Name)) {
		// Hosts that still run have lost their cables, and get no others before they are booted.
		if err := groups.at(l.spec.Name).end(ctx); err != nil {
			return err
		}
	}
	if err := makeFabric(l.spec); err != nil {
		return err
	}
	hostKeys, err := l.prepare(r, login)
	if err != nil {
		return err
	}
	if err := l.writeSSH(hostKeys); err != nil {
		return err
	}
	return l.boot(ctx, groups)
}

// grownInto refuses a description that differs from that of the lab that is there in more than further hosts and networks.
func (s Spec) grownInto(wanted Spec) error {
	differs := func(what string) error {
		return fmt.Errorf("it runs from another description: %s differs; run: weft lab down, then up again", what)
	}
	switch {
	case s.Image != wanted.Image:
		return differs("the image")
	case !slices.Equal(s.Repository, wanted.Repository):
		return differs("the list of packages in its repository")
	case len(s.Networks) > len(wanted.Networks) || !slices.Equal(s.Networks, wanted.Networks[:len(s.Networks)]):
		return differs("a network")
	}
	for _, h := range s.Hosts {
		now, ok := wanted.host(h.Name)
		if !ok || !reflect.DeepEqual(h, now) {
			return differs("host " + h.Name)
		}
	}
	return nil
}

// build makes image and repository, and records what the lab stands on. A lab that is there keeps what it stands on.
func (l *Lab) build(ctx context.Context, before record) (r record, err error) {
	c, held, err := l.lockCache(ctx)
	if err != nil {
		return record{}, err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	r = before
	r.Spec = l.spec
	if before.Image == "" {
		if r.Image, r.Repository, err = l.fillCache(ctx, c); err != nil {
			return record{}, err
		}
	}
	if r.VMs, err = l.makeVMs(ctx, c, before.VMs); err != nil {
		return record{}, err
	}
	if err := writeJSON(l.recordPath(), r, 0o644); err != nil {
		return record{}, fmt.Errorf("keep the lab's description: %w", err)
	}
	if err := writeFile(c.user(l.recordPath()), []byte(l.recordPath()), 0o644); err != nil {
		return record{}, fmt.Errorf("tell the cache that it is used: %w", err)
	}
	if err := c.prune(); err != nil {
		return record{}, fmt.Errorf("prune the cache: %w", err)
	}
	return r, nil
}

func (l *Lab) fillCache(ctx context.Context, c cache) (image, repository string, err error) {
	release, sources, err := readSources("/etc", l.spec.Image)
	if err != nil {
		return "", "", err
	}
	recipe := newImageRecipe(release, sources)
	if image, err = c.makeImage(ctx, recipe); err != nil || len(l.spec.Repository) == 0 {
		return image, "", err
	}
	wanted := slices.Compact(slices.Sorted(slices.Values(l.spec.Repository)))
	repository, err = c.makeRepository(ctx, repositoryRecipe{Image: recipe.key(), Packages: wanted}, recipe, image)
	return image, repository, err
}

// prepare makes what the hosts' supervisors need to know, for hosts that are new, and returns all hosts' public keys.
func (l *Lab) prepare(r record, login keyPair) (map[string]string, error) {
	public := map[string]string{}
	for _, h := range l.spec.Hosts {
		dir := l.hostDir(h.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		key, err := loadOrMakeKey(filepath.Join(dir, "host_key"), h.Name)
		if err != nil {
			return nil, err
		}
		public[h.Name] = key.Public
		path := filepath.Join(dir, machineFileName)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		m := newMachine(l.spec, h, r, key, login.Public)
		if vm, ok := r.VMs[h.Name]; ok {
			m.VM = &vm
		}
		m.Disk = l.options.Disk
		if err := writeJSON(path, m, 0o600); err != nil {
			return nil, err
		}
	}
	return public, nil
}

func (l *Lab) writeSSH(hostKeys map[string]string) error {
	files := map[string][]byte{
		l.SSHConfigPath():                        renderSSHConfig(l.spec, l.sshDir()),
		filepath.Join(l.sshDir(), "known_hosts"): renderKnownHosts(l.spec, hostKeys),
	}
	for path, text := range files {
		if err := writeFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return os.Chown(filepath.Join(l.sshDir(), "key"), l.options.Owner, -1)
}

// boot switches on what is down and waits until every host is up.
func (l *Lab) boot(ctx context.Context, groups cgroups) error {
	return l.each(func(h Host) error {
		host := l.host(groups, h)
		boots, _, err := host.boots()
		if err != nil {
			return err
		}
		if host.group.populated() {
			boots-- // it counted its boot already, unless it has only just begun
		} else if err := l.switchOn(ctx, host); err != nil {
			return err
		}
		if err := host.waitUp(ctx, max(boots, 0)); err != nil {
			return err
		}
		l.options.Log("host " + h.Name + " is up")
		return nil
	})
}

func (l *Lab) switchOn(ctx context.Context, h host) error {
	if err := h.group.end(ctx); err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	if err := h.start(l.options.Supervisor); err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	return nil
}

// each does something with all hosts, a few at a time, and joins what went wrong.
func (l *Lab) each(f func(Host) error) error {
	p := pool.New().WithErrors().WithMaxGoroutines(4 * runtime.NumCPU())
	for _, h := range l.spec.Hosts {
		p.Go(func() error { return f(h) })
	}
	return p.Wait()
}

// locked does something to the lab while nobody else does.
func (l *Lab) locked(ctx context.Context, f func() error) error {
	path := filepath.Join(l.options.State, "."+l.spec.Name+".lock")
	held, err := acquireLock(ctx, path, func() { l.options.Log("waiting for another weft at work on lab " + l.spec.Name) })
	if err != nil {
		return fmt.Errorf("lock lab %s: %w", l.spec.Name, err)
	}
	return errors.Join(f(), held.release())
}
