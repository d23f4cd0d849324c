package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// builds is the step: what it makes is more than a state that could be written back.
type builds struct{ spec BuildSpec }

// A buildManifest lies beside the RPMs, as weft.json.
type buildManifest struct {
	Key     string            `json:"key"`
	Version string            `json:"version"`
	Files   map[string]string `json:"files"` // name to SHA-256
}

const manifestName = "weft.json"

// buildFound is the finding's record.
type buildFound struct {
	Store    string   `json:"store"`             // the result that the step asks for
	Was      bool     `json:"was,omitzero"`      // whether it was there, whole or not
	Link     string   `json:"link"`              // where the repository is found
	Target   string   `json:"target,omitzero"`   // where it led; empty for no link
	Missing  []string `json:"missing,omitzero"`  // directories that were not there
	Tool     string   `json:"tool"`              // dnf or yum
	Builddep bool     `json:"builddep,omitzero"` // whether packages may have come with it
}

// store is where the result of a key lies.
func (s builds) store(key string) string { return buildStore + "/" + s.spec.Name + "-" + key }

// Check compares the inputs with the result that the link leads to.
func (s builds) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: "rpm build " + s.spec.Name}
	fail := func(err error) (step.Finding, error) { return f, fmt.Errorf("read %s: %w", f.Object, err) }
	record := buildFound{Link: s.spec.directory()}
	var err error
	if record.Target, err = readLink(ctx, v, record.Link); err != nil {
		return fail(err)
	}
	if !s.spec.State.There() {
		if record.Target != "" {
			f.Deltas = []step.Delta{step.Change("state", step.Present, nil)}
			f.Before, err = json.Marshal(record)
		}
		return f, err
	}
	if err := s.userThere(ctx, v); err != nil {
		return fail(err)
	}
	key, err := s.key(ctx, v)
	if err != nil {
		return fail(err)
	}
	record.Store = s.store(key)
	manifest, whole, err := readManifest(ctx, v, record.Store)
	if err != nil {
		return fail(err)
	}
	outputs := BuildOutputs{Key: key, Directory: record.Link}
	switch {
	case record.Target != record.Store:
		f.Deltas = []step.Delta{step.Change("state", orNil(strings.TrimPrefix(record.Target, buildStore+"/")), path.Base(record.Store))}
	case !whole:
		f.Deltas = []step.Delta{step.Change("files", "damaged", step.Present)}
	}
	if whole {
		outputs.Version, outputs.RPMs = manifest.Version, map[string]string{}
		for name, sum := range manifest.Files {
			outputs.RPMs[record.Link+"/"+name] = sum
		}
	}
	if f.Outputs, err = marshalKnown(outputs); err != nil || !f.Changed() {
		return f, err
	}
	return f, s.record(ctx, v, &f, record)
}

// marshalKnown leaves out what only the build will show.
func marshalKnown(o BuildOutputs) (json.RawMessage, error) {
	if o.RPMs == nil {
		return json.Marshal(map[string]string{"key": o.Key, "directory": o.Directory})
	}
	return json.Marshal(o)
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (s builds) record(ctx context.Context, v host.View, f *step.Finding, record buildFound) error {
	var err error
	if record.Was, err = there(ctx, v, record.Store); err != nil {
		return err
	}
	record.Builddep = s.spec.Builddep && !record.Was
	if record.Tool, err = s.tool(ctx, v); err != nil {
		return err
	}
	for _, leaf := range []string{buildStore, path.Dir(record.Link)} {
		var missing []string
		for dir := leaf; dir != "/"; dir = path.Dir(dir) {
			ok, err := there(ctx, v, dir)
			if err != nil {
				return err
			}
			if !ok && !slices.Contains(record.Missing, dir) {
				missing = append(missing, dir)
			}
		}
		slices.Reverse(missing) // the outermost first
		record.Missing = append(record.Missing, missing...)
	}
	f.Before, err = json.Marshal(record)
	return err
}

// tool is who installs what the build needs. A host of another family builds without.
func (s builds) tool(ctx context.Context, v host.View) (string, error) {
	for _, tool := range []string{dnf, yum} {
		if ok, err := there(ctx, v, "/usr/bin/"+tool); err != nil || ok {
			return tool, err
		}
	}
	if s.spec.Builddep {
		return "", fmt.Errorf("builddep needs dnf or yum, and the host has neither: %w", host.ErrNotReady)
	}
	return "", nil
}

// userThere looks for the build user. A step before may bring it.
func (s builds) userThere(ctx context.Context, v host.View) error {
	users, _, err := readText(ctx, v, "/etc/passwd")
	if err != nil {
		return err
	}
	for line := range strings.Lines(users) {
		words := strings.Split(line, ":")
		if len(words) < 4 || words[0] != s.spec.User {
			continue
		}
		if words[2] == "0" {
			return fmt.Errorf("user %s is root by another name: rpmbuild must not run as root", s.spec.User)
		}
		return nil
	}
	return fmt.Errorf("the host has no user %s to build as: make it by a step before: %w", s.spec.User, host.ErrNotReady)
}

// readLink is where the repository's link leads; empty where there is none.
func readLink(ctx context.Context, v host.View, link string) (string, error) {
	info, err := v.Files.Stat(ctx, link)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Type != host.Symlink {
		return "", fmt.Errorf("%s is no link of weft's: choose another directory, or move it out of the way", link)
	}
	return info.Target, nil
}

// key is the digest of the inputs.
func (s builds) key(ctx context.Context, v host.View) (string, error) {
	inputs := slices.Clone(s.spec.Sources)
	if path.IsAbs(s.spec.Spec) {
		inputs = append(inputs, s.spec.Spec)
	}
	for _, input := range inputs {
		ok, err := there(ctx, v, input)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", fmt.Errorf("%s is not there: a download brings it: %w", input, host.ErrNotReady)
		}
	}
	sums, err := sha256sums(ctx, v, inputs)
	if err != nil {
		return "", err
	}
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "--eval", "%{_target_cpu} %{?dist}"}, Timeout: time.Minute})
	if err != nil {
		return "", fmt.Errorf("ask rpm for its target: %w", explained(err))
	}
	release, _, err := readText(ctx, v, "/etc/os-release")
	if err != nil {
		return "", err
	}
	d := sha256.New()
	add := func(words ...string) {
		for _, word := range words {
			fmt.Fprintf(d, "%q\n", word)
		}
	}
	for _, input := range inputs {
		add(path.Base(input), sums[input])
	}
	add(s.spec.Spec, strings.TrimSpace(string(r.Stdout)))
	for line := range strings.Lines(release) {
		if strings.HasPrefix(line, "ID=") || strings.HasPrefix(line, "VERSION_ID=") {
			add(strings.TrimSpace(line))
		}
	}
	add("with")
	add(slices.Sorted(slices.Values(s.spec.With))...)
	add("without")
	add(slices.Sorted(slices.Values(s.spec.Without))...)
	for _, name := range slices.Sorted(maps.Keys(s.spec.Defines)) {
		add("define", name, s.spec.Defines[name])
	}
	return hex.EncodeToString(d.Sum(nil)[:8]), nil
}

// sha256sums asks for the digests of files in one call: they may be big.
func sha256sums(ctx context.Context, v host.View, files []string) (map[string]string, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: append([]string{"sha256sum", "--"}, files...), Timeout: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(r.Stdout)) {
		if sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  "); ok && len(sum) == 64 {
			sums[name] = sum
		}
	}
	for _, file := range files {
		if sums[file] == "" {
			return nil, fmt.Errorf("sha256sum said nothing of %s", file)
		}
	}
	return sums, nil
}

// readManifest reads what a result holds, and whether all of it is there.
func readManifest(ctx context.Context, v host.View, store string) (m buildManifest, whole bool, err error) {
	text, ok, err := readText(ctx, v, store+"/"+manifestName)
	if err != nil || !ok {
		return m, false, err
	}
	if json.Unmarshal([]byte(text), &m) != nil || len(m.Files) == 0 {
		return m, false, nil // a stranger's, or half a one: built anew
	}
	var files []string
	for name := range m.Files {
		files = append(files, store+"/"+name)
		if ok, err := there(ctx, v, store+"/"+name); err != nil || !ok {
			return m, false, err
		}
	}
	if ok, err := there(ctx, v, store+"/repodata/repomd.xml"); err != nil || !ok {
		return m, false, err
	}
	slices.Sort(files)
	sums, err := sha256sums(ctx, v, files)
	if err != nil {
		return m, false, err
	}
	for name, sum := range m.Files {
		if sums[store+"/"+name] != sum {
			return m, false, nil
		}
	}
	return m, true, nil
}
