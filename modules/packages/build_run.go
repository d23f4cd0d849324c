package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
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
	if err := s.rpmbuild(ctx, h, work, spec); err != nil {
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

// layOut makes rpmbuild's tree, which is the build user's.
func (s builds) layOut(ctx context.Context, h host.Host, work string) (spec string, err error) {
	owner := host.Attributes{Owner: s.spec.User}
	argv := []string{"install", "-d", "-o", s.spec.User, "--", work}
	for _, dir := range []string{"SOURCES", "SPECS", "BUILD", "RPMS", "SRPMS", "BUILDROOT"} {
		argv = append(argv, work+"/"+dir)
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv}); err != nil {
		return "", fmt.Errorf("make the tree of the build: %w", err)
	}
	argv = slices.Concat([]string{"cp", "--"}, s.spec.Sources, []string{work + "/SOURCES/"})
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv}); err != nil {
		return "", fmt.Errorf("lay out the sources: %w", err)
	}
	spec = work + "/SPECS/" + path.Base(s.spec.Spec)
	if path.IsAbs(s.spec.Spec) {
		content, err := h.Files.Read(ctx, s.spec.Spec)
		if err != nil {
			return "", err
		}
		return spec, h.Files.Write(ctx, spec, content, owner)
	}
	r, err := h.Commands.Query(ctx, host.Command{
		Argv:    []string{"tar", "-xOf", s.spec.Sources[0], "--wildcards", "--no-wildcards-match-slash", "*/" + s.spec.Spec},
		Timeout: 10 * time.Minute,
	})
	if err != nil || len(r.Stdout) == 0 {
		return "", errors.Join(fmt.Errorf("there is no spec %s in %s", s.spec.Spec, s.spec.Sources[0]), err)
	}
	return spec, h.Files.Write(ctx, spec, r.Stdout, owner)
}

// macros are the conditions and macros as dnf builddep takes them, which knows the
// macros alone that rpmbuild makes of a condition.
func (s builds) macros() []string {
	var args []string
	for _, name := range slices.Sorted(slices.Values(s.spec.With)) {
		args = append(args, "-D", "_with_"+name+" --with-"+name)
	}
	for _, name := range slices.Sorted(slices.Values(s.spec.Without)) {
		args = append(args, "-D", "_without_"+name+" --without-"+name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.spec.Defines)) {
		args = append(args, "-D", name+" "+s.spec.Defines[name])
	}
	return args
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

// rpmbuild runs as the build user. Its words are kept where it fails, and stay there
// when the rest is taken back.
func (s builds) rpmbuild(ctx context.Context, h host.Host, work, spec string) error {
	timeout, err := time.ParseDuration(s.spec.Timeout)
	if err != nil {
		timeout = 2 * time.Hour // left out
	}
	r, failed := h.Commands.Run(ctx, host.Command{
		Argv:    slices.Concat([]string{"runuser", "-u", s.spec.User, "--", "rpmbuild", "-bb", "--define", "_topdir " + work}, s.options(), []string{spec}),
		Env:     []string{"HOME=" + work, "USER=" + s.spec.User, "LOGNAME=" + s.spec.User},
		Dir:     work,
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

// A buildError says in which phase rpmbuild failed, why, and where its words lie.
type buildError struct {
	phase, line, log string
	err              error
}

func (e *buildError) Error() string {
	hint := ""
	if e.phase == "dependencies" {
		hint = "; builddep = true installs what a repository has of it"
	}
	return fmt.Sprintf("rpmbuild failed in %s: %s (log: %s%s)", e.phase, e.line, e.log, hint)
}

func (e *buildError) Unwrap() error { return e.err }

// failure finds the phase ("Executing(%build): …") and the line that says why.
func failure(text string) (phase, line string) {
	phase = "its preparation"
	var first, last, need string
	for raw := range strings.Lines(text) {
		l := strings.TrimSpace(raw)
		if after, ok := strings.CutPrefix(l, "Executing("); ok {
			if name, _, closed := strings.Cut(after, ")"); closed && name != "" {
				phase, first = name, ""
			}
			continue
		}
		low := strings.ToLower(l)
		switch {
		case l == "" || strings.HasPrefix(l, "+ ") || strings.HasPrefix(low, "rpm build errors") || strings.Contains(l, "Bad exit status from"):
			continue
		case strings.HasSuffix(low, "failed build dependencies:"):
			phase = "dependencies"
			continue
		case phase == "dependencies" && strings.Contains(l, " is needed by ") && need == "":
			need = l
		case first == "" && (strings.Contains(low, "error") || strings.Contains(low, "fatal") || strings.Contains(l, "***")):
			first = l
		}
		last = l
	}
	for _, l := range []string{need, first, last} {
		if l != "" {
			return phase, fmt.Sprintf("%.300s", l)
		}
	}
	return phase, ""
}

// gather makes a repository of what was built, beside its place, then renames it.
func (s builds) gather(ctx context.Context, h host.Host, store, key string) error {
	files, err := builtFiles(ctx, h.View(), workOf(store)+"/RPMS")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("rpmbuild made no RPM: the spec has no %files, or builds for another architecture")
	}
	fresh := freshOf(store)
	if err := h.Files.MakeDirectory(ctx, fresh, host.Attributes{}); err != nil {
		return err
	}
	argv := slices.Concat([]string{"cp", "--no-preserve=ownership", "--"}, files, []string{fresh + "/"})
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv}); err != nil {
		return fmt.Errorf("gather the RPMs: %w", err)
	}
	m := buildManifest{Key: key, Files: map[string]string{}}
	sums, err := sha256sums(ctx, h.View(), files)
	if err != nil {
		return err
	}
	for _, file := range files {
		m.Files[path.Base(file)] = sums[file]
	}
	if m.Version, err = builtVersion(ctx, h.View(), files); err != nil {
		return err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"createrepo_c", "-q", fresh}, Timeout: aptTime}); err != nil {
		return fmt.Errorf("index the repository: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := h.Files.Write(ctx, fresh+"/"+manifestName, b, host.Attributes{}); err != nil {
		return err
	}
	if err := erase(ctx, h, store); err != nil { // what is damaged serves until here
		return err
	}
	_, err = h.Commands.Run(ctx, host.Command{Argv: []string{"mv", "-T", "--", fresh, store}})
	return err
}

// builtFiles are the RPMs below rpmbuild's RPMS, which has a directory for each
// architecture.
func builtFiles(ctx context.Context, v host.View, dir string) ([]string, error) {
	var files []string
	arches, err := listed(ctx, v, dir)
	if err != nil {
		return nil, err
	}
	for _, arch := range arches {
		names, err := listed(ctx, v, dir+"/"+arch)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".rpm") {
				files = append(files, dir+"/"+arch+"/"+name)
			}
		}
	}
	return files, nil
}

// builtVersion is that of the package with the shortest name: the others are parts
// of it.
func builtVersion(ctx context.Context, v host.View, files []string) (string, error) {
	argv := append([]string{"rpm", "-qp", "--qf", `%{NAME}\t%{VERSION}-%{RELEASE}\n`}, files...)
	r, err := v.Commands.Query(ctx, host.Command{Argv: argv, Timeout: time.Minute})
	if err != nil {
		return "", fmt.Errorf("ask for the version of what was built: %w", explained(err))
	}
	name, version := "", ""
	for line := range strings.Lines(string(r.Stdout)) {
		n, v, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && (name == "" || len(n) < len(name)) {
			name, version = n, v
		}
	}
	return version, nil
}

// Undo takes the result with all that was laid out for it, the packages that builddep
// brought, and leads the link where it led.
func (s builds) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var record buildFound
	if err := json.Unmarshal(f.Before, &record); err != nil {
		return fmt.Errorf("decode the record of %s: %w", f.Object, err)
	}
	target, err := readLink(ctx, h.View(), record.Link)
	if err != nil {
		return err
	}
	if f.Settled && target != record.Target && target != record.Store {
		return fmt.Errorf("%s leads to %s: %w", record.Link, orNothingText(target), step.ErrConflict)
	}
	switch {
	case target == record.Target:
	case record.Target == "":
		err = h.Files.Remove(ctx, record.Link)
	default:
		err = h.Files.Link(ctx, record.Link, record.Target)
	}
	if err != nil || record.Store == "" {
		return err
	}
	if record.Builddep {
		if err := takeBack(ctx, h, record); err != nil {
			return err
		}
	}
	gone := []string{workOf(record.Store), freshOf(record.Store)}
	if !record.Was {
		gone = append(gone, cameOf(record.Store), record.Store)
	}
	if err := erase(ctx, h, gone...); err != nil {
		return err
	}
	return removeEmpty(ctx, h, record.Missing)
}

func orNothingText(target string) string {
	if target == "" {
		return "nothing"
	}
	return target
}
