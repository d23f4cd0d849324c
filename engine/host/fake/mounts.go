package fake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

const mountTable = "/proc/self/mountinfo"

// AddMounts gives the machine a table of mounts with a root file system, and
// the programs mount and umount. They know the flags of all file systems and
// show sizes as the kernel does; a mount is busy where a process of /proc has
// its directory below it ([Machine.LinkKernel] of /proc/PID/cwd).
func (m *Machine) AddMounts() {
	m.SetKernel(mountTable, "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro")
	m.Mkdir("/mnt")
	m.WriteFile("/etc/fstab", "# /etc/fstab\nUUID=1234-ab /\text4 errors=remount-ro 0 1\n")
	m.Program("mount", mount)
	m.Program("umount", umount)
}

// Mount is mount(8) by another hand, with its arguments.
func (m *Machine) Mount(argv ...string) {
	if r := mount(m, host.Command{Argv: append([]string{"mount"}, argv...)}); r.Exit != 0 {
		panic("fake: " + string(r.Stderr))
	}
}

// Unmount is umount(8) by another hand.
func (m *Machine) Unmount(point string) {
	if r := umount(m, host.Command{Argv: []string{"umount", point}}); r.Exit != 0 {
		panic("fake: " + string(r.Stderr))
	}
}

// mountLines are the lines of the table, and which of them is at a point; -1
// where none is.
func (m *Machine) mountLines(point string) (lines []string, at int) {
	text, _ := m.KernelValue(mountTable)
	lines = strings.Split(text, "\n")
	at = -1
	for i, line := range lines {
		if f := strings.Fields(line); len(f) > 4 && f[4] == point {
			at = i
		}
	}
	return lines, at
}

// mount is "mount -t TYPE -o OPTIONS SOURCE POINT".
func mount(m *Machine, c host.Command) host.Result {
	if len(c.Argv) != 7 || c.Argv[1] != "-t" || c.Argv[3] != "-o" {
		return host.Result{Exit: 1, Stderr: []byte("mount: bad usage\n")}
	}
	kind, options, source, point := c.Argv[2], strings.Split(c.Argv[4], ","), c.Argv[5], c.Argv[6]
	m.mu.Lock()
	_, dir, err := m.files.find(point, follow)
	m.mu.Unlock()
	if err != nil || dir.Type != host.Directory {
		return host.Result{Exit: 32, Stderr: fmt.Appendf(nil, "mount: %s: mount point does not exist.\n", point)}
	}
	lines, at := m.mountLines(point)
	flags, super := shownOptions(kind, options)
	line := fmt.Sprintf("%d 21 0:%d / %s %s - %s %s %s", 30+len(lines), 40+len(lines), point, flags, kind, source, super)
	if options[0] != "remount" {
		m.SetKernel(mountTable, strings.Join(append(lines, line), "\n"))
		return host.Result{}
	}
	if at < 0 {
		return host.Result{Exit: 32, Stderr: fmt.Appendf(nil, "mount: %s: mount point not mounted or bad option.\n", point)}
	}
	old := strings.Fields(lines[at])
	super = remounted(kind, old[len(old)-1], super)
	line = strings.Join(old[:5], " ") + " " + flags + " - " + kind + " " + old[len(old)-2] + " " + super
	lines[at] = line
	m.SetKernel(mountTable, strings.Join(lines, "\n"))
	return host.Result{}
}

// remounted are a file system's own options after a remount: hugetlbfs takes no
// notice of them, tmpfs of its size alone.
func remounted(kind, old, asked string) string {
	switch kind {
	case "hugetlbfs":
		return old
	case "tmpfs":
		isSize := func(o string) bool { return strings.HasPrefix(o, "size=") }
		kept, new := strings.Split(old, ","), strings.Split(asked, ",")
		if at := slices.IndexFunc(new, isSize); at >= 0 {
			kept = slices.Insert(slices.DeleteFunc(kept, isSize), 1, new[at])
		}
		return strings.Join(kept, ",")
	}
	return asked
}

// shownOptions is how the kernel shows options: the mount's flags, and those of
// the file system.
func shownOptions(kind string, options []string) (flags, super string) {
	f, s, access := []string{"rw"}, []string{"rw"}, "relatime"
	sized := false
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch {
		case o == "ro":
			f[0] = "ro"
		case slices.Contains([]string{"nosuid", "nodev", "noexec", "nodiratime"}, o):
			f = append(f, o)
		case o == "noatime":
			access = o
		case o == "strictatime":
			access = ""
		case key == "size":
			s = append(s, key+"="+shownSize(value, "k"))
		case key == "pagesize":
			sized = true
			s = append(s, key+"="+shownSize(value, "M"))
		case key == "mode":
			s = append(s, key+"="+strings.TrimLeft(value, "0"))
		}
	}
	if access != "" {
		f = append(f, access)
	}
	if kind == "hugetlbfs" && !sized {
		s = append(s, "pagesize=2M")
	}
	if kind == "tmpfs" {
		s = append(s, "inode64")
	}
	return strings.Join(f, ","), strings.Join(s, ",")
}

// shownSize is a size in a unit.
func shownSize(value, unit string) string {
	number := strings.TrimRight(value, "kMGBi")
	n, err := strconv.Atoi(number)
	must(err)
	switch strings.TrimRight(value[len(number):], "Bi") {
	case "G":
		n <<= 20
	case "M":
		n <<= 10
	case "":
		n >>= 10
	}
	if unit == "M" {
		n >>= 10
	}
	return strconv.Itoa(n) + unit
}

func umount(m *Machine, c host.Command) host.Result {
	point := c.Argv[1]
	lines, at := m.mountLines(point)
	if at < 0 {
		return host.Result{Exit: 32, Stderr: fmt.Appendf(nil, "umount: %s: not mounted.\n", point)}
	}
	m.mu.Lock()
	busy := false
	for name, target := range m.kernelLinks {
		busy = busy || strings.HasPrefix(name, "/proc/") && strings.HasSuffix(name, "/cwd") && strings.HasPrefix(target, point)
	}
	m.mu.Unlock()
	if busy {
		return host.Result{Exit: 32, Stderr: fmt.Appendf(nil, "umount: %s: target is busy.\n", point)}
	}
	m.SetKernel(mountTable, strings.Join(slices.Delete(lines, at, at+1), "\n"))
	return host.Result{}
}
