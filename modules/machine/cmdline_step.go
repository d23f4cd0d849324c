package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/trial"
	"weft/engine/step"
)

// cmdline is a step of its own, and no resource: what it wants is reached by
// two writes with a boot between them.
type cmdline struct {
	address   string
	object    string
	request   request
	policy    step.RebootPolicy
	confirm   time.Duration
	preferred bool
}

// foundBoots is the finding's record of what was there.
type foundBoots struct {
	Running holding `json:"running"`
	Stores  stores  `json:"stores"`
	HadEnv  bool    `json:"had_env,omitzero"` // whether there was an environment block
}

// wantedBoots is what the finding wants, for an undo on another day.
type wantedBoots struct {
	Step     string  `json:"step"`
	Request  request `json:"request"`
	Variable string  `json:"variable"`
}

// Check compares the running kernel and the configuration with the request.
func (s cmdline) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f := step.Finding{Object: s.object}
	b, err := readBoots(ctx, v)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", s.object, err)
	}
	running := s.request.of(b.running)
	permanent, err := b.permanent(s.request)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", s.object, err)
	}
	f.Deltas = s.deltas(running, permanent)
	left, err := b.left(ctx, v, s.address)
	if err != nil {
		return f, err
	}
	if left && !f.Changed() {
		f.Deltas = append(f.Deltas, step.Change("trial", "left behind", nil))
	}
	if !f.Changed() {
		return f, nil
	}
	record, err := json.Marshal(foundBoots{Running: running, Stores: b.stores, HadEnv: b.hasEnv})
	if err != nil {
		return f, err
	}
	f.Before = record
	if f.Want, err = json.Marshal(wantedBoots{Step: s.address, Request: s.request, Variable: b.place.variable}); err != nil {
		return f, err
	}
	if _, err := b.stores.edited(s.request, b.place.variable); err != nil {
		return f, fmt.Errorf("%s could not be made permanent: %w", s.object, err)
	}
	if s.request.settles(running) {
		return f, nil
	}
	return f, s.boot(ctx, v, &b, &f)
}

// deltas are the differences. What the next boot would bring is shown where it
// is not what runs.
func (s cmdline) deltas(running, permanent holding) []step.Delta {
	var deltas []step.Delta
	add := func(path string, have, next, want []argument) {
		if !same(have, want) {
			deltas = append(deltas, step.Change(path, shownArgs(have), shownArgs(want)))
		}
		if !same(next, want) && !same(next, have) {
			deltas = append(deltas, step.Change(path+".permanent", shownArgs(next), shownArgs(want)))
		}
	}
	add("args", running.Args, permanent.Args, s.request.Args)
	add("absent", running.Absent, permanent.Absent, nil)
	return deltas
}

// boot adds what a change that only a boot brings needs and costs. The error
// says why there will be none.
func (s cmdline) boot(ctx context.Context, v host.View, b *boots, f *step.Finding) error {
	f.Needs = []step.Need{{Verb: step.Reboot, Object: step.Machine, Reason: s.address}}
	f.Cost.Disruption = "reboot"
	obstacle, err := noOneShot(ctx, v, b.place, b.menu)
	switch {
	case err != nil:
		return fmt.Errorf("find whether GRUB can boot an entry once: %w", err)
	case obstacle != "" && !s.preferred:
		return fmt.Errorf("%s cannot be tried by one boot: %s. trial = \"preferred\" makes them permanent untried", s.object, obstacle)
	case obstacle != "":
		f.Warnings = append(f.Warnings, fmt.Sprintf("made permanent untried, so that a machine that does not come up with them stays down: %s", obstacle))
	}
	if next := b.env["next_entry"]; next != "" && next != trial.Entry && obstacle == "" {
		return fmt.Errorf("%s orders %q for the next boot already; boot it, or forget it: %s %[1]s unset next_entry", b.place.env, next, b.place.editEnv)
	}
	if why := s.earlier(ctx, v, b); why != "" {
		f.Warnings = append(f.Warnings, "tried before: "+why)
	}
	return nil
}

// earlier says what became of this step's last trial, where that was of the same
// arguments and was not taken back.
func (s cmdline) earlier(ctx context.Context, v host.View, b *boots) string {
	if b.pending == nil || b.pending.Boot == b.id {
		return ""
	}
	for _, p := range b.pending.Parts {
		var r request
		if p.Step == s.address && json.Unmarshal(p.Request, &r) == nil && same(r.Args, s.request.Args) && same(r.Absent, s.request.Absent) {
			return b.failure(ctx, v)
		}
	}
	return ""
}

// notInForce is the error of a machine that was booted and runs with something
// else.
func (s cmdline) notInForce(b *boots, why string) error {
	return fmt.Errorf("%s: the machine runs with %s: %s", s.object, spell(s.request.of(b.running)), why)
}

// tries says whether the arguments are tried before they are made permanent.
func (s cmdline) tries(ctx context.Context, v host.View, b *boots) (bool, error) {
	obstacle, err := noOneShot(ctx, v, b.place, b.menu)
	if err != nil || obstacle == "" {
		return err == nil, err
	}
	if !s.preferred {
		return false, fmt.Errorf("%s cannot be tried by one boot: %s", s.object, obstacle)
	}
	return false, nil
}

// Apply orders a trial, or makes permanent what runs already.
func (s cmdline) Apply(ctx context.Context, h host.Host, _ step.Finding) error {
	b, err := readBoots(ctx, h.View())
	if err != nil {
		return err
	}
	if s.request.settles(s.request.of(b.running)) {
		return s.settle(ctx, h, &b)
	}
	if s.policy == step.RebootNever {
		return nil // a boot that another hand asks for must find the machine as it is
	}
	if why := s.earlier(ctx, h.View(), &b); why != "" {
		// By whoever booted it: nobody was there to say so. Another boot would end
		// like that one.
		return s.notInForce(&b, why)
	}
	tries, err := s.tries(ctx, h.View(), &b)
	switch {
	case err != nil:
		return err
	case !tries:
		return s.settle(ctx, h, &b)
	}
	return b.arm(ctx, h, newPart(s.address, s.request, trial.Part{Confirm: s.confirm, Staged: s.policy == step.RebootStaged}))
}

// settle makes the arguments permanent and ends the trial.
func (s cmdline) settle(ctx context.Context, h host.Host, b *boots) error {
	if err := s.makePermanent(ctx, h, b); err != nil {
		return err
	}
	if err := b.calm(ctx, h); err != nil {
		return err
	}
	left, err := b.left(ctx, h.View(), s.address)
	if err != nil || !left {
		return err
	}
	return b.disarm(ctx, h, s.address)
}

// makePermanent writes the configuration and sees what came of it.
func (s cmdline) makePermanent(ctx context.Context, h host.Host, b *boots) error {
	now, err := b.permanent(s.request)
	if err != nil || s.request.settles(now) {
		return err
	}
	want, err := b.stores.edited(s.request, b.place.variable)
	if err != nil {
		return err
	}
	if err := b.write(ctx, h, want); err != nil {
		return err
	}
	if err := b.generate(ctx, h); err != nil {
		return err
	}
	after, err := readBoots(ctx, h.View())
	if err != nil {
		return err
	}
	if now, err = after.permanent(s.request); err != nil || s.request.settles(now) {
		return err
	}
	return fmt.Errorf("the configuration was written, but the default entry of %s has %s; see what else sets them in /etc/default/grub.d and /etc/grub.d", b.place.config, spell(now))
}

func spell(h holding) string {
	all := slices.Concat(h.Args, h.Absent)
	if len(all) == 0 {
		return "none of these arguments"
	}
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = string(a)
	}
	return strings.Join(words, " ")
}

// write writes the stores that differ.
func (b *boots) write(ctx context.Context, h host.Host, want stores) error {
	for _, s := range want {
		now, there := b.stores.at(s.Path, s.Format)
		if there && now.Text == s.Text {
			continue
		}
		if s.Format == envBlock {
			if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{b.place.editEnv, s.Path, "set", "kernelopts=" + s.Text}}); err != nil {
				return fmt.Errorf("set kernelopts in %s: %w", s.Path, err)
			}
			continue
		}
		if err := h.Files.Write(ctx, s.Path, []byte(s.Text), host.Attributes{}); err != nil {
			return err
		}
	}
	return nil
}

// generate has grub.cfg written anew, where the menu is in it.
func (b *boots) generate(ctx context.Context, h host.Host) error {
	if b.place.generate == nil {
		return nil
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: b.place.generate}); err != nil {
		return fmt.Errorf("write %s anew: %w", b.place.config, err)
	}
	return nil
}

// Keep makes permanent what the machine has come up with.
func (s cmdline) Keep(ctx context.Context, h host.Host, _ step.Finding) error {
	b, err := readBoots(ctx, h.View())
	if err != nil {
		return err
	}
	if s.request.settles(s.request.of(b.running)) {
		return s.settle(ctx, h, &b)
	}
	return s.notInForce(&b, b.failure(ctx, h.View()))
}

// failure says what became of a trial whose arguments do not run now.
func (b *boots) failure(ctx context.Context, v host.View) string {
	if b.pending == nil {
		return "no trial was ordered; another hand booted the machine, or chose another entry"
	}
	notes := trial.Tell(ctx, v, b.pending.ID)
	switch {
	case b.trial == b.pending.ID:
		return "the trial's boot was given other arguments than it was written with; somebody edited them in the boot menu"
	case b.pending.Boot == b.id:
		return "it was not booted anew yet"
	case b.env["next_entry"] == trial.Entry:
		return "the boot loader did not take the trial's entry (it is still ordered in " + b.place.env + "); see whether this GRUB is what the firmware starts"
	case notes.Ended != "" && notes.Ended != string(trial.Well):
		return "the trial came up, but " + notes.Ended + ", so the machine went back to its old arguments; see: journalctl -b -1"
	case notes.Booted != "":
		return "the trial came up, and the machine was booted again before the arguments were kept: it crashed, or another hand did; see: journalctl -b -1"
	}
	return "the trial never came up: the kernel panicked or hung, the initramfs found no root, the system ended in an emergency shell, or somebody chose another entry in the boot menu; see the serial console"
}
