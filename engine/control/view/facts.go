package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/wire"
)

// Facts shows what people look for among the facts of hosts. Packages and modules
// are counted: JSON has them all.
func Facts(w io.Writer, environment func(string) (string, bool), facts map[string]*host.Facts) error {
	p := Colour(w, environment)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		b.WriteString(p.bold(wire.Neutralise(name)) + "\n")
		for _, line := range factLines(facts[name]) {
			if line[1] != "" {
				fmt.Fprintf(&b, "  %s  %s\n", p.faint(fmt.Sprintf("%-10s", line[0])), wire.Neutralise(line[1]))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// factLines are labels and what there is to say.
func factLines(f *host.Facts) [][2]string {
	what := f.Virtual
	if what == "none" {
		what = "hardware"
	}
	lines := [][2]string{
		{"system", joined(" ", f.Distribution, f.Version, f.Codename, f.Architecture, "kernel "+f.Kernel)},
		{"identity", joined(", ", f.Hostname, "machine-id "+f.MachineID, labelled("system-id ", f.OVSSystemID))},
		{"machine", joined(", ", what, f.Firmware,
			joined(" ", f.BootLoader.Name, f.BootLoader.Config, labelled("entries by ", f.BootLoader.Entries)))},
		{"memory", joined(", ", fmt.Sprintf("%d MB", f.MemoryMB), count(f.CPUs, "processor"), pages(f.HugePages))},
	}
	for _, n := range slices.SortedFunc(maps.Keys(f.NUMA), byNumber) {
		node := f.NUMA[n]
		lines = append(lines, [2]string{"node " + n, joined(", ", fmt.Sprintf("%d MB", node.MemoryMB), "processors "+ranges(node.CPUs), pages(node.HugePages))})
	}
	iommu := "off"
	if f.IOMMU.On {
		iommu = "on"
	}
	lines = append(lines,
		[2]string{"arguments", strings.Join(f.Cmdline, " ")},
		[2]string{"IOMMU", joined(", ", iommu, labelled("table ", f.IOMMU.Table), labelled("units ", strings.Join(f.IOMMU.Units, " ")), count(f.IOMMU.Groups, "group"))})
	for _, address := range slices.Sorted(maps.Keys(f.PCI)) {
		lines = append(lines, [2]string{address, device(f.PCI[address])})
	}
	for _, name := range slices.Sorted(maps.Keys(f.Links)) {
		l := f.Links[name]
		state := "down"
		if l.Up {
			state = "up"
		}
		lines = append(lines, [2]string{name, joined(", ", state, l.MAC, fmt.Sprintf("MTU %d", l.MTU), strings.Join(l.Addresses, " "))})
	}
	for _, at := range slices.Sorted(maps.Keys(f.FileSystems)) {
		s := f.FileSystems[at]
		only := ""
		if s.ReadOnly {
			only = "read-only"
		}
		lines = append(lines, [2]string{at, joined(", ", fmt.Sprintf("%d of %d MB free", s.FreeMB, s.SizeMB), only)})
	}
	return append(lines,
		[2]string{"clock", cmp.Or(f.TimeSync, "kept by no service")},
		[2]string{"software", count(len(f.Packages), "package") + ", " + count(len(f.Modules), "kernel module")})
}

// device is a PCI device in a line.
func device(d *host.PCIDevice) string {
	var links []string
	for _, name := range slices.Sorted(maps.Keys(d.Links)) {
		links = append(links, name+" "+d.Links[name])
	}
	vfs := ""
	if d.MaxVFs > 0 {
		vfs = fmt.Sprintf("%d of %d virtual functions", d.VFs, d.MaxVFs)
	}
	node := ""
	if d.Node >= 0 {
		node = "node " + strconv.Itoa(d.Node)
	}
	return joined(", ", d.Vendor+":"+d.Device, cmp.Or(d.Driver, "no driver"), strings.Join(links, " "), labelled("group ", d.Group), node, vfs, labelled("function of ", d.Physical))
}

func pages(sizes map[string]*host.HugePages) string {
	var all []string
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		if p := sizes[size]; p.Total > 0 {
			all = append(all, fmt.Sprintf("%d pages of %s (%d free)", p.Total, size, p.Free))
		}
	}
	return strings.Join(all, ", ")
}

// ranges is a list of numbers in the kernel's form, 0-3,8.
func ranges(numbers []int) string {
	var all []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		text := strconv.Itoa(numbers[i])
		if j > i {
			text += "-" + strconv.Itoa(numbers[j])
		}
		all = append(all, text)
		i = j + 1
	}
	return strings.Join(all, ",")
}

// byNumber has 2 before 10.
func byNumber(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// joined leaves out what is empty.
func joined(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + text
}
