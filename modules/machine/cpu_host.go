package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/step"
)

const (
	managerDir   = "/etc/systemd/system.conf.d"
	managerConf  = managerDir + "/weft-cpu-isolation.conf"
	irqTmpfiles  = "/etc/tmpfiles.d/weft-cpu-isolation.conf"
	irqDefault   = "/proc/irq/default_smp_affinity"
	cpuDir       = "/sys/devices/system/cpu"
	managerTitle = "[Manager]"
)

var irqPortion = tmpfilesPortion(func(kernelPath string) bool { return kernelPath == irqDefault })

// managerPortion are the lines of systemd-system.conf(5) about processors, with
// the section they stand in.
var managerPortion = portion{
	header: "# Written by weft; systemd-system.conf(5).",
	mine: func(line string) (string, bool) {
		_, ok := affinityLine(line)
		return strings.TrimSpace(line), ok || strings.TrimSpace(line) == managerTitle
	},
}

// affinityLine reads a line CPUAffinity=.
func affinityLine(line string) (value string, ok bool) {
	key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
	return strings.TrimSpace(value), ok && strings.TrimSpace(key) == "CPUAffinity"
}

// affinityIn adds what a file says to a list: lines add up, an empty one begins
// anew (systemd-system.conf(5)). Set says whether there is a line.
func affinityIn(text string, so cpus.Set) (list cpus.Set, set bool, err error) {
	list = so
	for line := range strings.Lines(text) {
		value, ok := affinityLine(line)
		if !ok {
			continue
		}
		if set = true; value == "" {
			list = nil
			continue
		}
		more, err := cpus.Parse(strings.Join(strings.Fields(strings.ReplaceAll(value, ",", " ")), ","))
		if err != nil {
			return nil, set, err // "numa", for one
		}
		list = append(slices.Clone(list), more...)
	}
	slices.Sort(list)
	return slices.Compact(list), set, nil
}

// Read asks the kernel, the first process and the files.
func (isolations) Read(ctx context.Context, v host.View, want isolation) (isolation, error) {
	var have isolation
	var err error
	if have.Present, err = kernelList(ctx, v, cpuDir+"/present"); err != nil {
		return have, err
	}
	wanted, err := cpus.Parse(want.CPUs.InterruptsNow.Or(""))
	if err != nil {
		return have, err
	}
	if missing := wanted.Without(have.Present); len(missing) > 0 {
		return have, fmt.Errorf("the host has processors %s, and not %s", have.Present, missing)
	}
	if len(have.Present.Without(wanted)) == 0 {
		return have, fmt.Errorf("the host has processors %s; leave it one at least, better a whole core of each NUMA node", have.Present)
	}
	if err := have.readNow(ctx, v); err != nil {
		return have, err
	}
	if err := have.readBoot(ctx, v, want); err != nil {
		return have, err
	}
	if err := have.readDirectory(ctx, v); err != nil {
		return have, err
	}
	have.Unisolated, err = unisolated(ctx, v, wanted)
	if err != nil {
		return have, err
	}
	have.Shared, err = halfCores(ctx, v, wanted)
	return have, err
}

// kernelList reads a list of processors that /sys has.
func kernelList(ctx context.Context, v host.View, name string) (cpus.Set, error) {
	text, err := v.Kernel.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	set, err := cpus.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return set, nil
}

// kept are the processors of the host that are not in a list.
func (have isolation) kept(list cpus.Set) step.Attr[string] {
	return step.Is(have.Present.Without(list).String())
}

// readNow reads what is in force.
func (have *isolation) readNow(ctx context.Context, v host.View) error {
	status, err := v.Kernel.Get(ctx, "/proc/1/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(status) {
		list, ok := strings.CutPrefix(line, "Cpus_allowed_list:")
		if !ok {
			continue
		}
		set, err := cpus.Parse(strings.TrimSpace(list))
		if err != nil {
			return fmt.Errorf("read /proc/1/status: %w", err)
		}
		have.CPUs.ServicesNow = have.kept(set)
	}
	mask, err := v.Kernel.Get(ctx, irqDefault)
	if err != nil {
		return err
	}
	set, err := cpus.ParseMask(mask)
	have.CPUs.InterruptsNow = have.kept(set)
	return err
}

// readBoot reads the files.
func (have *isolation) readBoot(ctx context.Context, v host.View, want isolation) (err error) {
	if have.Conf, err = readText(ctx, v, managerConf); err != nil {
		return err
	}
	if have.Tmpfiles, err = readText(ctx, v, irqTmpfiles); err != nil {
		return err
	}
	have.CPUs.InterruptsBoot = step.None[string]()
	if line, ok := irqPortion.value(have.Tmpfiles.Or("")).Get(); ok {
		_, value, _ := tmpfilesWrite(line[strings.LastIndexByte(line, '\n')+1:])
		set, err := cpus.ParseMask(value)
		have.CPUs.InterruptsBoot = have.kept(set)
		if err != nil {
			have.CPUs.InterruptsBoot = step.Is(value)
		}
	}
	files, err := managerFiles(ctx, v)
	if err != nil {
		return err
	}
	have.CPUs.ServicesBoot = step.None[string]()
	var list cpus.Set
	for _, f := range files {
		next, set, err := affinityIn(f.text, list)
		if !set {
			continue
		}
		list = next
		if have.CPUs.ServicesBoot = have.kept(list); err != nil || len(list) == 0 {
			have.CPUs.ServicesBoot = step.Is("set otherwise")
		}
		// What stands in our way must be changed by hand: systemd reads it after
		// our file, or has it although there should be nothing.
		hinders := f.path != managerConf && (want.CPUs.ServicesBoot.Absent() || path.Base(f.path) > path.Base(managerConf) && path.Dir(f.path) != "/etc/systemd")
		if hinders && have.CPUs.ServicesBoot != want.CPUs.ServicesBoot {
			return fmt.Errorf("%s sets CPUAffinity too; that file is another hand's, so change it there", f.path)
		}
	}
	return nil
}

// managerFiles are the files that systemd reads for itself, in their order.
func managerFiles(ctx context.Context, v host.View) ([]confFile, error) {
	var files []confFile
	for _, name := range []string{"/etc/systemd/system.conf", "/run/systemd/system.conf", "/usr/lib/systemd/system.conf"} {
		text, err := readText(ctx, v, name)
		if err != nil {
			return nil, err
		}
		if t, ok := text.Get(); ok {
			files = append(files, confFile{name, t})
			break
		}
	}
	more, err := confFiles(ctx, v, managerDir, "/run/systemd/system.conf.d", "/usr/local/lib/systemd/system.conf.d", "/usr/lib/systemd/system.conf.d")
	return append(files, more...), err
}

// readDirectory looks for a directory that is ours alone.
func (have *isolation) readDirectory(ctx context.Context, v host.View) error {
	names, err := v.Files.List(ctx, managerDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		have.Directory = step.None[bool]()
		return nil
	case err != nil:
		return err
	}
	if len(names) == 0 || len(names) == 1 && names[0] == path.Base(managerConf) {
		have.Directory = step.Is(true)
	}
	return nil
}

// unisolated are the arguments that the kernel should have been started with.
func unisolated(ctx context.Context, v host.View, wanted cpus.Set) ([]string, error) {
	var missing []string
	for _, a := range []struct{ file, argument string }{{"isolated", "isolcpus=managed_irq,domain,"}, {"nohz_full", "nohz_full="}} {
		text, err := v.Kernel.Get(ctx, cpuDir+"/"+a.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel that was built without it
		}
		if err != nil {
			return nil, err
		}
		set, err := cpus.Parse(strings.TrimSpace(text))
		if err != nil {
			set = nil // the kernel writes "(null)" for none
		}
		if len(wanted.Without(set)) > 0 {
			missing = append(missing, a.argument+wanted.String())
		}
	}
	return missing, nil
}

// halfCores are warnings of processors that share a core with one of the host.
func halfCores(ctx context.Context, v host.View, wanted cpus.Set) ([]string, error) {
	var warnings []string
	for _, n := range wanted {
		text, err := v.Kernel.Get(ctx, cpuDir+"/cpu"+strconv.Itoa(n)+"/topology/thread_siblings_list")
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is offline
		}
		if err != nil {
			return nil, err
		}
		siblings, err := cpus.Parse(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if others := siblings.Without(wanted); len(others) > 0 {
			warnings = append(warnings, fmt.Sprintf("processor %d shares its core with %s, which the host keeps and which slows it down; isolate both", n, others))
		}
	}
	return warnings, nil
}

// Write sets the interrupts now, and the files for the rest.
func (r isolations) Write(ctx context.Context, h host.Host, have, want isolation) error {
	differs := func(have, want step.Attr[string]) bool { return want.Managed() && have != want }
	if list, ok := want.CPUs.InterruptsNow.Get(); ok && have.CPUs.InterruptsNow != want.CPUs.InterruptsNow {
		set, err := cpus.Parse(list)
		if err != nil {
			return err
		}
		if err := h.Kernel.Set(ctx, irqDefault, have.Present.Without(set).Mask()); err != nil {
			return err
		}
	}
	if differs(have.CPUs.InterruptsBoot, want.CPUs.InterruptsBoot) {
		lines, err := bootLines(have, want.CPUs.InterruptsBoot, want.Tmpfiles, irqPortion, func(host cpus.Set) string {
			return tmpfilesLine(irqDefault, host.Mask())
		})
		if err != nil {
			return err
		}
		if err := writeText(ctx, h, irqTmpfiles, have.Tmpfiles, irqPortion.settled(have.Tmpfiles, want.Tmpfiles, lines)); err != nil {
			return err
		}
	}
	if differs(have.CPUs.ServicesBoot, want.CPUs.ServicesBoot) {
		lines, err := bootLines(have, want.CPUs.ServicesBoot, want.Conf, managerPortion, func(host cpus.Set) string {
			// the empty value takes back what files before this one have said
			return managerTitle + "\nCPUAffinity=\nCPUAffinity=" + host.String()
		})
		if err != nil {
			return err
		}
		if err := writeManager(ctx, h, have, managerPortion.settled(have.Conf, want.Conf, lines)); err != nil {
			return err
		}
	}
	if want.Directory.Absent() && have.Directory.Or(false) {
		return h.Files.Remove(ctx, managerDir)
	}
	return nil
}

// bootLines are the lines for a list of processors that are kept free; in an
// undo those that the file had.
func bootLines(have isolation, kept, found step.Attr[string], p portion, line func(host cpus.Set) string) (step.Attr[string], error) {
	list, ok := kept.Get()
	if found.Managed() {
		return p.value(found.Or("")), nil
	}
	if !ok {
		return step.None[string](), nil
	}
	set, err := cpus.Parse(list)
	return step.Is(line(have.Present.Without(set))), err
}

func writeManager(ctx context.Context, h host.Host, have isolation, text step.Attr[string]) error {
	if have.Directory.Absent() && !text.Absent() {
		if err := h.Files.MakeDirectory(ctx, managerDir, host.Attributes{}); err != nil {
			return err
		}
	}
	return writeText(ctx, h, managerConf, have.Conf, text)
}
