package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/pci"
	"weft/engine/step"
)

// Read finds the device and reads it.
func (pciBindings) Read(ctx context.Context, v host.View, want pciBinding) (pciBinding, error) {
	have := pciBinding{Address: want.Address, MAC: want.MAC}
	if have.Address == "" {
		var err error
		if have.Address, err = addressOfMAC(ctx, v, want.MAC); err != nil {
			return have, err
		}
	}
	d, err := pci.Read(ctx, v.Kernel, have.Address)
	if errors.Is(err, fs.ErrNotExist) {
		return have, noPCIDevice(ctx, v, have.Address)
	}
	if err != nil {
		return have, err
	}
	have.Driver, have.Override = given(d.Driver), given(d.Override)
	if have.Module, err = moduleOf(ctx, v, d.Driver); err != nil {
		return have, err
	}
	if have.Link, err = linkOf(ctx, v, d); err != nil {
		return have, err
	}
	if err := readPCIFiles(ctx, v, &have, want); err != nil {
		return have, err
	}
	err = readVFIO(ctx, v, d, &have, want)
	return have, err
}

// given is None for the empty string.
func given(s string) step.Attr[string] {
	if s == "" {
		return step.None[string]()
	}
	return step.Is(s)
}

// addressOfMAC finds the device that has, or had, a link with a MAC.
func addressOfMAC(ctx context.Context, v host.View, mac string) (string, error) {
	all, err := pci.List(ctx, v.Kernel)
	if err != nil {
		return "", err
	}
	var seen []string
	for _, address := range all {
		d, err := pci.Read(ctx, v.Kernel, address)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, l := range d.Links {
			if l.MAC == mac {
				return address, nil
			}
			seen = append(seen, fmt.Sprintf("%s (%s, %s)", l.MAC, l.Name, address))
		}
	}
	for _, address := range all {
		text, err := v.Files.Read(ctx, rulePath(address))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", err
		case ruleMAC(string(text)) == mac:
			return address, nil
		}
	}
	what := "there are none"
	if len(seen) > 0 {
		what = "there are " + strings.Join(seen, ", ")
	}
	return "", fmt.Errorf("no PCI device has the MAC %s; %s; one that no kernel driver holds shows none, so name it by its address: %w", mac, what, step.ErrNotYet)
}

// noPCIDevice says which network controllers there are.
func noPCIDevice(ctx context.Context, v host.View, address string) error {
	all, err := pci.List(ctx, v.Kernel)
	if err != nil {
		return err
	}
	var seen []string
	for _, a := range all {
		d, err := pci.Read(ctx, v.Kernel, a)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if d.Network() {
			seen = append(seen, d.Address)
		}
	}
	what := "no network controller is on the bus"
	if len(seen) > 0 {
		what = "network controllers are " + strings.Join(seen, ", ")
	}
	return fmt.Errorf("there is no PCI device %s; %s (weft facts shows more): %w", address, what, step.ErrNotYet)
}

// moduleOf is the kernel module that holds a driver; empty for a built-in one.
func moduleOf(ctx context.Context, v host.View, driver string) (string, error) {
	if driver == "" {
		return "", nil
	}
	target, err := v.Kernel.Link(ctx, pci.Driver(driver, "module"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return target[strings.LastIndexByte(target, '/')+1:], err
}

// linkOf is the link that a device carries, with what undo brings back of it.
func linkOf(ctx context.Context, v host.View, d pci.Device) (*pciLink, error) {
	if len(d.Links) == 0 {
		return nil, nil //nolint:nilnil // a device without a link is no error
	}
	all, err := v.Links.List(ctx, "")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(l host.Link) bool { return l.Name == d.Links[0].Name })
	if i < 0 {
		return nil, nil //nolint:nilnil // renamed while we looked
	}
	return &pciLink{Driver: d.Driver, Name: all[i].Name, Up: all[i].Up, MTU: all[i].MTU}, nil
}

// readPCIFiles reads what is done at boot. Driverctl is unmanaged where driverctl is not
// installed.
func readPCIFiles(ctx context.Context, v host.View, have *pciBinding, want pciBinding) (err error) {
	if have.Rule, err = wholeFile(ctx, v, rulePath(have.Address)); err != nil {
		return err
	}
	_, err = v.Files.Stat(ctx, driverctl)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil || want.Driverctl.Managed() {
		if have.Driverctl, err = wholeFile(ctx, v, driverctlPath(have.Address)); err != nil {
			return err
		}
		if text, there := have.Driverctl.Get(); there {
			have.Driverctl = step.Is(strings.TrimSpace(text))
		}
	}
	if want.UnsafeFile.Managed() || want.Asked != nil && want.Asked.Unsafe {
		if have.UnsafeFile, err = wholeFile(ctx, v, unsafeFile); err != nil {
			return err
		}
		mode, err := v.Kernel.Get(ctx, unsafeMode)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		have.Unsafe = step.Is("N")
		if mode == "Y" {
			have.Unsafe = step.Is("Y")
		}
	}
	return nil
}

// wholeFile is a file's content, None where it is not there.
func wholeFile(ctx context.Context, v host.View, name string) (step.Attr[string], error) {
	text, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), nil
	}
	return step.Is(string(text)), err
}

// readVFIO looks whether vfio-pci can be had at all.
func readVFIO(ctx context.Context, v host.View, d pci.Device, have *pciBinding, want pciBinding) error {
	if want.Asked == nil || want.Asked.Driver != vfio {
		return nil
	}
	iommu, err := pci.ReadIOMMU(ctx, v.Kernel)
	if err != nil {
		return err
	}
	have.IOMMU = iommu.On()
	reserved := false
	if d.Group != "" {
		if reserved, err = pci.Reserved(ctx, v.Kernel, d.Group); err != nil {
			return err
		}
	}
	module, err := haveModule(ctx, v, vfio)
	if err != nil {
		return err
	}
	switch {
	case !iommu.On() && iommu.Table == "":
		have.Without = noFirmware
	case reserved:
		have.Without = "the firmware keeps memory of IOMMU group " + d.Group + " for itself (RMRR)"
	case !module:
		have.Without = "this kernel has no module vfio-pci"
	}
	return nil
}

const noFirmware = "the firmware offers no IOMMU: there is no ACPI table DMAR, IVRS, IORT or VIOT"

// haveModule says whether a driver is there, or a module of its name is for the
// kernel that runs.
func haveModule(ctx context.Context, v host.View, driver string) (bool, error) {
	_, err := v.Kernel.List(ctx, pci.Driver(driver, ""))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	release, err := v.Kernel.Get(ctx, "/proc/sys/kernel/osrelease")
	if err != nil {
		return false, err
	}
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		text, err := v.Files.Read(ctx, "/lib/modules/"+release+"/"+list)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if listsModule(string(text), driver) {
			return true, nil
		}
	}
	return false, nil
}

// listsModule reads modules.dep(5) and modules.builtin, whose lines begin with a
// path; a dash and an underscore are alike.
func listsModule(text, module string) bool {
	plain := func(s string) string { return strings.ReplaceAll(s, "-", "_") }
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		name = name[strings.LastIndexByte(name, '/')+1:]
		name, _, ok := strings.Cut(name, ".ko")
		if ok && plain(name) == plain(module) {
			return true
		}
	}
	return false
}
