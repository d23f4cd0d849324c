package fake

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
)

// Where the model of GRUB has its files.
const (
	grubDefaults = "/etc/default/grub"
	grubConfig   = "/boot/grub/grub.cfg"
	grubCustom   = "/boot/grub/custom.cfg"
	grubEnv      = "/boot/grub/grubenv"
	grubKernel   = "/boot/vmlinuz-6.1.0-13-amd64"
)

// grub is what of a boot loader is in no file.
type grub struct {
	installed bool
	deadly    []string // arguments; never changed in place
}

// InstallGRUB has the machine started by a GRUB, as Debian sets it up, whose
// state is its files: update-grub writes grub.cfg from /etc/default/grub and
// grub.d (plain assignments alone), grub-reboot and grub-editenv edit the
// environment block, and [Machine.Reboot] takes the entry of a one-shot order,
// which it forgets, or the first one, and sets /proc/cmdline. The machine is up,
// booted with what the configuration says.
func (m *Machine) InstallGRUB() {
	m.Mkdir("/boot/grub")
	m.Mkdir("/etc/default/grub.d")
	m.Mkdir("/var/lib/weft")
	m.WriteFile(grubDefaults, "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n")
	m.WriteFile(grubEnv, envText(nil))
	m.SetKernel("/proc/self/mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n")
	m.SetKernel(bootID, "5f0c0ffe-0000-4000-8000-000000000000")
	m.Program("update-grub", func(m *Machine, _ host.Command) host.Result {
		m.updateGRUB()
		return host.Result{}
	})
	m.Program("grub-reboot", func(m *Machine, c host.Command) host.Result {
		return m.editEnv(func(env map[string]string) { env["next_entry"] = c.Argv[1] })
	})
	m.Program("grub-editenv", func(m *Machine, c host.Command) host.Result {
		return m.editEnv(func(env map[string]string) {
			for _, word := range c.Argv[3:] {
				if name, value, set := strings.Cut(word, "="); set {
					env[name] = value
				} else {
					delete(env, name)
				}
			}
		})
	})
	m.updateGRUB()
	m.mu.Lock()
	m.grub.installed = true
	m.mu.Unlock()
	m.bootGRUB()
}

// Deadly has every boot with an argument in its command line end before the
// kernel starts its first program: a panic, from which panic= boots anew.
func (m *Machine) Deadly(argument string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grub.deadly = append(slices.Clone(m.grub.deadly), argument)
}

// bootGRUB does what happens between a reset and the first program. It panics
// where the machine would stay down, since no test wants that.
func (m *Machine) bootGRUB() {
	m.mu.Lock()
	installed := m.grub.installed
	m.mu.Unlock()
	if !installed {
		return
	}
	for range 3 {
		line := m.takeEntry()
		m.mu.Lock()
		dead := slices.ContainsFunc(m.grub.deadly, func(a string) bool { return slices.Contains(strings.Fields(line), a) })
		m.mu.Unlock()
		if !dead {
			m.SetKernel("/proc/cmdline", line)
			return
		}
		if !strings.Contains(line, "panic=") {
			break
		}
	}
	panic("fake: the machine does not come up any more: its default entry has a deadly argument")
}

// takeEntry returns the command line of the entry that is booted.
func (m *Machine) takeEntry() string {
	config, _ := m.File(grubConfig)
	custom, _ := m.File(grubCustom)
	lines, ids := menuLines(config + custom)
	env := m.grubEnv()
	wanted := env["next_entry"]
	if wanted != "" {
		delete(env, "next_entry")
		m.WriteFile(grubEnv, envText(env))
	}
	if i := slices.Index(ids, wanted); i >= 0 {
		return lines[i]
	}
	return lines[0]
}

var (
	menuEntry = regexp.MustCompile(`^menuentry .*(?:--id|\$menuentry_id_option) '?([^' ]+)'?.*\{`)
	linuxLine = regexp.MustCompile(`^\s+linux\s+(\S+)\s+(.*)$`)
)

// menuLines are the kernels' command lines of a menu, with their ids.
func menuLines(config string) (lines, ids []string) {
	id := ""
	for line := range strings.Lines(config) {
		line = strings.TrimSuffix(line, "\n")
		if e := menuEntry.FindStringSubmatch(line); e != nil {
			id = e[1]
		}
		if l := linuxLine.FindStringSubmatch(line); l != nil {
			lines = append(lines, "BOOT_IMAGE="+l[1]+" "+strings.Join(strings.Fields(strings.ReplaceAll(l[2], `\`, "")), " "))
			ids = append(ids, id)
		}
	}
	return lines, ids
}

var shellAssignment = regexp.MustCompile(`(?m)^(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S*))$`)

var shellEscape = regexp.MustCompile(`\\(.)`)

// updateGRUB writes grub.cfg.
func (m *Machine) updateGRUB() {
	value := map[string]string{}
	for _, name := range append([]string{grubDefaults}, m.grubSnippets()...) {
		text, _ := m.File(name)
		for _, a := range shellAssignment.FindAllStringSubmatch(text, -1) {
			expanded := shellEscape.ReplaceAllString(a[2], "$1") + a[3] + a[4]
			for _, v := range slices.Backward(slices.Sorted(maps.Keys(value))) { // the longer name first
				expanded = strings.NewReplacer("${"+v+"}", value[v], "$"+v, value[v]).Replace(expanded)
			}
			value[a[1]] = expanded
		}
	}
	linux, normal := value["GRUB_CMDLINE_LINUX"], value["GRUB_CMDLINE_LINUX_DEFAULT"]
	m.WriteFile(grubConfig, fmt.Sprintf(`if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	insmod ext2
	search --no-floppy --fs-uuid --set=root 1
	linux	%[1]s root=UUID=1 ro %[2]s %[3]s
	initrd	/boot/initrd.img-6.1.0-13-amd64
}
menuentry 'Debian GNU/Linux (recovery mode)' --class debian $menuentry_id_option 'gnulinux-6.1.0-13-amd64-recovery-1' {
	linux	%[1]s root=UUID=1 ro single %[2]s
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
`, grubKernel, linux, normal))
}

func (m *Machine) grubSnippets() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files.children("/etc/default/grub.d")
}

// grubEnv reads the environment block, which may be missing.
func (m *Machine) grubEnv() map[string]string {
	env := map[string]string{}
	text, _ := m.File(grubEnv)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && !strings.HasPrefix(line, "#") {
			env[name] = value
		}
	}
	return env
}

func (m *Machine) editEnv(change func(map[string]string)) host.Result {
	env := m.grubEnv()
	change(env)
	m.WriteFile(grubEnv, envText(env))
	return host.Result{}
}

// envText is an environment block of 1024 bytes.
func envText(env map[string]string) string {
	var b strings.Builder
	b.WriteString("# GRUB Environment Block\n")
	for _, name := range slices.Sorted(maps.Keys(env)) {
		b.WriteString(name + "=" + env[name] + "\n")
	}
	return b.String() + strings.Repeat("#", 1024-b.Len())
}
