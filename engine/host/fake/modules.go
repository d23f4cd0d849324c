package fake

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"weft/engine/host"
)

// Module is a kernel module that the machine has a file for.
type Module struct {
	Name    string // as its file is named: "vfio-pci"
	Dir     string // "kernel/drivers/vfio/pci"
	Needs   []string
	Builtin bool
	// Parameters are their values unless an option says otherwise; Y and N make
	// one a bool. Those in Writable may be changed while it is loaded.
	Parameters map[string]string
	Writable   []string
}

// modulesLoad is the unit that loads modules at boot.
const modulesLoad = "systemd-modules-load.service"

// InstallModules gives the machine a kernel of a release with its modules, the
// programs modprobe, rmmod, modinfo and stat, and systemd-modules-load.service:
// a boot forgets what was loaded, and loads what modules-load.d says.
func (m *Machine) InstallModules(release string, list ...Module) {
	k := modules{}
	var dep, builtin strings.Builder
	for _, mod := range list {
		k[under(mod.Name)] = mod
		file := mod.Dir + "/" + mod.Name + ".ko"
		if mod.Builtin {
			fmt.Fprintln(&builtin, file)
			m.show(mod, mod.Parameters)
			continue
		}
		fmt.Fprintf(&dep, "%s:", file)
		for _, needed := range mod.Needs {
			fmt.Fprintf(&dep, " %s/%s.ko", k[under(needed)].Dir, needed)
		}
		dep.WriteByte('\n')
	}
	m.SetKernel("/proc/sys/kernel/osrelease", release)
	m.WriteFile("/lib/modules/"+release+"/modules.dep", dep.String())
	m.WriteFile("/lib/modules/"+release+"/modules.builtin", builtin.String())
	m.Mkdir("/etc/modprobe.d")
	m.Mkdir("/etc/modules-load.d")
	m.SetKernel("/proc/modules", "")
	m.Program("modprobe", k.modprobe)
	m.Program("rmmod", k.rmmod)
	m.Program("modinfo", k.modinfo)
	m.Program("stat", k.stat)
	m.WriteFile("/usr/lib/systemd/system/"+modulesLoad, "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/lib/systemd/systemd-modules-load\n")
	m.OnUnit(modulesLoad, k.boot)
	m.Systemctl(host.Start, modulesLoad)
}

// LoadModule is modprobe by another hand.
func (m *Machine) LoadModule(name string) {
	m.mu.Lock()
	p := m.hooks.programs["modprobe"]
	m.mu.Unlock()
	if r := p(m, host.Command{Argv: []string{"modprobe", name}}); r.Exit != 0 {
		panic("fake: " + string(r.Stderr))
	}
}

// UseModule has something that is no module use one; -1 lets it go.
func (m *Machine) UseModule(name string, n int) {
	at := "/sys/module/" + under(name) + "/refcnt"
	m.SetKernel(at, strconv.Itoa(m.number(at)+n))
}

// modules are all that there are, by name with _.
type modules map[string]Module

func under(name string) string { return strings.ReplaceAll(name, "-", "_") }

func said(format string, args ...any) host.Result {
	return host.Result{Exit: 1, Stderr: fmt.Appendf(nil, format+"\n", args...)}
}

// show makes what /sys tells of a module.
func (m *Machine) show(mod Module, parameters map[string]string) {
	dir := "/sys/module/" + under(mod.Name)
	m.SetKernel(dir+"/uevent", "")
	for key, value := range parameters {
		at := dir + "/parameters/" + key
		m.SetKernel(at, value)
		m.OnKernel(at, func(_ *Machine, value string) (string, error) {
			if !slices.Contains(mod.Writable, key) {
				return "", syscall.EACCES
			}
			return spelledAs(mod.Parameters[key], value), nil
		})
	}
}

// spelledAs shows a value as the kernel does a parameter of that type.
func spelledAs(example, value string) string {
	if example != "Y" && example != "N" {
		return value
	}
	if slices.Contains([]string{"", "1", "y", "Y"}, value) {
		return "Y"
	}
	return "N"
}

func (m *Machine) moduleLoaded(name string) bool {
	_, ok := m.KernelValue("/sys/module/" + name + "/initstate")
	return ok
}

// listModules shows what is loaded in /proc/modules.
func (m *Machine) listModules(k modules) {
	var names []string
	for name := range k {
		if m.moduleLoaded(name) {
			names = append(names, name+" 16384 0 - Live 0x0")
		}
	}
	slices.Sort(names)
	m.SetKernel("/proc/modules", strings.Join(names, "\n"))
}

// names are the paths right below a directory, sorted.
func (m *Machine) names(dir string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files.children(dir)
}

// conf are the words of all lines of modprobe.d of one sort about a module.
func (m *Machine) conf(verb, module string) (lines [][]string) {
	for _, name := range m.names("/etc/modprobe.d") {
		text, _ := m.File(name)
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == verb && under(f[1]) == module && strings.HasSuffix(name, ".conf") {
				lines = append(lines, f[2:])
			}
		}
	}
	return lines
}

func (k modules) modprobe(m *Machine, c host.Command) host.Result {
	name := under(c.Argv[1])
	if install := m.conf("install", name); len(install) > 0 {
		return said("modprobe: ERROR: Error running install command %q for module %s: retcode 1", strings.Join(install[0], " "), name)
	}
	return k.insert(m, name, c.Argv[2:])
}

func (k modules) insert(m *Machine, name string, options []string) host.Result {
	mod, ok := k[name]
	switch {
	case !ok:
		return said("modprobe: FATAL: Module %s not found in directory /lib/modules/x", name)
	case mod.Builtin || m.moduleLoaded(name):
		return host.Result{}
	}
	for _, needed := range mod.Needs {
		if r := k.insert(m, under(needed), nil); r.Exit != 0 {
			return r
		}
		m.UseModule(needed, 1)
		m.LinkKernel("/sys/module/"+under(needed)+"/holders/"+name, "../../"+name)
	}
	parameters := maps.Clone(mod.Parameters)
	for _, line := range append(m.conf("options", name), options) {
		for _, word := range line {
			key, value, _ := strings.Cut(word, "=")
			if old, ok := mod.Parameters[key]; ok {
				parameters[key] = spelledAs(old, value)
			}
		}
	}
	m.show(mod, parameters)
	m.SetKernel("/sys/module/"+name+"/initstate", "live")
	m.SetKernel("/sys/module/"+name+"/refcnt", "0")
	m.listModules(k)
	return host.Result{}
}

func (k modules) rmmod(m *Machine, c host.Command) host.Result {
	for _, name := range c.Argv[1:] {
		name = under(name)
		switch {
		case !m.moduleLoaded(name):
			return said("rmmod: ERROR: Module %s is not currently loaded", name)
		case m.number("/sys/module/"+name+"/refcnt") > 0:
			return said("rmmod: ERROR: Module %s is in use", name)
		}
		k.remove(m, name)
	}
	m.listModules(k)
	return host.Result{}
}

func (k modules) remove(m *Machine, name string) {
	m.mu.Lock()
	for at := range m.kernel {
		if strings.HasPrefix(at, "/sys/module/"+name+"/") {
			delete(m.kernel, at)
		}
	}
	for _, needed := range k[name].Needs {
		delete(m.kernelLinks, "/sys/module/"+under(needed)+"/holders/"+name)
	}
	m.mu.Unlock()
	for _, needed := range k[name].Needs {
		if m.moduleLoaded(under(needed)) {
			m.UseModule(needed, -1)
		}
	}
}

func (k modules) modinfo(m *Machine, c host.Command) host.Result {
	mod, ok := k[under(c.Argv[len(c.Argv)-1])]
	if !ok {
		return said("modinfo: ERROR: Module %s not found.", c.Argv[len(c.Argv)-1])
	}
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(mod.Parameters)) {
		fmt.Fprintf(&out, "%s:what it does (bool)\n", key)
	}
	return host.Result{Stdout: []byte(out.String())}
}

// stat prints the mode of a parameter.
func (k modules) stat(m *Machine, c host.Command) host.Result {
	at := c.Argv[len(c.Argv)-1]
	if _, ok := m.KernelValue(at); !ok {
		return said("stat: cannot statx '%s': No such file or directory", at)
	}
	mod := k[path.Base(path.Dir(path.Dir(at)))]
	if slices.Contains(mod.Writable, path.Base(at)) {
		return host.Result{Stdout: []byte("644\n")}
	}
	return host.Result{Stdout: []byte("444\n")}
}

// boot forgets what was loaded and loads what files name.
func (k modules) boot(m *Machine, verb host.UnitVerb) error {
	if verb != host.Start {
		return nil
	}
	for name := range k {
		if m.moduleLoaded(name) {
			k.remove(m, name)
		}
	}
	m.listModules(k)
	files := []string{"/etc/modules"}
	files = append(files, m.names("/etc/modules-load.d")...)
	for _, file := range files {
		text, _ := m.File(file)
		for line := range strings.Lines(text) {
			name := under(strings.TrimSpace(line))
			if _, ok := k[name]; ok && len(m.conf("blacklist", name)) == 0 {
				k.modprobe(m, host.Command{Argv: []string{"modprobe", name}})
			}
		}
	}
	return nil
}
