package security

import (
	"context"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// Write changes what differs: the policy first, and its mode last, so that what an
// enforced policy needs is there.
func (p policies) Write(ctx context.Context, h host.Host, have, want policy) error {
	if err := p.booleans(ctx, h, have, want); err != nil {
		return err
	}
	for _, pattern := range slices.Sorted(maps.Keys(want.Contexts)) {
		if err := local(ctx, h, have, "fcontext", []string{pattern}, have.Contexts[pattern], want.Contexts[pattern]); err != nil {
			return err
		}
		if err := relabel(ctx, h, have, want, pattern); err != nil {
			return err
		}
	}
	for _, port := range slices.Sorted(maps.Keys(want.Ports)) {
		number, protocol, _ := parsePort(port)
		if err := local(ctx, h, have, "port", []string{"-p", protocol, number}, have.Ports[port], want.Ports[port]); err != nil {
			return err
		}
	}
	return p.mode(ctx, h, have, want)
}

// semanage is semanage(8) on a kind of object. Without SELinux at work there is no
// kernel to load the policy into.
func semanage(off bool, object string, args ...string) host.Command {
	argv := []string{"semanage", object}
	if off {
		argv = append(argv, "-N")
	}
	return host.Command{Argv: append(argv, args...)}
}

// local adds, changes or removes a local type.
func local(ctx context.Context, h host.Host, state policy, object string, what []string, have, want step.Attr[string]) error {
	if have == want {
		return nil
	}
	run := func(args ...string) (host.Result, error) {
		return h.Commands.Run(ctx, semanage(state.Off, object, slices.Concat(args, what)...))
	}
	kind, wanted := want.Get()
	if !wanted {
		_, err := run("-d")
		return err
	}
	if _, there := have.Get(); !there {
		r, err := run("-a", "-t", kind)
		if err == nil || !strings.Contains(string(r.Stderr)+string(r.Stdout), "already defined") {
			return err
		}
	}
	_, err := run("-m", "-t", kind) // the policy itself has one, or the local one differs
	return err
}

// booleans sets what is kept, and then what holds now where that is to differ.
func (policies) booleans(ctx context.Context, h host.Host, have, want policy) error {
	for _, name := range slices.Sorted(maps.Keys(want.Booleans)) {
		was, _ := have.Booleans[name].Get()
		is, _ := want.Booleans[name].Get()
		if is == was {
			continue
		}
		now, kept := halves(is)
		nowWas, keptWas := halves(was)
		var commands []host.Command
		switch {
		case kept == keptWas:
		case kept == "":
			c, err := have.forget(ctx, h, name)
			if err != nil {
				return err
			}
			commands = append(commands, c)
			nowWas = ""
		case have.Off:
			commands = append(commands, semanage(true, "boolean", "-m", "--"+kept, name))
		default:
			commands = append(commands, host.Command{Argv: []string{"setsebool", "-P", name + "=" + kept}})
			nowWas = kept
		}
		if now != nowWas && !have.Off {
			commands = append(commands, host.Command{Argv: []string{"setsebool", name + "=" + now}})
		}
		for _, c := range commands {
			if _, err := h.Commands.Run(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget has the policy decide on a boolean again. semanage(8) can only forget all of
// them, so it is given the others again, in the same transaction.
func (s policy) forget(ctx context.Context, h host.Host, name string) (host.Command, error) {
	text, err := s.store(ctx, h.View(), "booleans.local")
	kept := parseBooleans(text)
	delete(kept, name)
	var b strings.Builder
	b.WriteString("boolean -D\n")
	for _, other := range slices.Sorted(maps.Keys(kept)) {
		b.WriteString("boolean -m --" + kept[other] + " " + other + "\n")
	}
	argv := []string{"semanage", "import"}
	if s.Off {
		argv = []string{"semanage", "import", "-N"}
	}
	return host.Command{Argv: argv, Stdin: []byte(b.String())}, err
}

// mode writes the file, which is for the next boot, and then tells the kernel.
func (policies) mode(ctx context.Context, h host.Host, have, want policy) error {
	is, managed := want.Mode.Get()
	if was := have.Mode.Or(""); !managed || is == was {
		return nil
	}
	now, kept := halves(is)
	nowWas, keptWas := halves(have.Mode.Or(""))
	if kept != keptWas {
		text, err := h.Files.Read(ctx, selinuxConfig)
		if err != nil {
			return err
		}
		if err := h.Files.Write(ctx, selinuxConfig, []byte(setShellValue(string(text), "SELINUX", kept)), host.Attributes{}); err != nil {
			return err
		}
	}
	if now == nowWas {
		return nil
	}
	value := "0"
	if now == "enforcing" {
		value = "1"
	}
	return h.Kernel.Set(ctx, selinuxFS+"/enforce", value)
}
