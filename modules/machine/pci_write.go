package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/pci"
	"weft/engine/step"
)

// settling is how long a driver may take to begin with a device, and udev to
// name its link.
const settling = 15 * time.Second

// Write has the files first: what is half done then is whole after a boot.
func (pciBindings) Write(ctx context.Context, h host.Host, have, want pciBinding) error {
	want = want.resolve(have)
	want.Address = have.Address
	if err := want.writeFiles(ctx, h); err != nil {
		return err
	}
	if err := preparePCI(ctx, h, have, want); err != nil {
		return err
	}
	if want.Driver.Managed() && want.Driver != have.Driver {
		if err := rebindPCI(ctx, h, have, want); err != nil {
			return err
		}
	}
	if want.Override.Managed() {
		if err := want.override(ctx, h); err != nil {
			return err
		}
	}
	if mode, ok := want.Unsafe.Get(); ok && mode == "N" && have.Unsafe != want.Unsafe {
		if err := setUnsafe(ctx, h, mode); err != nil {
			return err
		}
	}
	if l := want.Link; l != nil && want.Driver == step.Is(l.Driver) {
		return l.bringBack(ctx, h, have.Address)
	}
	return nil
}

// writeFiles has the files as they are wanted.
func (want pciBinding) writeFiles(ctx context.Context, h host.Host) error {
	ctl := want.Driverctl
	if driver, ok := ctl.Get(); ok {
		ctl = step.Is(driver + "\n")
	}
	for _, f := range []struct {
		name string
		want step.Attr[string]
	}{{rulePath(want.Address), want.Rule}, {driverctlPath(want.Address), ctl}, {unsafeFile, want.UnsafeFile}} {
		if !f.want.Managed() {
			continue
		}
		have, err := wholeFile(ctx, h.View(), f.name)
		if err != nil {
			return err
		}
		content, there := f.want.Get()
		switch {
		case have == f.want:
		case there:
			err = h.Files.Write(ctx, f.name, []byte(content), host.Attributes{})
		default:
			err = h.Files.Remove(ctx, f.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// preparePCI loads the driver that is wanted, and has vfio work without an IOMMU
// where that is.
func preparePCI(ctx context.Context, h host.Host, have, want pciBinding) error {
	driver, bound := want.Driver.Get()
	mode, ok := want.Unsafe.Get()
	unsafe := ok && mode == "Y" && have.Unsafe != want.Unsafe
	if !bound || want.Driver == have.Driver && !unsafe {
		return nil
	}
	module := driver
	if want.Module != "" {
		module = want.Module
	}
	if err := loadDriver(ctx, h, driver, module); err != nil || !unsafe {
		return err
	}
	return setUnsafe(ctx, h, mode)
}

// rebindPCI moves the device from one driver to another, or to none.
func rebindPCI(ctx context.Context, h host.Host, have, want pciBinding) error {
	driver, bound := want.Driver.Get()
	d, err := pci.Read(ctx, h.Kernel, have.Address)
	if err != nil {
		return err
	}
	if err := refuseHeld(ctx, h.View(), d); err != nil {
		return err
	}
	if bound && d.Override != driver {
		if err := h.Kernel.Set(ctx, pci.Path(d.Address, "driver_override"), driver); err != nil {
			return err
		}
	}
	if d.Driver != "" && d.Driver != driver {
		if err := h.Kernel.Set(ctx, pci.Driver(d.Driver, "unbind"), d.Address); err != nil {
			return fmt.Errorf("take %s from %s: %w", d.Address, d.Driver, err)
		}
	}
	if !bound {
		return nil
	}
	if err := bindTo(ctx, h, d, driver); err != nil || !d.Network() || forUserspace(driver) {
		return err
	}
	return awaitName(ctx, h, d.Address)
}

// awaitName waits until udev has given a new link its name, so that the steps
// that follow find it. A driver that makes none is no error here.
func awaitName(ctx context.Context, h host.Host, address string) error {
	if _, err := h.Files.Stat(ctx, "/run/udev/control"); err != nil {
		return ignoreMissing(err) // nobody renames it
	}
	_ = step.Await(ctx, settling, func() error {
		d, err := pci.Read(ctx, h.Kernel, address)
		if err != nil {
			return err
		}
		if len(d.Links) == 0 {
			return errNoLink
		}
		index, err := h.Kernel.Get(ctx, path.Join("/sys/class/net", d.Links[0].Name, "ifindex"))
		if err != nil {
			return err
		}
		record, err := h.Files.Read(ctx, "/run/udev/data/n"+index)
		if err == nil && strings.Contains(string(record), "E:ID_RENAMING=1") {
			err = errNoLink
		}
		return err
	})
	return ctx.Err()
}

var errNoLink = errors.New("no link with its own name yet")

// bindTo asks for the driver that driver_override names, and waits for it.
func bindTo(ctx context.Context, h host.Host, d pci.Device, driver string) error {
	if err := h.Kernel.Set(ctx, path.Join(pci.Root, "drivers_probe"), d.Address); err != nil {
		return fmt.Errorf("bind %s to %s: %w", d.Address, driver, err)
	}
	now, err := pci.Read(ctx, h.Kernel, d.Address)
	if err != nil || now.Driver == driver {
		return err
	}
	// A probe does not say what the driver said; asking the driver itself does.
	if err := h.Kernel.Set(ctx, pci.Driver(driver, "bind"), d.Address); err != nil {
		return fmt.Errorf("%s refuses %s: %w; `dmesg` has its reason", driver, d.Address, err)
	}
	return step.Await(ctx, settling, func() error {
		if now, err = pci.Read(ctx, h.Kernel, d.Address); err == nil && now.Driver != driver {
			err = fmt.Errorf("%s has not taken %s in %v; `dmesg` has its reason", driver, d.Address, settling)
		}
		return err
	})
}

// override sets driver_override, which an empty line clears.
func (want pciBinding) override(ctx context.Context, h host.Host) error {
	d, err := pci.Read(ctx, h.Kernel, want.Address)
	if err != nil || d.Override == want.Override.Or("") {
		return err
	}
	return h.Kernel.Set(ctx, pci.Path(want.Address, "driver_override"), want.Override.Or(""))
}

// loadDriver loads the module of a driver that is not there.
func loadDriver(ctx context.Context, h host.Host, driver, module string) error {
	_, err := h.Kernel.List(ctx, pci.Driver(driver, ""))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := h.Commands.Run(ctx, host.Command{Argv: []string{"modprobe", "--", module}}); err != nil {
		return fmt.Errorf("load the module of %s: %w", driver, err)
	}
	if _, err = h.Kernel.List(ctx, pci.Driver(driver, "")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the module %s brought no PCI driver %s", module, driver)
	}
	return err
}

func setUnsafe(ctx context.Context, h host.Host, mode string) error {
	err := h.Kernel.Set(ctx, unsafeMode, mode)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mode == "N":
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("this kernel is built without vfio's mode without an IOMMU (CONFIG_VFIO_NOIOMMU; Debian's is): switch the IOMMU on, or bind to " + uio)
	}
	return err
}

// bringBack waits for a link and makes it what it was. One that udev gives no
// name, or another, gets the old one.
func (l pciLink) bringBack(ctx context.Context, h host.Host, address string) error {
	name := ""
	find := func() error {
		d, err := pci.Read(ctx, h.Kernel, address)
		switch {
		case err != nil:
			return err
		case len(d.Links) == 0:
			return fmt.Errorf("%s has %s again, but no link came of it in %v", address, l.Driver, settling)
		}
		if name = d.Links[0].Name; name != l.Name {
			return fmt.Errorf("the link of %s is now %s", address, name)
		}
		return nil
	}
	if err := step.Await(ctx, settling, find); err != nil && name == "" {
		return err
	}
	all, err := h.Links.List(ctx, "")
	if err != nil {
		return err
	}
	c := host.LinkChange{}
	for _, now := range all {
		if now.Name != name {
			continue
		}
		if now.Up != l.Up {
			c.Up = &l.Up
		}
		if now.MTU != l.MTU {
			c.MTU = l.MTU
		}
	}
	if name != l.Name {
		c.Name = l.Name
	}
	if c.Up == nil && c.MTU == 0 && c.Name == "" {
		return nil
	}
	return h.Links.Set(ctx, "", name, c)
}
