package facts

import (
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/pci"
)

// machine reads what the machine is and how it was started.
func (c *collector) machine(f *host.Facts) {
	f.Cmdline = words(c.kernel("/proc/cmdline"))
	f.Firmware = "bios"
	if len(c.kernelList("/sys/firmware/efi")) > 0 {
		f.Firmware = "uefi"
	}
	f.Virtual = c.virtual()
	f.BootLoader = c.bootLoader(f.Firmware)
}

// virtual looks where systemd (its container interface) and hypervisors leave
// word.
func (c *collector) virtual() string {
	switch {
	case c.file("/run/systemd/container") != "" || c.file("/run/.containerenv") != "":
		return "container"
	case c.kernel("/sys/hypervisor/type") != "" || slices.Contains(cpuFlags(c.kernel("/proc/cpuinfo")), "hypervisor"):
		return "vm"
	}
	vendor := c.kernel("/sys/class/dmi/id/sys_vendor") + " " + c.kernel("/sys/class/dmi/id/product_name")
	for _, mark := range []string{"QEMU", "KVM", "VMware", "VirtualBox", "Xen", "Virtual Machine", "Amazon EC2", "Google Compute"} {
		if strings.Contains(vendor, mark) && !strings.Contains(vendor, ".metal") {
			return "vm"
		}
	}
	return "none"
}

// cpuFlags are those of the first processor.
func cpuFlags(cpuinfo string) []string {
	for line := range strings.Lines(cpuinfo) {
		if rest, ok := strings.CutPrefix(line, "flags"); ok {
			_, flags, _ := strings.Cut(rest, ":")
			return strings.Fields(flags)
		}
	}
	return nil
}

// loaderInfo is where systemd-boot says that it started this boot
// (the Boot Loader Interface).
const loaderInfo = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// bootLoader finds the configuration of the boot loader. systemd-boot says
// itself that it was at work; GRUB is known by its file.
func (c *collector) bootLoader(firmware string) host.BootLoader {
	if firmware == "uefi" && strings.Contains(strings.ReplaceAll(c.kernel(loaderInfo), "\x00", ""), "systemd-boot") {
		for _, config := range []string{"/efi/loader/loader.conf", "/boot/efi/loader/loader.conf", "/boot/loader/loader.conf"} {
			if c.there(config) {
				return host.BootLoader{Name: "systemd-boot", Entries: "bls", Config: config}
			}
		}
		return host.BootLoader{Name: "systemd-boot", Entries: "bls"}
	}
	for _, config := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"} {
		if !c.there(config) {
			continue
		}
		loader := host.BootLoader{Name: "grub", Entries: "config", Config: config}
		if blscfg(c.file(config)) {
			loader.Entries = "bls"
		}
		return loader
	}
	return host.BootLoader{Name: "unknown"}
}

// blscfg says whether a grub.cfg has its menu made by GRUB's command of that
// name.
func blscfg(config string) bool {
	for line := range strings.Lines(config) {
		if strings.TrimSpace(line) == "blscfg" {
			return true
		}
	}
	return false
}

// words splits a kernel command line as the kernel does (next_arg in
// lib/cmdline.c): at blanks outside double quotes, which go. What follows "--" is
// for init.
func words(line string) []string {
	quoted := false
	fields := strings.FieldsFunc(line, func(r rune) bool {
		quoted = quoted != (r == '"')
		return !quoted && strings.ContainsRune(" \t\n\r\v\f", r)
	})
	out := make([]string, 0, len(fields))
	for _, f := range fields {
		if len(out) == most || f == "--" {
			break
		}
		out = append(out, strings.ReplaceAll(f, `"`, ""))
	}
	return out
}

// most is how many of a kind are told: what a sound host never has, and what a
// hostile one may say.
const most = 2048

// devices reads the IOMMU, and of the PCI devices those that somebody binds to
// a driver of their choice: a host has hundreds of bridges and the like.
func (c *collector) devices(f *host.Facts) {
	iommu, err := pci.ReadIOMMU(c.ctx, c.v.Kernel)
	c.note(err)
	groups, err := pci.Groups(c.ctx, c.v.Kernel)
	c.note(err)
	f.IOMMU = host.IOMMU{On: iommu.On(), Table: iommu.Table, Units: iommu.Units, Groups: groups}
	addresses, err := pci.List(c.ctx, c.v.Kernel)
	c.note(err)
	f.PCI = map[string]*host.PCIDevice{}
	for _, address := range addresses {
		class, err := pci.Class(c.ctx, c.v.Kernel, address)
		c.note(err)
		if !chosen(class) || len(f.PCI) == most {
			continue
		}
		d, err := pci.Read(c.ctx, c.v.Kernel, address)
		c.note(err)
		if d.Address == "" {
			continue // gone meanwhile
		}
		links := map[string]string{}
		for _, l := range d.Links {
			links[l.Name] = l.MAC
		}
		f.PCI[address] = &host.PCIDevice{
			Vendor: d.Vendor, Device: d.Model, Class: d.Class, Driver: d.Driver, Group: d.Group, Node: d.Node,
			Links: links, VFs: d.VFs, MaxVFs: d.MaxVFs, Physical: d.Physical,
		}
	}
}

// chosen are network controllers, coprocessors, and controllers for encryption
// and for acceleration (PCI Code and ID Assignment Specification).
func chosen(class string) bool {
	for _, c := range []string{"02", "0b40", "10", "12"} {
		if strings.HasPrefix(class, c) {
			return true
		}
	}
	return false
}

// upkeep reads what a host needs to be worked at.
func (c *collector) upkeep(f *host.Facts) {
	f.FileSystems = map[string]*host.FileSystem{}
	for _, at := range []string{"/", "/boot", "/var"} {
		s, err := c.v.Disks.Space(c.ctx, at)
		c.note(err)
		if err == nil {
			f.FileSystems[at] = &host.FileSystem{SizeMB: int(s.Total >> 20), FreeMB: int(s.Free >> 20), ReadOnly: s.ReadOnly}
		}
	}
	f.TimeSync = c.timeSync()
	f.OVSSystemID = strings.TrimSpace(c.file("/etc/openvswitch/system-id.conf"))
}

// timeSync is the first of the services that set clocks which has a control
// group, and so runs.
func (c *collector) timeSync() string {
	running := map[string]bool{}
	for _, slice := range []string{"/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice"} {
		for _, name := range c.kernelList(slice) {
			running[name] = true
		}
	}
	for _, service := range []string{"chrony", "chronyd", "systemd-timesyncd", "ntpsec", "ntp", "ntpd", "openntpd", "ptp4l"} {
		if running[service+".service"] {
			return service
		}
	}
	return ""
}

func (c *collector) kernelList(dir string) []string {
	names, err := c.v.Kernel.List(c.ctx, dir)
	c.note(err)
	return names
}

func (c *collector) there(name string) bool {
	_, err := c.v.Files.Stat(c.ctx, name)
	c.note(err)
	return err == nil
}
