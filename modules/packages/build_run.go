package packages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// Apply builds where the result is not there, and leads the link to it.
func (s builds) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	if !s.spec.State.There() {
		return h.Files.Remove(ctx, s.spec.directory())
	}
	key, err := s.key(ctx, h.View())
	if err != nil {
		return err
	}
	store := s.store(key)
	_, whole, err := readManifest(ctx, h.View(), store)
	if err != nil {
		return err
	}
	if err := makeDirectories(ctx, h, buildStore, host.Attributes{}); err != nil {
		return err
	}
	if !whole {
		if err := s.build(ctx, h, store, key); err != nil {
			return err
		}
	}
	if err := makeParents(ctx, h, s.spec.directory()); err != nil {
		return err
	}
	if target, err := readLink(ctx, h.View(), s.spec.directory()); err != nil || target == store {
		return err
	}
	return h.Files.Link(ctx, s.spec.directory(), store)
}

// workOf is where a result is built, freshOf where it is gathered, and cameOf says
// which packages builddep brought.
func workOf(store string) string  { return store + ".work" }
func freshOf(store string) string { return store + ".new" }
func cameOf(store string) string  { return store + ".builddep" }

// topOf is rpmbuild's tree below the work, the one part of it that is the build
// user's.
func topOf(work string) string { return work + "/top" }

// build makes a result. Whatever another build left half made goes first.
func (s builds) build(ctx context.Context, h host.Host, store, key string) error {
	work := workOf(store)
	if err := erase(ctx, h, work, freshOf(store)); err != nil {
		return err
	}
	spec, err := s.layOut(ctx, h, work)
	if err != nil {
		return err
	}
	if s.spec.Builddep {
		if err := s.builddep(ctx, h, store, spec); err != nil {
			return err
		}
	}
	if err := s.rpmbuild(ctx, h, work, spec, "-bb"); err != nil {
		return err
	}
	if err := s.gather(ctx, h, store, key); err != nil {
		return err
	}
	return erase(ctx, h, work)
}

func erase(ctx context.Context, h host.Host, paths ...string) error {
	var left []string
	for _, p := range paths {
		if ok, err := there(ctx, h.View(), p); err != nil {
			return err
		} else if ok {
			left = append(left, p)
		}
	}
	if len(left) == 0 {
		return nil
	}
	_, err := h.Commands.Run(ctx, host.Command{Argv: append([]string{"rm", "-rf", "--one-file-system", "--"}, left...)})
	return err
}

// layOut makes rpmbuild's tree. It becomes the build user's last of all: where a
// directory is his, he could have root write through a link of his.
func (s builds) layOut(ctx context.Context, h host.Host, work string) (spec string, err error) {
	top := topOf(work)
	argv := []string{"install", "-d", "--", work, top}
	for _, dir := range []string{"SOURCES", "SPECS", "BUILD", "RPMS", "SRPMS", "BUILDROOT"} {
		argv = append(argv, top+"/"+dir)
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv}); err != nil {
		return "", fmt.Errorf("make the tree of the build: %w", err)
	}
	argv = slices.Concat([]string{"cp", "--"}, s.spec.Sources, []string{top + "/SOURCES/"})
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv}); err != nil {
		return "", fmt.Errorf("lay out the sources: %w", err)
	}
	content, err := s.specText(ctx, h.View())
	if err != nil {
		return "", err
	}
	spec = top + "/SPECS/" + path.Base(s.spec.Spec)
	if err := h.Files.Write(ctx, spec, content, host.Attributes{}); err != nil {
		return "", err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"chown", "-R", "-h", s.spec.User, "--", top}}); err != nil {
		return "", fmt.Errorf("give the tree of the build to %s: %w", s.spec.User, err)
	}
	return spec, nil
}

// specText is the spec file, from the host or from the first source.
func (s builds) specText(ctx context.Context, v host.View) ([]byte, error) {
	if path.IsAbs(s.spec.Spec) {
		return v.Files.Read(ctx, s.spec.Spec)
	}
	r, err := v.Commands.Query(ctx, host.Command{
		Argv:    []string{"tar", "-xOf", s.spec.Sources[0], "--wildcards", "--no-wildcards-match-slash", "*/" + s.spec.Spec},
		Timeout: 10 * time.Minute,
	})
	if err != nil || len(r.Stdout) == 0 {
		return nil, errors.Join(fmt.Errorf("there is no spec %s in %s", s.spec.Spec, s.spec.Sources[0]), err)
	}
	return r.Stdout, nil
}

// asUser is a program run by the build user.
func (s builds) asUser(argv ...string) []string {
	return append([]string{"runuser", "-u", s.spec.User, "--"}, argv...)
}

// options are the conditions and macros, as rpmbuild takes them.
func (s builds) options() []string {
	var args []string
	for _, name := range slices.Sorted(slices.Values(s.spec.With)) {
		args = append(args, "--with", name)
	}
	for _, name := range slices.Sorted(slices.Values(s.spec.Without)) {
		args = append(args, "--without", name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.spec.Defines)) {
		args = append(args, "--define", name+" "+s.spec.Defines[name])
	}
	return args
}

// rpmbuild runs as the build user, for what mode says: "-bb" makes RPMs. Its words are
// kept where it fails, and stay there when the rest is taken back.
func (s builds) rpmbuild(ctx context.Context, h host.Host, work, spec string, mode ...string) error {
	timeout, err := time.ParseDuration(s.spec.Timeout)
	if err != nil {
		timeout = 2 * time.Hour // left out
	}
	top := topOf(work)
	argv := slices.Concat([]string{"rpmbuild"}, mode, []string{"--define", "_topdir " + top}, s.options(), []string{spec})
	r, failed := h.Commands.Run(ctx, host.Command{
		Argv:    s.asUser(argv...),
		Env:     []string{"HOME=" + top, "USER=" + s.spec.User, "LOGNAME=" + s.spec.User},
		Dir:     top,
		Timeout: timeout,
	})
	var exit *host.ExitError
	if !errors.As(failed, &exit) {
		return failed
	}
	log := "/var/log/weft-rpm-build-" + s.spec.Name + ".log"
	err = makeParents(ctx, h, log)
	if err == nil {
		err = h.Files.Write(ctx, log, slices.Concat(r.Stdout, r.Stderr), host.Attributes{})
	}
	if err != nil {
		return errors.Join(failed, err)
	}
	phase, line := failure(said(r))
	if line == "" {
		line = failed.Error()
	}
	return &buildError{phase: phase, line: line, log: log, err: failed}
}
