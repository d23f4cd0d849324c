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

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/pci"
	"weft/engine/host/row"
	"weft/engine/step"
)

// refusePCI says why a device must not change its driver, or could not be used
// by the one asked for.
func refusePCI(ctx context.Context, v host.View, have, want pciBinding) error {
	if want.Driver == have.Driver {
		return nil
	}
	d, err := pci.Read(ctx, v.Kernel, have.Address)
	if err != nil {
		return err
	}
	driver := want.Driver.Or("")
	for _, refuse := range []func() error{
		func() error { return refuseDevice(d, driver) },
		func() error { return refuseInUse(ctx, v, d) },
		func() error { return refuseHeld(ctx, v, d) },
		func() error { return refuseVFIO(ctx, v, d, have, want) },
		func() error { return refuseModule(ctx, v, driver) },
	} {
		if err := refuse(); err != nil {
			return err
		}
	}
	return nil
}

// bifurcated are drivers that DPDK works beside, through verbs.
var bifurcated = []string{"mlx4_core", "mlx5_core", "mana"}

func forUserspace(driver string) bool {
	return driver == vfio || driver == uio || driver == "igb_uio"
}

// refuseDevice is about the device itself.
func refuseDevice(d pci.Device, driver string) error {
	switch {
	case strings.HasPrefix(d.Class, "01"):
		return errors.New("it is a storage controller: the system may stand on what it carries")
	case d.Bridge():
		return errors.New("it is a bridge: others are reached through it")
	case slices.Contains(bifurcated, d.Driver) && forUserspace(driver):
		return fmt.Errorf("it is driven by %s, and DPDK uses such a NIC through that driver: leave this step out, and name the address in dpdk-devargs", d.Driver)
	case d.VFs > 0 && forUserspace(driver):
		return fmt.Errorf("it has %d virtual functions, which go with its driver: set sriov_numvfs to 0 first", d.VFs)
	case d.Physical != "" && driver == uio:
		return fmt.Errorf("it is a virtual function of %s and has no interrupt line, which %s needs: only vfio-pci drives it", d.Physical, uio)
	}
	return nil
}

// refuseInUse is about the links of a device: that one that carries the way to
// this host is among those with addresses, or below or in something that has them.
func refuseInUse(ctx context.Context, v host.View, d pci.Device) error {
	if len(d.Links) == 0 {
		return nil
	}
	all, err := v.Links.List(ctx, "")
	if err != nil {
		return err
	}
	routes, err := v.Links.Routes(ctx, "")
	if err != nil {
		return err
	}
	for _, l := range all {
		if slices.ContainsFunc(d.Links, func(o pci.Link) bool { return o.Name == l.Lower }) {
			return fmt.Errorf("in use: %s stands on its link %s; take that away first", l.Name, l.Lower)
		}
		if !slices.ContainsFunc(d.Links, func(o pci.Link) bool { return o.Name == l.Name }) {
			continue
		}
		if l.Master != "" {
			return fmt.Errorf("in use: its link %s belongs to %s; take it out first", l.Name, l.Master)
		}
		if err := refuseAddressed(l, routes); err != nil {
			return err
		}
		bridge, err := inOpenVSwitch(ctx, v, l.Name)
		if err != nil {
			return err
		}
		if bridge {
			return fmt.Errorf("in use: its link %s is a port of Open vSwitch; take the port away first", l.Name)
		}
	}
	return nil
}

// refuseAddressed passes IPv6 addresses over that a router's advertisement gave:
// every link that is up has such where there is a router.
func refuseAddressed(l host.Link, routes []host.Route) error {
	for _, a := range l.Addresses {
		if a.Addr().Is6() && l.Special[a].Leased {
			continue
		}
		carries := ""
		for _, r := range routes {
			if r.Link == l.Name && r.Destination.Bits() == 0 {
				carries = ", and carries the default route, so this host may be reached by it"
			}
		}
		return fmt.Errorf("in use: its link %s has the address %s%s; move that elsewhere first (net_address)", l.Name, a, carries)
	}
	return nil
}

// inOpenVSwitch says whether a link is an interface of Open vSwitch. The userspace
// datapath makes no master of itself that the kernel knows of.
func inOpenVSwitch(ctx context.Context, v host.View, link string) (bool, error) {
	results, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Interface", []string{"name"}, ovsdb.NewCondition("name", ovsdb.ConditionEqual, link)))
	if errors.Is(err, host.ErrNotReady) {
		return false, nil
	}
	return err == nil && len(results[0].Rows) > 0, err
}

// refuseHeld is about programs that drive the device themselves: a driver that is
// told to leave would wait for them for ever.
func refuseHeld(ctx context.Context, v host.View, d pci.Device) error {
	node := "/dev/vfio/" + d.Group
	switch {
	case d.Driver == uio || d.Driver == "igb_uio":
		names, err := v.Kernel.List(ctx, pci.Path(d.Address, "uio"))
		if len(names) == 0 {
			return ignoreMissing(err)
		}
		node = "/dev/" + names[0]
	case d.Driver != vfio || d.Group == "":
		return nil
	}
	processes, err := v.Kernel.List(ctx, "/proc")
	if err != nil {
		return ignoreMissing(err)
	}
	for _, pid := range processes {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		fds := path.Join("/proc", pid, "fd")
		names, err := v.Kernel.List(ctx, fds)
		if err != nil {
			continue // it ended, or is the kernel's
		}
		for _, fd := range names {
			target, err := v.Kernel.Link(ctx, path.Join(fds, fd))
			if err != nil || target != node {
				continue
			}
			program, _ := v.Kernel.Get(ctx, path.Join("/proc", pid, "comm")) // only for the message
			return fmt.Errorf("in use: %s (process %s) holds %s open; take the port from Open vSwitch, or stop the program or the guest, first", program, pid, node)
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// refuseVFIO is about the IOMMU.
func refuseVFIO(ctx context.Context, v host.View, d pci.Device, have, want pciBinding) error {
	if want.Driver != step.Is(vfio) || want.Asked == nil || want.Unsafe.Managed() {
		return nil
	}
	if !have.IOMMU {
		return iommuOff(ctx, v, have.Without)
	}
	if d.Group == "" {
		return errors.New("it is in no IOMMU group, although the IOMMU is on: the kernel leaves it out; the kernel argument intel_iommu=on takes all devices in")
	}
	if have.Without != "" && !strings.Contains(have.Without, "module") {
		return fmt.Errorf("vfio-pci cannot have it: %s; with fallback = %q it is bound without protection", have.Without, uio)
	}
	members, err := pci.Group(ctx, v.Kernel, d.Group)
	if err != nil {
		return err
	}
	var others []string
	for _, address := range members {
		o, err := pci.Read(ctx, v.Kernel, address)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if address == d.Address || o.Bridge() || slices.Contains(want.Asked.SharedWith, address) || slices.Contains([]string{"", vfio, "pci-stub"}, o.Driver) {
			continue
		}
		others = append(others, fmt.Sprintf("%s (%s)", address, o.Driver))
	}
	if len(others) > 0 {
		return fmt.Errorf("its IOMMU group %s also holds %s, and a group is given away whole: bind them to vfio-pci too and name them in shared_with, or put the card in another slot",
			d.Group, strings.Join(others, ", "))
	}
	return nil
}

// iommuOff says why the IOMMU is off. What a boot with other arguments may bring
// is not there yet.
func iommuOff(ctx context.Context, v host.View, without string) error {
	if without == noFirmware {
		return fmt.Errorf("vfio-pci needs an IOMMU, and %s; switch VT-d or AMD-Vi on in the firmware's setup, or set fallback = %q", without, uio)
	}
	cmdline, err := v.Kernel.Get(ctx, "/proc/cmdline")
	if err != nil {
		return err
	}
	for _, w := range kernelPart(kernelWords(cmdline)) {
		switch a := string(w.argument); a {
		case "intel_iommu=off", "amd_iommu=off", "iommu=off":
			return fmt.Errorf("the IOMMU is off by the kernel argument %s: take it away by a kernel_cmdline step before this one: %w", a, step.ErrNotYet)
		}
	}
	return fmt.Errorf("the IOMMU is off until the host has booted with intel_iommu=on (of an AMD processor amd_iommu=on): ask for it by a kernel_cmdline step before this one: %w", step.ErrNotYet)
}

// refuseModule is about a kernel that lacks the driver.
func refuseModule(ctx context.Context, v host.View, driver string) error {
	if driver == "" {
		return nil
	}
	there, err := haveModule(ctx, v, driver)
	if err != nil || there {
		return err
	}
	release, err := v.Kernel.Get(ctx, "/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	return fmt.Errorf("the kernel %s has no module %s: install the package that brings it (Ubuntu's is linux-modules-extra-%s), or boot a kernel that has it: %w", release, driver, release, step.ErrNotYet)
}
