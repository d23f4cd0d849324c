// Package facts reads what a playbook may know of a host as host.facts: files,
// the kernel and systemd, and no program.
package facts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"

	"weft/engine/host"
)

// Collect reads the facts. What a host does not have (an os-release, a dpkg)
// leaves its fact empty; what cannot be read is an error.
func Collect(ctx context.Context, v host.View) (*host.Facts, error) {
	c := collector{ctx: ctx, v: v}
	f := &host.Facts{
		Hostname:     c.kernel("/proc/sys/kernel/hostname"),
		Architecture: c.kernel("/proc/sys/kernel/arch"), // since Linux 6.1
		Kernel:       c.kernel("/proc/sys/kernel/osrelease"),
		BootID:       c.kernel("/proc/sys/kernel/random/boot_id"),
		MachineID:    strings.TrimSpace(c.file("/etc/machine-id")),
		CPUs:         countCPUs(c.kernel("/sys/devices/system/cpu/online")),
		MemoryMB:     memoryOf(c.kernel("/proc/meminfo")),
		Packages:     packages(c.file("/var/lib/dpkg/status")),
	}
	if f.Architecture == "" {
		f.Architecture = machine(runtime.GOARCH)
	}
	release := c.file("/etc/os-release")
	if release == "" {
		release = c.file("/usr/lib/os-release")
	}
	c.distribution(f, parseRelease(release))
	builtin := ""
	if f.Kernel != "" {
		builtin = c.file("/lib/modules/" + f.Kernel + "/modules.builtin")
	}
	f.Modules = modules(c.kernel("/proc/modules"), builtin)
	f.Links = c.links()
	c.machine(f)
	c.memory(f)
	c.devices(f)
	c.upkeep(f)
	if c.err != nil {
		return nil, fmt.Errorf("read the facts: %w", c.err)
	}
	return f, nil
}

// A collector reads, and remembers the first failure.
type collector struct {
	ctx context.Context
	v   host.View
	err error
}

func (c *collector) note(err error) {
	if err != nil && c.err == nil && !errors.Is(err, fs.ErrNotExist) {
		c.err = err
	}
}

func (c *collector) kernel(path string) string {
	text, err := c.v.Kernel.Get(c.ctx, path)
	c.note(err)
	return text
}

func (c *collector) file(path string) string {
	content, err := c.v.Files.Read(c.ctx, path)
	c.note(err)
	return string(content)
}

func (c *collector) links() map[string]*host.NIC {
	links, err := c.v.Links.List(c.ctx, "")
	c.note(err)
	nics := make(map[string]*host.NIC, len(links))
	for _, l := range links {
		nic := &host.NIC{MAC: l.MAC, MTU: l.MTU, Up: l.Up, Addresses: []string{}}
		for _, a := range l.Addresses {
			nic.Addresses = append(nic.Addresses, a.String())
		}
		nics[l.Name] = nic
	}
	return nics
}

func (c *collector) distribution(f *host.Facts, release map[string]string) {
	f.Distribution, f.Version, f.Codename = release["ID"], release["VERSION_ID"], release["VERSION_CODENAME"]
	f.Family = f.Distribution
	for _, id := range append([]string{f.Distribution}, strings.Fields(release["ID_LIKE"])...) {
		switch id {
		case "debian", "ubuntu":
			f.Family = "debian"
		case "rhel", "centos", "fedora":
			f.Family = "redhat"
		}
	}
}

// machine is the machine type of uname(2) for Go's name of an architecture.
func machine(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return goarch
}

// countCPUs counts a list of the kernel's form "0-3,8".
func countCPUs(list string) int {
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 20)
		if err != nil {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.ParseUint(last, 10, 20); err != nil || b < a {
				continue
			}
		}
		n += int(b-a) + 1
	}
	return n
}

// modules are the loaded ones of proc_modules(5) and those of modules.builtin,
// which names files ("kernel/drivers/net/tun.ko"). The kernel writes a dash in
// a file's name and an underscore in a module's.
func modules(loaded, builtin string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(loaded) {
		if name, _, ok := strings.Cut(line, " "); ok && name != "" {
			all[name] = true
		}
	}
	for line := range strings.Lines(builtin) {
		line = strings.TrimSpace(line)
		line = line[strings.LastIndexByte(line, '/')+1:]
		if name, ok := strings.CutSuffix(line, ".ko"); ok && name != "" {
			all[strings.ReplaceAll(name, "-", "_")] = true
		}
	}
	return all
}
