package packages

import (
	"context"
	"fmt"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

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

// known asks whether rpm's keyring has the key. Only undo needs it, so a check that
// finds nothing to do spawns nothing.
func (p place) known(ctx context.Context, v host.View, have *RepositorySpec, want RepositorySpec) error {
	key, ok := want.Key.Get()
	if !ok {
		key, ok = have.KeyText.Get() // which a step without a key replaces
	}
	k, err := parseKey(key)
	if !ok || err != nil || p.by == apt {
		return nil // no key of weft's
	}
	have.Known, err = k.trusted(ctx, v)
	return err
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
	if p.by == apt {
		return nil
	}
	if want.undo() {
		return p.distrust(ctx, h, key, want)
	}
	k, err := parseKey(key)
	if err != nil {
		return err
	}
	if known, err := k.trusted(ctx, h.View()); err != nil || known {
		return err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"rpm", "--import", p.keyFile}}); err != nil {
		return fmt.Errorf("have rpm trust the key: %w", err)
	}
	return nil
}

// removeKey takes weft's own key of the repository; out of rpm's keyring only where
// this is the undo of what brought it there.
func (p place) removeKey(ctx context.Context, h host.Host, want RepositorySpec) error {
	content, ok, err := readText(ctx, h.View(), p.keyFile)
	if err != nil || !ok {
		return err
	}
	if err := p.distrust(ctx, h, content, want); err != nil {
		return err
	}
	return h.Files.Remove(ctx, p.keyFile)
}

// distrust takes a key out of rpm's keyring where this is the undo of what brought it
// there.
func (p place) distrust(ctx context.Context, h host.Host, key string, want RepositorySpec) error {
	k, err := parseKey(key)
	if err != nil || !want.undo() || want.Known || p.by == apt {
		return nil // no key of weft's
	}
	known, err := k.trusted(ctx, h.View())
	if err != nil || !known {
		return err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"rpm", "-e", k.rpm()}}); err != nil {
		return fmt.Errorf("take the key out of rpm's keyring: %w", err)
	}
	return nil
}
