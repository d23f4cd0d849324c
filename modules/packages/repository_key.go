package packages

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// keyFilePrefix begins the names of key files of dnf and yum.
const keyFilePrefix = "RPM-GPG-KEY-"

// keyField is the field that names the key.
func (p place) keyField() string {
	if p.by == apt {
		return "Signed-By"
	}
	return "gpgkey"
}

// keyValue is how the field names a key of the host.
func (p place) keyValue(file string) string {
	if p.by == apt {
		return file
	}
	return "file://" + file
}

// readKey tells weft's own key of the repository from another.
func (p place) readKey(ctx context.Context, v host.View, have *RepositorySpec) error {
	have.Key, have.KeyFile = step.None[string](), step.None[string]()
	content, ok, err := readText(ctx, v, p.keyFile)
	if ok {
		have.KeyText = step.Is(content)
	}
	if err != nil {
		return err
	}
	value := ""
	if p.there {
		value, _ = p.fields().get(p.keyField())
	}
	if value == p.keyValue(p.keyFile) {
		have.Key = have.KeyText
	} else if value != "" {
		have.KeyFile = step.Is(strings.TrimPrefix(value, "file://"))
	}
	return nil
}

// addable are the keys that the step will bring into rpm's keyring. Only undo needs them,
// so a check that finds nothing to do spawns nothing.
func (p place) addable(ctx context.Context, v host.View, have *RepositorySpec, want RepositorySpec) error {
	if p.by == apt || want.undo() {
		return nil
	}
	lacks, err := lacking(ctx, v, keysIn(want.Key.Or("")))
	for _, key := range lacks {
		have.Added = append(have.Added, key.rpm())
	}
	return err
}

// keysIn are the keys of texts, each once. What is no key is another hand's.
func keysIn(texts ...string) []publicKey {
	var all []publicKey
	for _, text := range texts {
		keys, err := parseKeys(text)
		if err != nil {
			continue
		}
		for _, key := range keys {
			if !slices.Contains(all, key) {
				all = append(all, key)
			}
		}
	}
	return all
}

// leavesKey says whether a state that was found tells nothing of the key: the step did
// not manage it.
func (s *RepositorySpec) leavesKey() bool {
	return s.undo() && s.Key.IsZero() && s.KeyFile.IsZero()
}

// keyText is what an undo leaves in the file of the key: what was found, or what
// another hand made of it since.
func (s *RepositorySpec) keyText() step.Attr[string] {
	if _, ok := s.Key.Get(); ok {
		return s.Key
	}
	return s.KeyText
}

// writeKey writes the key and has rpm trust it.
func (p place) writeKey(ctx context.Context, h host.Host, key string, want RepositorySpec) error {
	have, ok, err := readText(ctx, h.View(), p.keyFile)
	if err != nil {
		return err
	}
	if !ok || have != key {
		if err := makeParents(ctx, h, p.keyFile); err != nil {
			return err
		}
		if err := h.Files.Write(ctx, p.keyFile, []byte(key), host.Attributes{}); err != nil {
			return err
		}
	}
	if p.by == apt || want.undo() {
		return nil
	}
	return p.trust(ctx, h, key)
}

// trust has rpm import the file of the key, where its keyring lacks a key of it.
func (p place) trust(ctx context.Context, h host.Host, text string) error {
	keys, err := parseKeys(text)
	if err != nil {
		return err
	}
	lacks, err := lacking(ctx, h.View(), keys)
	if err != nil || len(lacks) == 0 {
		return err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"rpm", "--import", p.keyFile}}); err != nil {
		return fmt.Errorf("have rpm trust the key: %w", err)
	}
	if lacks, err = lacking(ctx, h.View(), lacks); err != nil || len(lacks) == 0 {
		return err
	}
	return fmt.Errorf("rpm read %s and does not trust the key %s of it: give each key a block of its own", p.keyFile, lacks[0].id)
}

// lacking are the keys that rpm's keyring does not have.
func lacking(ctx context.Context, v host.View, keys []publicKey) ([]publicKey, error) {
	var lacks []publicKey
	for _, key := range keys {
		trusted, err := trusted(ctx, v, key.rpm())
		if err != nil {
			return nil, err
		}
		if !trusted {
			lacks = append(lacks, key)
		}
	}
	return lacks, nil
}

// removeKey takes weft's own key file of the repository.
func (p place) removeKey(ctx context.Context, h host.Host) error {
	ok, err := there(ctx, h.View(), p.keyFile)
	if err != nil || !ok {
		return err
	}
	return h.Files.Remove(ctx, p.keyFile)
}

// distrust takes the keys out of rpm's keyring that the step brought there, but for those
// of a file that stays: own is the text of the repository's own, which did without those
// that it was found with.
func (p place) distrust(ctx context.Context, h host.Host, want RepositorySpec, own string) error {
	if p.by == apt || len(want.Added) == 0 {
		return nil
	}
	others, err := p.otherKeys(ctx, h.View())
	if err != nil {
		return err
	}
	idle := keysIn(want.KeyText.Or(""))
	needed := slices.DeleteFunc(keysIn(own), func(k publicKey) bool { return slices.Contains(idle, k) })
	needed = append(needed, keysIn(others...)...)
	for _, name := range want.Added {
		if slices.ContainsFunc(needed, func(k publicKey) bool { return k.rpm() == name }) {
			continue
		}
		known, err := trusted(ctx, h.View(), name)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"rpm", "-e", name}}); err != nil {
			return fmt.Errorf("take the key out of rpm's keyring: %w", err)
		}
	}
	return nil
}

// otherKeys are the texts of the key files of other repositories.
func (p place) otherKeys(ctx context.Context, v host.View) ([]string, error) {
	dir := path.Dir(p.keyFile)
	names, err := listed(ctx, v, dir)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, name := range names {
		file := path.Join(dir, name)
		if !strings.HasPrefix(name, keyFilePrefix) || file == p.keyFile {
			continue
		}
		text, _, err := readText(ctx, v, file)
		if err != nil {
			return nil, fmt.Errorf("read the keys that other repositories need: %w", err)
		}
		texts = append(texts, text)
	}
	return texts, nil
}
