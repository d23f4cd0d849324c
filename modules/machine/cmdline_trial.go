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

// The block of a trial in custom.cfg stands in front of what an administrator
// wrote there.
const (
	blockBegin = "### BEGIN weft-trial ###\n"
	blockAlone = "### BEGIN weft-trial, the file is removed with it ###\n"
	blockEnd   = "### END weft-trial ###\n"
)

// withoutBlock is custom.cfg without a trial's block. There is no file where it
// was made for the block.
func withoutBlock(text string) (rest string, found, alone bool) {
	for _, begin := range []string{blockBegin, blockAlone} {
		from := strings.Index(text, begin)
		if from < 0 {
			continue
		}
		if end := strings.Index(text[from:], blockEnd); end >= 0 {
			rest = text[:from] + text[from+end+len(blockEnd):]
			return rest, true, begin == blockAlone && rest == ""
		}
	}
	return text, false, false
}

// tried writes a trial's command line over that of an entry. What the defaults
// have and the entry has not (nobody ran grub-mkconfig since) would be permanent
// with the rest, so it is tried with it.
func (b *boots) tried(text string, how script, s trial.State) (string, error) {
	value, _, err := evaluated(b.stores)
	if err != nil {
		return "", err
	}
	if b.place.entries == "" {
		has := how.split(text)
		for _, w := range grubWords(value[everyEntry] + " " + value[normalEntry]) {
			if !w.opaque && !slices.ContainsFunc(has, func(o span) bool { return o.argument.canonical() == w.argument.canonical() }) {
				text = how.add(text, []argument{w.argument})
			}
		}
	}
	for _, p := range s.Parts {
		r, err := part(p)
		if err != nil {
			return "", err
		}
		text = how.edit(text, r)
	}
	mark := request{}
	for _, a := range trial.Arguments(s.ID) {
		mark.Args = append(mark.Args, argument(a))
	}
	return how.add(text, mark.Args), nil
}

// block is the trial's entry for custom.cfg.
func (b *boots) block(s trial.State, begin string) (string, error) {
	e, ok := b.menu.running(b.image, b.env["saved_entry"])
	if !ok {
		return "", fmt.Errorf("%s has no entry to try new arguments with", b.place.config)
	}
	line, err := b.tried(e.body[e.from:e.to], grubScript, s)
	if err != nil {
		return "", err
	}
	options := strings.Join(append([]string{""}, e.options...), " ")
	return begin + `# Booted once, to see whether the machine comes up with these arguments.
if [ "${default}" = "` + trial.Entry + `" ]; then
  set fallback="0"
fi
menuentry 'weft: trial of kernel arguments'` + options + " --id " + trial.Entry + " {" + e.body[:e.from] + line + e.body[e.to:] + "}\n" + blockEnd, nil
}

// writeEntry puts the trial's entry among those of the boot loader.
func (b *boots) writeEntry(ctx context.Context, h host.Host, s trial.State) error {
	if b.place.entries != "" {
		return b.writeBLS(ctx, h, s)
	}
	custom := b.place.custom()
	begin, rest := blockBegin, ""
	old, err := h.Files.Read(ctx, custom)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		begin = blockAlone
	case err != nil:
		return err
	default:
		var alone bool
		if rest, _, alone = withoutBlock(string(old)); alone {
			begin = blockAlone
		}
	}
	block, err := b.block(s, begin)
	if err != nil {
		return err
	}
	if block+rest == string(old) {
		return nil
	}
	return h.Files.Write(ctx, custom, []byte(block+rest), host.Attributes{})
}

func (b *boots) blsTrial() string { return path.Join(b.place.entries, trial.Entry+".conf") }

// writeBLS copies the entry of the running kernel.
func (b *boots) writeBLS(ctx context.Context, h host.Host, s trial.State) error {
	base := path.Base(b.image)
	i := slices.IndexFunc(b.stores, func(f store) bool {
		return f.Format == optionsLine && path.Base(blsField(f.Text, "linux")) == base
	})
	if i < 0 {
		return fmt.Errorf("%s has no entry of the running kernel %s", b.place.entries, base)
	}
	text := b.stores[i].Text
	options := strings.ReplaceAll(blsField(text, "options"), "$kernelopts", b.env["kernelopts"])
	line, err := b.tried(options, blsScript, s)
	if err != nil {
		return err
	}
	text = withField(text, "options", line)
	text = withField(text, "title", "weft: trial of kernel arguments")
	text = withField(text, "version", "0-"+trial.Entry) // last in the menu
	text = withField(text, "id", trial.Entry)
	return h.Files.Write(ctx, b.blsTrial(), []byte(text), host.Attributes{})
}

// removeEntry takes the trial's entry away.
func (b *boots) removeEntry(ctx context.Context, h host.Host) error {
	if b.place.entries != "" {
		return h.Files.Remove(ctx, b.blsTrial())
	}
	custom := b.place.custom()
	old, err := h.Files.Read(ctx, custom)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	rest, found, alone := withoutBlock(string(old))
	switch {
	case !found:
		return nil
	case alone:
		return h.Files.Remove(ctx, custom)
	}
	return h.Files.Write(ctx, custom, []byte(rest), host.Attributes{})
}

// arm orders the trial: what would end it stands before the boot is ordered.
func (b *boots) arm(ctx context.Context, h host.Host, p trial.Part) error {
	s := trial.State{ID: b.trialID(), Boot: b.id, Values: map[string]string{}}
	if b.pending != nil && b.pending.ID == s.ID {
		s = b.pending.Without(p.Step)
	} else if b.pending != nil {
		// One of an earlier boot, which was used up and is told of no more.
		if err := trial.Forget(ctx, h); err != nil {
			return err
		}
	}
	s.Parts = append(s.Parts, p)
	for name, value := range trial.Sets() {
		now, err := h.Kernel.Get(ctx, name)
		if err == nil && now != value {
			s.Values[name] = now
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := trial.Save(ctx, h, s); err != nil {
		return fmt.Errorf("write the trial down: %w", err)
	}
	if err := writeService(ctx, h, s); err != nil {
		return err
	}
	if err := b.writeEntry(ctx, h, s); err != nil {
		return fmt.Errorf("write the trial's boot entry: %w", err)
	}
	if b.env["next_entry"] == trial.Entry {
		return nil
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{b.place.once, trial.Entry}}); err != nil {
		return fmt.Errorf("order the trial for the next boot: %w", err)
	}
	return nil
}

// trialID is the same for all that is tried in the boot after this one.
func (b *boots) trialID() string {
	id := strings.ReplaceAll(b.id, "-", "")
	return id[:min(8, len(id))]
}

func writeService(ctx context.Context, h host.Host, s trial.State) error {
	text := trial.Unit(h.Self, s)
	old, err := h.Files.Read(ctx, trial.ServiceFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(old) != text {
		if err := h.Files.Write(ctx, trial.ServiceFile, []byte(text), host.Attributes{}); err != nil {
			return err
		}
	}
	u, err := h.Units.Unit(ctx, trial.Service)
	if err != nil {
		return err
	}
	if string(old) == text && u.FileState == "enabled" {
		return nil
	}
	if err := h.Units.Do(ctx, host.Enable, trial.Service); err != nil {
		return fmt.Errorf("enable %s: %w", trial.Service, err)
	}
	return nil
}

// disarm ends a step's part in the trial, and with the last part all of it. It
// is done again without harm.
func (b *boots) disarm(ctx context.Context, h host.Host, step string) error {
	if b.pending != nil && !b.pending.Has(step) {
		return nil // what is there belongs to others
	}
	if b.pending != nil && len(b.pending.Parts) > 1 {
		rest := b.pending.Without(step)
		if err := trial.Save(ctx, h, rest); err != nil {
			return err
		}
		if b.trial == rest.ID {
			return nil // it is under way, and its entry used up
		}
		return b.writeEntry(ctx, h, rest)
	}
	if b.env["next_entry"] == trial.Entry {
		if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{b.place.editEnv, b.place.env, "unset", "next_entry"}}); err != nil {
			return fmt.Errorf("take the order for the next boot back: %w", err)
		}
	}
	if err := b.removeEntry(ctx, h); err != nil {
		return err
	}
	if err := removeService(ctx, h); err != nil {
		return err
	}
	return trial.Forget(ctx, h)
}

func removeService(ctx context.Context, h host.Host) error {
	u, err := h.Units.Unit(ctx, trial.Service)
	if err != nil {
		return err
	}
	if u.ActiveState == "active" || u.ActiveState == "activating" {
		if err := h.Units.Do(ctx, host.Stop, trial.Service); err != nil {
			return err
		}
	}
	if _, err := h.Files.Stat(ctx, trial.ServiceFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := h.Units.Do(ctx, host.Disable, trial.Service); err != nil {
		return err
	}
	if err := h.Files.Remove(ctx, trial.ServiceFile); err != nil {
		return err
	}
	return h.Units.Do(ctx, host.Reload, "")
}

// left says whether anything of a trial is there that no other step waits for.
func (b *boots) left(ctx context.Context, v host.View, step string) (bool, error) {
	if b.pending != nil {
		return b.pending.Has(step), nil
	}
	if b.env["next_entry"] == trial.Entry {
		return true, nil
	}
	files := []string{trial.ServiceFile, trial.Dir}
	if b.place.entries != "" {
		files = append(files, b.blsTrial())
	}
	for _, name := range files {
		if _, err := v.Files.Stat(ctx, name); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	custom, err := v.Files.Read(ctx, b.place.custom())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	_, found, _ := withoutBlock(string(custom))
	return found, err
}

// calm sets the kernel settings of the trial's arguments back, which would else
// stay until the next boot.
func (b *boots) calm(ctx context.Context, h host.Host) error {
	if b.pending == nil || b.trial != b.pending.ID {
		return nil
	}
	for name, was := range b.pending.Values {
		now, err := h.Kernel.Get(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if now == trial.Sets()[name] {
			if err := h.Kernel.Set(ctx, name, was); err != nil {
				return err
			}
		}
	}
	return nil
}

// newPart is what a step tries.
func newPart(address string, r request, t trial.Part) trial.Part {
	t.Step = address
	text, err := json.Marshal(r)
	if err != nil {
		panic("machine: a request that is no JSON: " + err.Error())
	}
	t.Request = text
	return t
}
