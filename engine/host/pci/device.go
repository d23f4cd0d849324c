package pci

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
)

// Root is the bus in sysfs.
const Root = "/sys/bus/pci"

// A Device is a function of a PCI device.
type Device struct {
	Address  string // "0000:01:00.0"
	Vendor   string // four hexadecimal digits: "8086"
	Model    string // likewise, what sysfs calls device: "10d3"
	Class    string // six: base class, subclass, interface: "020000"
	Driver   string // that it is bound to; empty for none
	Override string // driver_override; empty for none
	Group    string // number of its IOMMU group; empty for none
	Node     int    // NUMA node; -1 where the firmware does not say
	Links    []Link // that its driver made
	VFs      int    // virtual functions that are there
	MaxVFs   int    // that it can have
	Physical string // address of the physical function that it is a virtual one of
}

// Link is a network interface of a device.
type Link struct {
	Name string
	MAC  string // its own, also where it is a member of a bond
}

// Network says whether it is a network controller (base class 02).
func (d Device) Network() bool { return strings.HasPrefix(d.Class, "02") }

// Bridge says whether it is a bridge (base class 06), which passes on what
// others do.
func (d Device) Bridge() bool { return strings.HasPrefix(d.Class, "06") }

// Path is a file of a device in sysfs.
func Path(address, file string) string { return path.Join(Root, "devices", address, file) }

// Driver is a file of a driver in sysfs.
func Driver(name, file string) string { return path.Join(Root, "drivers", name, file) }

// List returns the addresses of all devices, sorted; none where there is no
// PCI bus.
func List(ctx context.Context, k host.KernelReader) ([]string, error) {
	names, err := k.List(ctx, path.Join(Root, "devices"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slices.DeleteFunc(names, func(n string) bool { return !function.MatchString(n) }), err
}

// Class reads the class alone: of hundreds of devices few are of interest.
func Class(ctx context.Context, k host.KernelReader, address string) (string, error) {
	r := reader{ctx: ctx, k: k}
	class := r.hex(Path(address, "class"))
	return class, r.err
}

// Read reads a device. The error wraps [fs.ErrNotExist] where it is not there.
func Read(ctx context.Context, k host.KernelReader, address string) (Device, error) {
	if _, err := k.Get(ctx, Path(address, "class")); err != nil {
		return Device{}, err
	}
	r := reader{ctx: ctx, k: k}
	at := func(file string) string { return Path(address, file) }
	d := Device{
		Address: address, Vendor: r.hex(at("vendor")), Model: r.hex(at("device")), Class: r.hex(at("class")),
		Driver: r.base(at("driver")), Override: r.value(at("driver_override")), Group: r.base(at("iommu_group")),
		Node: r.number(at("numa_node"), -1), VFs: r.number(at("sriov_numvfs"), 0), MaxVFs: r.number(at("sriov_totalvfs"), 0),
		Physical: r.base(at("physfn")),
	}
	if d.Override == "(null)" {
		d.Override = ""
	}
	d.Links = r.links(at(""))
	return d, r.err
}

// reader remembers the first failure. What is not there is empty.
type reader struct {
	ctx context.Context
	k   host.KernelReader
	err error
}

func (r *reader) note(err error) {
	if err != nil && r.err == nil && !errors.Is(err, fs.ErrNotExist) {
		r.err = err
	}
}

func (r *reader) value(name string) string {
	text, err := r.k.Get(r.ctx, name)
	r.note(err)
	return strings.TrimSpace(text)
}

// hex is a number without its 0x.
func (r *reader) hex(name string) string { return strings.TrimPrefix(r.value(name), "0x") }

func (r *reader) number(name string, otherwise int) int {
	n, err := strconv.Atoi(r.value(name))
	if err != nil {
		return otherwise
	}
	return n
}

// base is the last component of where a link leads.
func (r *reader) base(name string) string {
	target, err := r.k.Link(r.ctx, name)
	r.note(err)
	if target == "" {
		return ""
	}
	return path.Base(target)
}

func (r *reader) list(dir string) []string {
	names, err := r.k.List(r.ctx, dir)
	r.note(err)
	return names
}

// links are those below the device, or below the virtio device that it is.
func (r *reader) links(device string) []Link {
	var links []Link
	for _, at := range slices.Concat([]string{""}, r.virtio(device)) {
		dir := path.Join(device, at, "net")
		for _, name := range r.list(dir) {
			mac := r.value(path.Join(dir, name, "bonding_slave/perm_hwaddr"))
			if mac == "" {
				mac = r.value(path.Join(dir, name, "address"))
			}
			links = append(links, Link{Name: name, MAC: strings.ToLower(mac)})
		}
	}
	return links
}

func (r *reader) virtio(device string) []string {
	if r.base(path.Join(device, "driver")) != "virtio-pci" {
		return nil
	}
	return slices.DeleteFunc(r.list(device), func(n string) bool { return !strings.HasPrefix(n, "virtio") })
}
