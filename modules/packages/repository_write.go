package packages

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// managedFields are those that weft sets.
var managedFields = map[string][]string{
	apt: {"Types", "URIs", "Suites", "Components", "Architectures", "Enabled", "Trusted", "Signed-By"},
	dnf: {"name", "baseurl", "mirrorlist", "metalink", "enabled", "gpgcheck", "gpgkey", "priority", "module_hotfixes", "metadata_expire"},
}

// Write writes the key before what names it, and takes it after.
func (r repositories) Write(ctx context.Context, h host.Host, _, want RepositorySpec) error {
	p, err := r.place(ctx, h.View(), want)
	if err != nil {
		return err
	}
	key, ok := want.Key.Get()
	switch {
	case want.leavesKey():
		ok = false
	case want.undo():
		key, ok = want.keyText().Get()
	case !want.State.There():
		ok = false
	}
	if want.undo() { // first: the keyring is not compared, and an undo that is cut shall find something to do
		if err := p.distrust(ctx, h, want, key); err != nil {
			return err
		}
	}
	if ok {
		if err := p.writeKey(ctx, h, key, want); err != nil {
			return err
		}
	}
	if err := p.write(ctx, h, want); err != nil {
		return err
	}
	if err := p.writePin(ctx, h, want); err != nil {
		return err
	}
	if !ok && !want.leavesKey() && (want.undo() || want.Key.Managed() || want.KeyFile.Managed() || !want.State.There()) {
		if err := p.removeKey(ctx, h); err != nil {
			return err
		}
	}
	return removeEmpty(ctx, h, want.Missing)
}

// removeEmpty takes directories that an apply made, the innermost first, unless
// another hand put something there.
func removeEmpty(ctx context.Context, h host.Host, dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		names, err := listed(ctx, h.View(), dir)
		if err != nil {
			return err
		}
		if ok, err := there(ctx, h.View(), dir); err != nil || !ok || len(names) > 0 {
			continue
		}
		if err := h.Files.Remove(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

// write writes the file that holds the repository.
func (p place) write(ctx context.Context, h host.Host, want RepositorySpec) error {
	next, keep := p.edited(want)
	if found, ok := want.Text.Get(); ok && want.File == p.file && p.likeBefore(found, want) {
		next, keep = found, true
	}
	switch {
	case !keep:
		return h.Files.Remove(ctx, p.file)
	case p.exists && next == p.text:
		return nil
	}
	if err := makeParents(ctx, h, p.file); err != nil {
		return err
	}
	return h.Files.Write(ctx, p.file, []byte(next), host.Attributes{})
}

// edited is the file with the repository as wanted; keep says whether anything is
// left in it.
func (p place) edited(want RepositorySpec) (text string, keep bool) {
	if !want.State.There() {
		if p.by == apt || !p.there {
			return p.text, p.by != apt && p.exists
		}
		rest := slices.Concat(p.lines[:p.from-1], p.lines[p.to:])
		return joinLines(rest), strings.TrimSpace(strings.Join(rest, "")) != ""
	}
	if !p.there {
		if len(p.lines) > 0 && p.lines[len(p.lines)-1] != "" {
			p.lines = append(p.lines, "")
		}
		if p.by != apt {
			p.lines = append(p.lines, "["+want.Name+"]")
		}
		p.from = len(p.lines)
		p.to = p.from
	}
	f := p.fields()
	p.setFields(&f, want)
	return joinLines(slices.Concat(p.lines[:p.from], f.lines, p.lines[p.to:])), true
}

func (p place) setFields(f *fields, want RepositorySpec) {
	if p.by == apt {
		p.setApt(f, want)
	} else {
		p.setRepo(f, want)
	}
	switch {
	case want.Key.Or("") != "":
		f.set(p.keyField(), p.keyValue(p.keyFile))
	case want.KeyFile.Or("") != "":
		f.set(p.keyField(), p.keyValue(want.KeyFile.Or("")))
	case want.Key.Managed() || want.KeyFile.Managed():
		f.drop(p.keyField())
	}
}

func (p place) setApt(f *fields, want RepositorySpec) {
	if want.Types == nil && !p.there {
		want.Types = []string{"deb"}
	}
	setWords(f, "Types", want.Types, " ")
	setURIs(f, "URIs", want.URIs, " ")
	setWords(f, "Suites", want.Suites, " ")
	setWords(f, "Components", want.Components, " ")
	setWords(f, "Architectures", want.Architectures, " ")
	setTruth(f, "Enabled", want.Enabled, "yes", "no", no(*f, "Enabled"))
	if check, ok := want.GPGCheck.Get(); ok && check {
		f.drop("Trusted")
	} else if ok && !yes(*f, "Trusted") {
		f.set("Trusted", "yes")
	}
}

func (p place) setRepo(f *fields, want RepositorySpec) {
	if !p.there {
		f.set("name", want.Description.Or(want.Name))
	}
	setText(f, "name", want.Description)
	setURIs(f, "baseurl", want.URIs, "\n        ")
	setText(f, "mirrorlist", want.Mirrorlist)
	setText(f, "metalink", want.Metalink)
	setTruth(f, "enabled", want.Enabled, "1", "0", no(*f, "enabled"))
	if check, ok := want.GPGCheck.Get(); !ok || truth(*f, "gpgcheck") != step.Is(check) {
		setTruth(f, "gpgcheck", want.GPGCheck, "1", "0", false)
	}
	if hot, ok := want.ModuleHotfixes.Get(); !ok || truth(*f, "module_hotfixes") != step.Is(hot) {
		setTruth(f, "module_hotfixes", want.ModuleHotfixes, "1", "0", false)
	}
	if n, ok := want.Priority.Get(); ok {
		f.set("priority", strconv.Itoa(n))
	} else if want.Priority.Managed() {
		f.drop("priority")
	}
	if !p.there && len(want.URIs) > 0 && !slices.ContainsFunc(want.URIs, func(u string) bool { return !strings.HasPrefix(u, "file:") }) {
		f.set("metadata_expire", "1") // seconds: to look costs nothing, and it is built anew by hand
	}
}

func setText(f *fields, name string, a step.Attr[string]) {
	if value, ok := a.Get(); ok {
		f.set(name, value)
	} else if a.Managed() {
		f.drop(name)
	}
}

func setWords(f *fields, name string, words []string, between string) {
	if words == nil || slices.Equal(slices.Sorted(slices.Values(words)), slices.Sorted(slices.Values(f.words(name)))) {
		return
	}
	if len(words) == 0 {
		f.drop(name)
		return
	}
	f.set(name, strings.Join(words, between))
}

// setURIs leaves another spelling of the same list.
func setURIs(f *fields, name string, uris []string, between string) {
	if !slices.Equal(uris, canonicalURLs(f.words(name))) {
		setWords(f, name, uris, between)
	}
}

// setTruth leaves out what says nothing: on, where no field says off.
func setTruth(f *fields, name string, a step.Attr[bool], on, off string, isOff bool) {
	value, ok := a.Get()
	switch {
	case !ok && a.Managed():
		f.drop(name)
	case ok && !value && !isOff:
		f.set(name, off)
	case ok && value && (isOff || !strings.EqualFold(name, "enabled")):
		f.set(name, on)
	}
}

// likeBefore says whether the text that was found does for what is wanted, and
// nothing else of the file was changed since: an undo then brings back its bytes.
func (p place) likeBefore(found string, want RepositorySpec) bool {
	was := place{by: p.by, file: p.file, text: found, exists: true, lines: splitLines(found), keyFile: p.keyFile}
	if p.by == apt {
		was.to, was.there = len(was.lines), strings.TrimSpace(found) != ""
	} else {
		was.from, was.to, was.there = section(was.lines, want.Name)
	}
	if was.there != want.State.There() {
		return false
	}
	again, _ := was.edited(want)
	if !p.there { // the section went whole, with what others wrote in it
		was.lines = slices.Concat(was.lines[:max(was.from-1, 0)], was.lines[was.to:])
		was.there = false
	}
	return again == found && slices.Equal(was.others(), p.others())
}

// others are the lines of the file that weft does not write, blank ones aside.
func (p place) others() []string {
	lines := p.lines
	if p.there {
		f := p.fields()
		by := p.by
		if by == yum {
			by = dnf
		}
		for _, name := range managedFields[by] {
			f.drop(name)
		}
		lines = slices.Concat(p.lines[:max(p.from-1, 0)], f.lines, p.lines[p.to:])
	}
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.TrimSpace(line) == "" })
}
