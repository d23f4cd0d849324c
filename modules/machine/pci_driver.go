package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/pci"
	"weft/engine/step"
)

// PCIDriverSpec is the spec of kind pci_driver.
type PCIDriverSpec struct {
	Device        string   `json:"device,omitzero" doc:"PCI address: 0000:01:00.0, or 01:00.0. Either this or mac."`
	MAC           string   `json:"mac,omitzero" doc:"Ethernet address of the network interface; weft remembers which device it was, for a driver without one."`
	Driver        string   `json:"driver,omitzero" default:"vfio-pci" doc:"The driver that the device is bound to."`
	Fallback      string   `json:"fallback,omitzero" doc:"The driver where vfio-pci cannot be had: the firmware offers no IOMMU or keeps the device's memory, or the kernel has no such module."`
	Persistent    bool     `json:"persistent" default:"true" doc:"Whether the binding is made at boot too, by driverctl where that is installed, else by a udev rule."`
	SharedWith    []string `json:"shared_with,omitzero" doc:"PCI addresses of other devices in its IOMMU group that are bound likewise by other steps, or stay unused."`
	UnsafeNoIOMMU bool     `json:"unsafe_no_iommu,omitzero" doc:"Bind to vfio-pci also without an IOMMU: then whoever drives the device can read and write all memory."`
}

const (
	vfio = "vfio-pci"
	uio  = "uio_pci_generic"
)

// driverName is what the kernel and modprobe take.
var driverName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,54}$`)

// Validate finds what names no device and no driver.
func (s *PCIDriverSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	switch {
	case (s.Device == "") == (s.MAC == ""):
		bad("device", "name the device by one of device and mac", `device = "0000:01:00.0"`)
	case s.Device != "":
		if _, err := pci.Address(s.Device); err != nil {
			bad("device", err.Error(), "")
		}
	default:
		if mac, err := net.ParseMAC(s.MAC); err != nil || len(mac) != 6 {
			bad("mac", fmt.Sprintf("%q is not an Ethernet address", s.MAC), `write it as "02:ac:10:ff:00:11"`)
		}
	}
	if !driverName.MatchString(s.Driver) {
		bad("driver", fmt.Sprintf("%q is not the name of a driver", s.Driver), "")
	}
	if s.Fallback != "" && (s.Driver != vfio || s.Fallback == vfio || !driverName.MatchString(s.Fallback)) {
		bad("fallback", "is another driver for where vfio-pci cannot be had", `fallback = "uio_pci_generic"`)
	}
	if s.UnsafeNoIOMMU && s.Driver != vfio {
		bad("unsafe_no_iommu", "is about vfio-pci alone", "")
	}
	for _, other := range s.SharedWith {
		if _, err := pci.Address(other); err != nil {
			bad("shared_with", err.Error(), "")
		}
	}
	return problems
}

func pciDriverKind() step.Kind {
	return step.Kind{
		Name:    "pci_driver",
		Summary: "The driver of a PCI device, now and after a boot: vfio-pci for DPDK and for guests.",
		Doc: `A device that goes to vfio-pci or uio_pci_generic leaves the kernel's network: its link vanishes with all it carries. So a NIC that is
in use is refused: one that has addresses, carries routes (the way to this host among them), or belongs to a bridge, a bond or Open vSwitch. Take that away by steps before this one.
Refused too are a NIC that has virtual functions, storage, and NICs whose kernel driver DPDK works beside (Mellanox mlx4 and mlx5).

vfio-pci needs an IOMMU that is on, and gives a whole IOMMU group away: where other devices are in it that a kernel driver holds, name them in
` + "`shared_with`" + `. Where the IOMMU is off, the message says whether the firmware or the kernel's arguments are why; with a ` + "`kernel_cmdline`" + ` step before this
one the machine is booted anew first. Without an IOMMU, ` + "`fallback`" + ` is the way on hardware that has none, and ` + "`unsafe_no_iommu`" + ` in virtual machines.

The driver's module is loaded by modprobe and stays loaded. Undo binds the former driver again, waits for its link, and sets it up or down, with its MTU, as it was found. A device that
a program holds open is not taken away from it: stop the program first, or take the port from Open vSwitch.`,
		Spec:    PCIDriverSpec{},
		Outputs: pciDriverOutputs{},
		Example: `step "pci_driver" "dpdk0" {
  device   = "0000:08:00.0"
  fallback = "uio_pci_generic"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[PCIDriverSpec](u)
			if err != nil {
				return nil, err
			}
			want := spec.binding()
			name := spec.MAC
			if name == "" {
				name = want.Address
			}
			return pciDriver{step.Of("PCI device "+strings.ToLower(name), pciBindings{}, want), want}, nil
		},
	}
}

// pciDriverOutputs is what other steps may ask of a pci_driver.
type pciDriverOutputs struct {
	Address string `json:"address" doc:"PCI address of the device, as Open vSwitch takes it in dpdk-devargs."`
	Driver  string `json:"driver" doc:"The driver that it is bound to: the fallback, where that was needed."`
}

// pciBinding is the state of a device. Asked and the fields above it are set
// where it is what a playbook asks for; the rest of that follows from what is
// there ([pciBinding.resolve]).
type pciBinding struct {
	Address string  `json:"address,omitzero" weft:"found"` // empty where only the MAC is known
	MAC     string  `json:"mac,omitzero" weft:"found"`     // where the device is named by it
	Asked   *pciAsk `json:"asked,omitzero" weft:"found"`

	Driver   step.Attr[string] `json:"driver,omitzero"`
	Override step.Attr[string] `json:"driver.override,omitzero"`
	// Rule is the content of the file of our udev rule, which also remembers
	// the MAC; Driverctl what driverctl's file says.
	Rule      step.Attr[string] `json:"persistent,omitzero"`
	Driverctl step.Attr[string] `json:"persistent.driverctl,omitzero"`
	// Unsafe is vfio's mode without an IOMMU, UnsafeFile the file that sets it
	// at boot.
	Unsafe     step.Attr[string] `json:"unsafe_no_iommu,omitzero"`
	UnsafeFile step.Attr[string] `json:"unsafe_no_iommu.file,omitzero"`

	// Link is what the device's driver made of it, and undo waits for.
	Link *pciLink `json:"link,omitzero" weft:"found"`
	// Module holds the driver.
	Module string `json:"module,omitzero" weft:"found"`
	// Without says why vfio-pci cannot be had whatever is done to the kernel;
	// empty where it can.
	Without string `json:"without,omitzero" weft:"found"`
	IOMMU   bool   `json:"iommu,omitzero" weft:"found"`
}

// pciAsk is what a playbook says beyond which device.
type pciAsk struct {
	Driver     string   `json:"driver"`
	Fallback   string   `json:"fallback,omitzero"`
	Persistent bool     `json:"persistent,omitzero"`
	SharedWith []string `json:"shared_with,omitzero"`
	Unsafe     bool     `json:"unsafe,omitzero"`
}

// pciLink is a link as its driver must make it again.
type pciLink struct {
	Driver string `json:"driver"`
	Name   string `json:"name"`
	Up     bool   `json:"up,omitzero"`
	MTU    int    `json:"mtu"`
}

func (s PCIDriverSpec) binding() pciBinding {
	want := pciBinding{MAC: strings.ToLower(s.MAC), Asked: &pciAsk{Driver: s.Driver, Fallback: s.Fallback, Persistent: s.Persistent, Unsafe: s.UnsafeNoIOMMU}}
	if s.Device != "" {
		want.Address, _ = pci.Address(s.Device) // Validate has seen it
	}
	for _, other := range s.SharedWith {
		if a, err := pci.Address(other); err == nil {
			want.Asked.SharedWith = append(want.Asked.SharedWith, a)
		}
	}
	return want
}

// resolve says what is wanted of the device that was found.
func (want pciBinding) resolve(have pciBinding) pciBinding {
	if want.Asked == nil {
		return want
	}
	driver := want.Asked.Driver
	if driver == vfio && want.Asked.Fallback != "" && have.Without != "" && !want.Asked.Unsafe {
		driver = want.Asked.Fallback
	}
	want.Driver, want.Override = step.Is(driver), step.Is(driver)
	byRule := ""
	switch {
	case have.Driverctl.Managed() && want.Asked.Persistent:
		want.Driverctl = step.Is(driver)
	case have.Driverctl.Managed():
		want.Driverctl = step.None[string]()
	case want.Asked.Persistent:
		byRule = driver
	}
	want.Rule = step.None[string]()
	if byRule != "" || want.MAC != "" {
		want.Rule = step.Is(pciRule{have.Address, want.MAC, byRule}.text())
	}
	if want.Asked.Unsafe && !have.IOMMU {
		want.Unsafe, want.UnsafeFile = step.Is("Y"), step.None[string]()
		if want.Asked.Persistent {
			want.UnsafeFile = step.Is(unsafeOption)
		}
	}
	return want
}

type pciBindings struct{}

// Diff compares the bindings. A link is missed only where the driver that makes
// it is wanted.
func (pciBindings) Diff(have, want pciBinding) []step.Delta {
	want = want.resolve(have)
	deltas := step.Compare(have, want)
	if l := want.Link; l != nil && want.Driver == step.Is(l.Driver) && (have.Link == nil || *have.Link != *l) {
		deltas = append(deltas, step.Change("link", have.Link, l))
	}
	return deltas
}

// Advise names the link that goes, and what is unsafe.
func (pciBindings) Advise(f *step.Finding, have, want pciBinding) {
	want = want.resolve(have)
	driver := want.Driver.Or("")
	f.Outputs, _ = json.Marshal(pciDriverOutputs{have.Address, driver}) // strings always encode
	moves := slices.ContainsFunc(f.Deltas, func(d step.Delta) bool { return d.Path == "driver" })
	if moves && have.Link != nil {
		f.Cost.Severs = []string{have.Link.Name}
		f.Cost.Disruption = "the link " + have.Link.Name + " leaves the kernel"
	}
	if moves && want.Asked != nil && driver != want.Asked.Driver {
		f.Warnings = append(f.Warnings, "vfio-pci cannot be had ("+have.Without+"), so "+driver+" is bound: nothing keeps the device from other memory then")
	}
	if want.Unsafe.Managed() {
		f.Warnings = append(f.Warnings, "without an IOMMU whoever drives "+have.Address+" can read and write all memory, and the kernel counts as tainted")
	}
}

// pciDriver refuses what would not work before anything is written, and undoes
// what is left to undo where the device is gone.
type pciDriver struct {
	step.Step
	want pciBinding
}

func (s pciDriver) Check(ctx context.Context, v host.View) (step.Finding, error) {
	f, err := s.Step.Check(ctx, v)
	if err != nil || !f.Changed() {
		return f, err
	}
	var have pciBinding
	if err := json.Unmarshal(f.Before, &have); err != nil {
		return f, err
	}
	if err := refusePCI(ctx, v, have, s.want.resolve(have)); err != nil {
		return f, fmt.Errorf("%s: %w", f.Object, err)
	}
	return f, nil
}

// Undo names the device by the address that was found: a MAC may no longer tell.
func (s pciDriver) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	var before, want pciBinding
	if err := errors.Join(json.Unmarshal(f.Before, &before), json.Unmarshal(f.Want, &want)); err != nil {
		return err
	}
	if _, err := pci.Read(ctx, h.Kernel, before.Address); errors.Is(err, fs.ErrNotExist) {
		return before.writeFiles(ctx, h)
	}
	want.Address = before.Address
	var err error
	if f.Want, err = json.Marshal(want); err != nil {
		return err
	}
	return s.Step.Undo(ctx, h, f)
}
