package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// repositories is the resource of kind package_repository.
type repositories struct{}

// A place is where a family keeps a repository.
type place struct {
	by      string
	file    string // that holds it, or will
	text    string // of that file
	exists  bool
	lines   []string // of the file
	from    int      // the lines of the repository itself, without a header
	to      int
	there   bool // whether the file has it
	keyFile string
	pinFile string
}

func (repositories) place(ctx context.Context, v host.View, s RepositorySpec) (place, error) {
	by, err := managerOf(ctx, v, s.By)
	if err != nil {
		return place{}, err
	}
	if names := s.foreign(by); len(names) > 0 {
		return place{}, fmt.Errorf("%s means nothing to %s, which this host has", strings.Join(names, ", "), by)
	}
	if by == apt {
		return aptPlace(ctx, v, s.Name)
	}
	p, err := repoPlace(ctx, v, by, s.Name)
	if err == nil && s.undo() && !p.there && p.file != s.File { // it went out of a file of others
		p.file = s.File
		p.text, p.exists, err = readText(ctx, v, p.file)
		p.lines = splitLines(p.text)
	}
	return p, err
}

func aptPlace(ctx context.Context, v host.View, name string) (place, error) {
	p := place{
		by: apt, file: "/etc/apt/sources.list.d/" + name + ".sources",
		keyFile: "/etc/apt/keyrings/" + name + ".asc", pinFile: "/etc/apt/preferences.d/" + name,
	}
	var err error
	if p.text, p.exists, err = readText(ctx, v, p.file); err != nil {
		return p, err
	}
	p.lines = splitLines(p.text)
	p.to = len(p.lines)
	stanzas := 0
	paragraphs(p.text, func() {}, func(string, string) {}, func() { stanzas++ })
	if stanzas > 1 {
		return p, fmt.Errorf("%s holds %d sources, and weft manages files with one: split it", p.file, stanzas)
	}
	p.there = stanzas > 0
	return p, nil
}

func repoPlace(ctx context.Context, v host.View, by, name string) (place, error) {
	const dir = "/etc/yum.repos.d"
	p := place{by: by, file: dir + "/" + name + ".repo", keyFile: "/etc/pki/rpm-gpg/" + keyFilePrefix + name}
	names, err := listed(ctx, v, dir)
	if err != nil {
		return p, err
	}
	for _, file := range names {
		if !strings.HasSuffix(file, ".repo") {
			continue
		}
		text, _, err := readText(ctx, v, dir+"/"+file)
		if err != nil {
			return p, err
		}
		lines := splitLines(text)
		from, to, ok := section(lines, name)
		if ok || file == name+".repo" {
			p.file, p.text, p.exists, p.lines, p.from, p.to, p.there = dir+"/"+file, text, true, lines, from, to, ok
		}
		if ok {
			break
		}
	}
	return p, nil
}

func readText(ctx context.Context, v host.View, path string) (text string, ok bool, err error) {
	b, err := v.Files.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(b), err == nil, err
}

func (p place) fields() fields {
	if p.by == apt {
		return deb822Fields(p.lines[p.from:p.to])
	}
	return iniFields(p.lines[p.from:p.to])
}

// Read reads the files of one repository.
func (r repositories) Read(ctx context.Context, v host.View, want RepositorySpec) (RepositorySpec, error) {
	p, err := r.place(ctx, v, want)
	if err != nil {
		return RepositorySpec{}, err
	}
	have := RepositorySpec{Name: want.Name, By: want.By, State: step.Absent, File: p.file}
	if p.exists {
		have.Text = step.Is(p.text)
	}
	if p.there {
		have.State = step.Present
		p.read(&have)
	}
	if err := p.readKey(ctx, v, &have); err != nil {
		return have, err
	}
	if err := p.readPin(ctx, v, &have, want); err != nil {
		return have, err
	}
	if want.State.There() && !p.there && !want.reachable(p.by) {
		return have, errors.New("the host does not have it, and the step does not say where it is: " + where(p.by))
	}
	differs := len(step.Compare(have, want)) > 0
	if want.State.There() {
		have.forget(want)
	}
	if err := p.missing(ctx, v, &have); err != nil || !differs {
		return have, err
	}
	return have, p.addable(ctx, v, &have, want)
}

// forget leaves out what the step does not manage, so that an undo leaves it alone:
// all that want leaves out too. A key stands where the other kind of key stood.
func (s *RepositorySpec) forget(want RepositorySpec) {
	if !want.Key.IsZero() || !want.KeyFile.IsZero() {
		want.Key, want.KeyFile = step.None[string](), step.None[string]()
	}
	have, wanted := reflect.ValueOf(s).Elem(), reflect.ValueOf(want)
	for i := range wanted.NumField() {
		f := step.FieldOf(wanted.Type().Field(i))
		if !f.Has("found") && f.Name != "state" && wanted.Field(i).IsZero() {
			have.Field(i).SetZero()
		}
	}
}

func where(by string) string {
	if by == apt {
		return "uris and suites"
	}
	return "uris, mirrorlist or metalink"
}

// reachable says whether the spec tells where a new repository is.
func (s *RepositorySpec) reachable(by string) bool {
	if by == apt {
		return len(s.URIs) > 0 && len(s.Suites) > 0
	}
	return len(s.URIs) > 0 || s.Mirrorlist.Or("") != "" || s.Metalink.Or("") != ""
}

// read fills in what the fields say.
func (p place) read(have *RepositorySpec) {
	f := p.fields()
	if p.by == apt {
		have.URIs = canonicalURLs(f.words("URIs"))
		have.Types, have.Suites = f.words("Types"), f.words("Suites")
		have.Components, have.Architectures = f.words("Components"), f.words("Architectures")
		have.Enabled = step.Is(!no(f, "Enabled"))
		have.GPGCheck = step.Is(!yes(f, "Trusted"))
		return
	}
	have.URIs = canonicalURLs(f.words("baseurl"))
	have.Mirrorlist, have.Metalink, have.Description = text(f, "mirrorlist"), text(f, "metalink"), text(f, "name")
	have.Enabled = step.Is(!no(f, "enabled"))
	have.GPGCheck, have.ModuleHotfixes = truth(f, "gpgcheck"), truth(f, "module_hotfixes")
	have.Priority = step.None[int]()
	if value, ok := f.get("priority"); ok {
		if n, err := strconv.Atoi(value); err == nil {
			have.Priority = step.Is(n)
		}
	}
}

func canonicalURLs(list []string) []string {
	for i, uri := range list {
		list[i] = canonicalURL(uri)
	}
	return list
}

func no(f fields, name string) bool {
	value, ok := f.get(name)
	return ok && slices.Contains([]string{"0", "no", "false", "off"}, strings.ToLower(value))
}

func yes(f fields, name string) bool {
	value, ok := f.get(name)
	return ok && slices.Contains([]string{"1", "yes", "true", "on"}, strings.ToLower(value))
}

func text(f fields, name string) step.Attr[string] {
	if value, ok := f.get(name); ok {
		return step.Is(value)
	}
	return step.None[string]()
}

func truth(f fields, name string) step.Attr[bool] {
	if _, ok := f.get(name); ok {
		return step.Is(yes(f, name))
	}
	return step.None[bool]()
}

// missing are the directories that are not there, and those that are empty.
func (p place) missing(ctx context.Context, v host.View, have *RepositorySpec) error {
	for _, dir := range []string{path.Dir(p.file), path.Dir(path.Dir(p.keyFile)), path.Dir(p.keyFile)} {
		ok, err := there(ctx, v, dir)
		if err != nil {
			return err
		}
		if !ok {
			have.Missing = append(have.Missing, dir)
			continue
		}
		names, err := listed(ctx, v, dir)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			have.Empty = append(have.Empty, dir)
		}
	}
	return nil
}

// undo says whether this is a state that was found, to be brought back.
func (s *RepositorySpec) undo() bool { return s.File != "" }

// Diff compares the attributes, and what lies beside the file.
func (repositories) Diff(have, want RepositorySpec) []step.Delta {
	deltas := step.Compare(have, want)
	for i, d := range deltas {
		deltas[i].Secret = d.Secret || slices.Contains([]string{"uris", "mirrorlist", "metalink", "key_file"}, d.Path) && have.withUser()
	}
	if !want.undo() {
		if want.Pin.Or(noPin) != noPin && len(have.Unpinned) > 0 {
			deltas = append(deltas, step.Change("pin_text", "not of "+strings.Join(have.Unpinned, ", "), "of each server"))
		}
		return deltas
	}
	if text, ok := want.pinText(); ok && have.PinText != step.Is(text) {
		deltas = append(deltas, step.Change("pin_text", have.PinText, text))
	}
	if key := want.keyText(); have.KeyText != key && !want.leavesKey() {
		deltas = append(deltas, step.Change("key_text", have.KeyText, key))
	}
	for _, dir := range want.Missing {
		if slices.Contains(have.Empty, dir) { // what others use by now stays
			return append(deltas, step.Change("missing", have.Missing, want.Missing))
		}
	}
	return deltas
}

// Advise warns of what nobody checks.
func (repositories) Advise(f *step.Finding, _, want RepositorySpec) {
	if check, ok := want.GPGCheck.Get(); ok && !check && f.Changed() && want.State.There() {
		f.Warnings = append(f.Warnings, "its packages are installed unchecked: gpgcheck is false")
	}
}

// withUser says whether a URL holds a user, and perhaps a password: another hand wrote
// it, and neither a plan nor a log shall show it.
func (s *RepositorySpec) withUser() bool {
	return slices.ContainsFunc(append(slices.Clone(s.URIs), s.Mirrorlist.Or(""), s.Metalink.Or(""), s.KeyFile.Or("")), func(uri string) bool {
		u, err := url.Parse(uri)
		return err == nil && u.User != nil || err != nil && strings.Contains(uri, "@")
	})
}
