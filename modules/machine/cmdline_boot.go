package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/trial"
)

// boots is how a machine was booted, and how it will be.
type boots struct {
	place  place
	stores stores
	menu   menu
	env    map[string]string
	hasEnv bool
	// running is the kernel's command line without what a trial adds, and
	// trial the id of the trial that this boot is.
	running []span
	image   string // the kernel's file, as GRUB calls it
	trial   string
	id      string // of this boot
	pending *trial.State
}

// readBoots looks at all of it.
func readBoots(ctx context.Context, v host.View) (boots, error) {
	var b boots
	line, err := v.Kernel.Get(ctx, "/proc/cmdline")
	if err != nil {
		return b, err
	}
	b.trial, b.running = stripTrial(kernelWords(line))
	if b.id, err = v.Kernel.Get(ctx, "/proc/sys/kernel/random/boot_id"); err != nil {
		return b, err
	}
	i := slices.IndexFunc(b.running, func(w span) bool { return w.argument.key() == "BOOT_IMAGE" })
	if i < 0 {
		return b, errors.New("the kernel was not started by GRUB (there is no BOOT_IMAGE in /proc/cmdline), so GRUB's configuration says nothing of its arguments; change them where it is started from")
	}
	_, b.image, _ = strings.Cut(string(b.running[i].argument), "=")
	var config string
	if b.place, config, err = findPlace(ctx, v); err != nil {
		return b, err
	}
	b.menu = readMenu(config)
	block, err := v.Files.Read(ctx, b.place.env)
	if err == nil {
		b.hasEnv = true
		b.env, _ = readEnv(block) // noOneShot says where it is damaged
	} else if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b.stores, err = b.readStores(ctx, v); err != nil {
		return b, err
	}
	state, err := trial.Load(ctx, v)
	switch {
	case err == nil:
		b.pending = &state
	case !errors.Is(err, fs.ErrNotExist):
		return b, err
	}
	return b, nil
}

// stripTrial takes what a trial adds out of the words of a command line.
func stripTrial(words []span) (id string, rest []span) {
	text := make([]string, len(words))
	for i, w := range words {
		text[i] = string(w.argument)
	}
	kept, id := trial.Strip(text)
	if id == "" {
		return "", words
	}
	at := slices.IndexFunc(words, func(w span) bool { return strings.HasPrefix(string(w.argument), "weft.trial=") })
	return id, slices.Delete(slices.Clone(words), at, at+len(words)-len(kept))
}

// readStores reads every file that holds arguments.
func (b *boots) readStores(ctx context.Context, v host.View) (stores, error) {
	var all stores
	add := func(name string, f format) error {
		text, err := v.Files.Read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		all = append(all, store{Path: name, Text: string(text), Format: f})
		return nil
	}
	if err := add(defaultsFile, shellVariables); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no %s, from which %s is made", defaultsFile, b.place.config)
	}
	if b.place.variable == normalEntry { // only Debian's grub-mkconfig reads the directory
		if err := eachFile(ctx, v, defaultsDir, ".cfg", func(name string) error { return add(name, shellVariables) }); err != nil {
			return nil, err
		}
	}
	if b.place.entries == "" {
		return all, nil
	}
	if err := add("/etc/kernel/cmdline", oneLine); err != nil {
		return nil, err
	}
	if err := eachFile(ctx, v, b.place.entries, ".conf", func(name string) error {
		if strings.Contains(name, "-rescue") || strings.HasSuffix(name, "/"+trial.Entry+".conf") {
			return nil
		}
		return add(name, optionsLine)
	}); err != nil {
		return nil, err
	}
	if value, ok := b.env["kernelopts"]; ok {
		all = append(all, store{Path: b.place.env, Text: value, Format: envBlock})
	}
	return all, nil
}

// eachFile calls act for the files of a directory with an extension, in the
// order of their names.
func eachFile(ctx context.Context, v host.View, dir, extension string, act func(name string) error) error {
	names, err := v.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if path.Ext(name) == extension {
			if err := act(path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// permanent is what boots to come will have of a request's arguments: the next
// one, and one after another kernel was installed. Where the two differ, it is
// the first that does not settle the request.
func (b *boots) permanent(r request) (holding, error) {
	all := []holding{}
	value, _, err := evaluated(b.stores)
	if err != nil {
		return holding{}, err
	}
	all = append(all, r.of(grubWords(value[everyEntry]+" "+value[normalEntry])))
	if b.place.entries == "" {
		e, ok := b.menu.chosen(b.env["saved_entry"])
		if !ok {
			return holding{}, fmt.Errorf("%s has no entry that starts a Linux kernel", b.place.config)
		}
		all = append(all, r.of(e.arguments()))
	}
	for _, s := range b.stores {
		if s.Format == shellVariables {
			continue
		}
		fragments, err := s.fragments()
		if err != nil {
			return holding{}, err
		}
		for _, f := range fragments {
			if !f.indirect() {
				all = append(all, r.of(f.script.split(f.value)))
			}
		}
	}
	for _, h := range all {
		if !r.settles(h) {
			return h, nil
		}
	}
	return all[0], nil
}

// part decodes what a step tries.
func part(p trial.Part) (request, error) {
	var r request
	if err := json.Unmarshal(p.Request, &r); err != nil {
		return r, fmt.Errorf("decode what %s tries: %w", p.Step, err)
	}
	return r, nil
}
