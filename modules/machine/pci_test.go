package machine

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	nic    = "0000:01:00.0"
	nicMAC = "52:54:00:00:00:01"
)

// pciMachine has an IOMMU that is on, a NIC, and the drivers.
func pciMachine() *fake.Machine {
	m := fake.New()
	m.Mkdir("/etc/udev/rules.d")
	m.Mkdir("/etc/modprobe.d")
	m.SetKernel("/proc/sys/kernel/osrelease", "6.1.0")
	m.SetKernel("/proc/cmdline", "BOOT_IMAGE=/vmlinuz ro intel_iommu=on")
	m.SetKernel("/sys/firmware/acpi/tables/DMAR", "")
	m.SetKernel("/sys/class/iommu/dmar0/intel-iommu/version", "1:0")
	m.LoadDriver(vfio)
	m.LoadDriver(uio)
	m.AddPCI(pciNIC())
	m.SetLink("", "ens1", host.LinkChange{Up: new(true), MTU: 9000})
	return m
}

func pciNIC() fake.PCIDevice {
	return fake.PCIDevice{Address: nic, Vendor: "8086", Model: "10d3", Class: "020000", Native: "e1000e", Driver: "e1000e", Group: "7",
		MaxVFs: 4, Link: host.Link{Name: "ens1", MAC: nicMAC}}
}

// withoutIOMMU is the machine whose firmware has none.
func withoutIOMMU() *fake.Machine {
	m := pciMachine()
	m.RemoveKernel("/sys/firmware/acpi/tables/DMAR")
	m.RemoveKernel("/sys/class/iommu/dmar0/intel-iommu/version")
	m.SetKernel(unsafeMode, "N")
	m.BindPCI(nic, "")
	d := pciNIC()
	d.Group = ""
	m.AddPCI(d)
	return m
}

func unbound(m *fake.Machine) { m.BindPCI(nic, "") }

// A realNIC is one of a real host that the laws may have: its address and link
// come from the environment.
type realNIC struct{ address, link string }

// nicHere is the fake's NIC, or on a real host the one that WEFT_LAWS_NIC and
// WEFT_LAWS_LINK name.
func nicHere(t *testing.T) realNIC {
	t.Helper()
	if os.Getenv("WEFT_LAWS_HOST") != "1" {
		return realNIC{nic, "ens1"}
	}
	n := realNIC{os.Getenv("WEFT_LAWS_NIC"), os.Getenv("WEFT_LAWS_LINK")}
	if n.address == "" || n.link == "" {
		t.Skip("needs a NIC to play with: WEFT_LAWS_NIC=0000:00:05.0 WEFT_LAWS_LINK=enp0s5")
	}
	return n
}

// onlyFake is for subjects whose machines no real host is.
func onlyFake(t *testing.T) {
	t.Helper()
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("tried on the fake only: it wants a machine without IOMMU, or with driverctl, or a NIC seen by its MAC")
	}
}

// is writes to the files of the NIC as another hand does: it leaves its driver,
// and goes to another where one is named.
func (n realNIC) is(driver string) []host.Command {
	at := "/sys/bus/pci/devices/" + n.address
	hands := sequence(typed(at+"/driver_override", driver+"\n"), n.unbound())
	if driver != "" {
		hands = sequence(hands, steptest.Run("modprobe", driver), typed("/sys/bus/pci/drivers_probe", n.address))
	}
	return hands
}

func (n realNIC) unbound() []host.Command {
	return steptest.Run("find", "/sys/bus/pci/devices/"+n.address+"/driver/", "-maxdepth", "1", "-name", "unbind", "-exec", "sh", "-c", "echo "+n.address+" > $0", "{}", ";")
}

// clean gives the NIC back to the kernel.
func (n realNIC) clean() []host.Command {
	return sequence(typed("/sys/bus/pci/devices/"+n.address+"/driver_override", "\n"), n.unbound(), steptest.Run("rm", "-f", rulePath(n.address)),
		typed("/sys/bus/pci/drivers_probe", n.address), steptest.Run("udevadm", "settle"),
		steptest.Run("ip", "link", "set", n.link, "up", "mtu", "1400"))
}

func (n realNIC) touches() steptest.Touches {
	return steptest.Touches{
		Files:  []string{rulePath(n.address)},
		Kernel: []string{"/sys/bus/pci/devices/" + n.address + "/driver_override", "/sys/class/net/" + n.link + "/flags", "/sys/class/net/" + n.link + "/mtu"},
		Queries: []host.Command{
			{Argv: []string{"readlink", "/sys/bus/pci/devices/" + n.address + "/driver"}},
		},
	}
}

func byHand(driver string) func(*fake.Machine) {
	return func(m *fake.Machine) { m.BindPCI(nic, driver) }
}

func (n realNIC) drift() []steptest.Hand {
	return []steptest.Hand{
		{Name: "driver", Fake: unbound, Host: n.unbound()},
		{Name: "driver", Fake: byHand(uio), Host: n.is(uio)},
		{Name: "driver.override", Fake: func(m *fake.Machine) { m.OverridePCI(nic, "") }, Host: typed("/sys/bus/pci/devices/"+n.address+"/driver_override", "\n")},
	}
}

func (n realNIC) persistent() []steptest.Hand {
	return append(n.drift(),
		steptest.Hand{Name: "persistent", Fake: wrote(rulePath(nic), "# by hand\n"), Host: typed(rulePath(n.address), "# by hand\n")},
		steptest.Hand{Name: "persistent", Fake: func(m *fake.Machine) { m.Remove(rulePath(nic)) }, Host: steptest.Run("rm", "-f", rulePath(n.address))})
}

// found is every state that a device may be in.
func (n realNIC) found() []steptest.Hand {
	return []steptest.Hand{
		{Name: "the kernel's"},
		{
			Name: "down", Fake: func(m *fake.Machine) { m.SetLink("", "ens1", host.LinkChange{Up: new(false), MTU: 1500}) },
			Host: steptest.Run("ip", "link", "set", n.link, "down", "mtu", "1500"),
		},
		{Name: "no driver", Fake: unbound, Host: n.unbound()},
		{Name: "by hand", Fake: together(byHand(uio), wrote(rulePath(nic), "# mine\n")), Host: sequence(n.is(uio), typed(rulePath(n.address), "# mine\n"))},
		{Name: "vfio by hand", Fake: byHand(vfio), Host: n.is(vfio)},
		{Name: "override alone", Fake: func(m *fake.Machine) { m.OverridePCI(nic, uio) }, Host: typed("/sys/bus/pci/devices/"+n.address+"/driver_override", uio+"\n")},
	}
}

// fakeNIC is for subjects that are tried on the fake only.
var fakeNIC = realNIC{nic, "ens1"}

var policy = []string{"device", "mac", "fallback", "shared_with", "unsafe_no_iommu"}

// On a real host the NIC goes from one driver to another some hundred times.
func TestPCIDriverLaws(t *testing.T) {
	n := nicHere(t)
	native := "e1000e"
	if target, err := os.Readlink("/sys/bus/pci/devices/" + n.address + "/driver"); err == nil && n != fakeNIC {
		native = path.Base(target)
	}
	laws(t, steptest.Subject{
		Kind: pciDriverKind(), Machine: pciMachine, Policy: policy, Found: n.found(),
		Borrows: "a NIC is hardware", Clean: n.clean(), Touches: n.touches(),
		Cases: []steptest.Case{
			{
				Name:  "vfio",
				Spec:  PCIDriverSpec{Device: strings.TrimPrefix(n.address, "0000:"), Driver: vfio, Fallback: uio, Persistent: true, SharedWith: []string{"02:00.0"}},
				Drift: n.persistent(),
			},
			{Name: "until a boot", Spec: PCIDriverSpec{Device: n.address, Driver: vfio}, Drift: n.persistent()[:4]},
			{Name: "the kernel's", Spec: PCIDriverSpec{Device: n.address, Driver: native, Persistent: true}, Drift: n.persistent()},
		},
	})
}

func TestPCIDriverLawsByMAC(t *testing.T) {
	onlyFake(t)
	drift := []steptest.Hand{{Name: "driver", Fake: byHand("e1000e")}, fakeNIC.drift()[2]} // without a link no MAC would be seen any more
	laws(t, steptest.Subject{
		Kind: pciDriverKind(), Machine: pciMachine, Policy: policy, Found: fakeNIC.found()[:2],
		Cases: []steptest.Case{
			{Name: "persistent", Spec: PCIDriverSpec{MAC: strings.ToUpper(nicMAC), Driver: vfio, Persistent: true},
				Drift: append(drift, steptest.Hand{Name: "persistent", Fake: wrote(rulePath(nic), macComment+nicMAC+"\n")})},
			{Name: "until a boot", Spec: PCIDriverSpec{MAC: nicMAC, Driver: vfio}, Drift: append(drift, steptest.Hand{Name: "persistent", Fake: wrote(rulePath(nic), macComment+nicMAC+"\n# x\n")})},
		},
	})
}

func TestPCIDriverLawsWithDriverctl(t *testing.T) {
	onlyFake(t)
	drift := []steptest.Hand{{Name: "persistent.driverctl", Fake: wrote(driverctlPath(nic), uio+"\n")}}
	laws(t, steptest.Subject{
		Kind: pciDriverKind(), Policy: append([]string{"persistent"}, policy...),
		Machine: func() *fake.Machine {
			m := pciMachine()
			m.Mkdir(driverctlData)
			m.WriteFile(driverctl, "#!/bin/bash\n")
			return m
		},
		Found: append(fakeNIC.found()[:4:4], steptest.Hand{Name: "driverctl's", Fake: together(byHand(uio), wrote(driverctlPath(nic), uio+"\n"))}),
		Cases: []steptest.Case{
			{Name: "persistent", Spec: PCIDriverSpec{Device: nic, Driver: vfio, Persistent: true}, Drift: append(fakeNIC.drift(), drift...),
				Spellings: []steptest.Hand{{Name: "no newline", Fake: wrote(driverctlPath(nic), vfio)}}},
			{Name: "until a boot", Spec: PCIDriverSpec{Device: nic, Driver: vfio}, Drift: append(fakeNIC.drift(), drift...)},
		},
	})
}

func TestPCIDriverLawsWithoutIOMMU(t *testing.T) {
	onlyFake(t)
	laws(t, steptest.Subject{
		Kind: pciDriverKind(), Machine: withoutIOMMU, Policy: policy, Found: fakeNIC.found()[:4],
		Cases: []steptest.Case{
			{Name: "fallback", Spec: PCIDriverSpec{Device: nic, Driver: vfio, Fallback: uio, Persistent: true}, Drift: []steptest.Hand{
				{Name: "driver", Fake: unbound}, {Name: "persistent", Fake: wrote(rulePath(nic), "")},
			}},
			{Name: "unsafe", Spec: PCIDriverSpec{Device: nic, Driver: vfio, UnsafeNoIOMMU: true, Persistent: true}, Drift: []steptest.Hand{
				{Name: "driver", Fake: unbound},
				{Name: "unsafe_no_iommu", Fake: func(m *fake.Machine) { m.SetKernel(unsafeMode, "N") }},
				{Name: "unsafe_no_iommu.file", Fake: func(m *fake.Machine) { m.Remove(unsafeFile) }},
			}},
		},
	})
}

// A boot brings the same again, by a rule or by driverctl, and a MAC still names
// the device that shows none.
func TestPCIDriverOutlivesABoot(t *testing.T) {
	for name, ctl := range map[string]bool{"udev": false, "driverctl": true} {
		t.Run(name, func(t *testing.T) {
			m := pciMachine()
			if ctl {
				m.Mkdir(driverctlData)
				m.WriteFile(driverctl, "")
			}
			before := m.Snapshot()
			s := made(t, pciDriverKind(), PCIDriverSpec{MAC: nicMAC, Driver: vfio, Persistent: true})
			f := applied(t, m, s)
			if _, there := m.Link("", "ens1"); there {
				t.Error("the link is still there")
			}
			m.BootPCI()
			again, err := s.Check(t.Context(), m.Host().View())
			if err != nil || again.Changed() {
				t.Fatalf("after a boot: %+v, %v", again.Deltas, err)
			}
			var out pciDriverOutputs
			if err := json.Unmarshal(again.Outputs, &out); err != nil || out != (pciDriverOutputs{nic, vfio}) {
				t.Errorf("outputs %+v, %v", out, err)
			}
			if err := s.Undo(t.Context(), m.Host(), f); err != nil {
				t.Fatal(err)
			}
			if after := m.Snapshot(); after != before {
				t.Errorf("undo left\n%s", after)
			}
		})
	}
}

// A kernel may be built without vfio's mode without an IOMMU.
func TestPCIDriverWithoutTheUnsafeMode(t *testing.T) {
	m := withoutIOMMU()
	m.RemoveKernel(unsafeMode)
	s := made(t, pciDriverKind(), PCIDriverSpec{Device: nic, Driver: vfio, UnsafeNoIOMMU: true})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "CONFIG_VFIO_NOIOMMU") {
		t.Errorf("got %v", err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Error(err)
	}
}

// What a change costs is in the plan.
func TestPCIDriverSevers(t *testing.T) {
	f, err := checked(t, pciDriverKind(), pciMachine(), PCIDriverSpec{Device: nic, Driver: vfio})
	if err != nil || !slices.Equal(f.Cost.Severs, []string{"ens1"}) || !strings.Contains(f.Cost.Disruption, "ens1") {
		t.Errorf("%+v, %v", f.Cost, err)
	}
	f, err = checked(t, pciDriverKind(), withoutIOMMU(), PCIDriverSpec{Device: nic, Driver: vfio, Fallback: uio})
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "DMAR") {
		t.Errorf("%q, %v", f.Warnings, err)
	}
}

func TestPCIDriverLoadsTheModule(t *testing.T) {
	m := fake.New()
	m.Mkdir(rulesFolder)
	m.SetKernel("/proc/sys/kernel/osrelease", "6.1.0")
	m.WriteFile("/lib/modules/6.1.0/modules.dep", "kernel/drivers/vfio/pci/vfio-pci.ko.zst: kernel/drivers/vfio/vfio.ko.zst\n")
	m.SetKernel("/sys/class/iommu/ivhd0/amd-iommu/cap", "1")
	m.AddPCI(pciNIC())
	s := made(t, pciDriverKind(), PCIDriverSpec{Device: nic, Driver: vfio})
	m.Program("modprobe", func(m *fake.Machine, c host.Command) host.Result {
		m.LoadDriver(c.Argv[len(c.Argv)-1])
		return host.Result{}
	})
	applied(t, m, s)
	if d := m.PCI(nic); d.Driver != vfio {
		t.Errorf("bound to %q", d.Driver)
	}
}

// Each cause that something cannot be is named.
func TestPCIDriverRefuses(t *testing.T) {
	vfioSpec := PCIDriverSpec{Device: nic, Driver: vfio}
	nicThat := func(change func(*fake.PCIDevice)) func(*fake.Machine) {
		return func(m *fake.Machine) {
			m.BindPCI(nic, "")
			d := pciNIC()
			change(&d)
			m.AddPCI(d)
		}
	}
	address := func(m *fake.Machine) {
		m.SetLink("", "ens1", host.LinkChange{AddAddresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}})
	}
	iommuOff := func(m *fake.Machine) { m.RemoveKernel("/sys/class/iommu/dmar0/intel-iommu/version") }
	for name, tt := range map[string]struct {
		spec    PCIDriverSpec
		arrange func(*fake.Machine)
		says    []string
		notYet  bool
	}{
		"not there":   {PCIDriverSpec{Device: "0000:09:00.0", Driver: vfio}, func(*fake.Machine) {}, []string{"no PCI device 0000:09:00.0", nic}, true},
		"no such MAC": {PCIDriverSpec{MAC: "52:54:00:00:00:09", Driver: vfio}, func(*fake.Machine) {}, []string{"52:54:00:00:00:09", "ens1"}, true},
		"address":     {vfioSpec, address, []string{"in use", "10.0.0.5/24"}, false},
		"default route": {vfioSpec, together(address, func(m *fake.Machine) {
			m.SetLink("", "ens1", host.LinkChange{AddRoutes: []host.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.1"), Link: "ens1"}}})
		}), []string{"default route", "reached"}, false},
		"in a bridge": {vfioSpec, func(m *fake.Machine) {
			m.RemoveLink("", "ens1")
			m.AddLink("", host.Link{Name: "ens1", Master: "br0"})
		}, []string{"belongs to br0"}, false},
		"below a VLAN": {vfioSpec, func(m *fake.Machine) { m.AddLink("", host.Link{Name: "ens1.5", Lower: "ens1"}) }, []string{"ens1.5 stands on"}, false},
		"bifurcated":   {vfioSpec, nicThat(func(d *fake.PCIDevice) { d.Native, d.Driver = "mlx5_core", "mlx5_core" }), []string{"mlx5_core", "dpdk-devargs"}, false},
		"functions":    {vfioSpec, nicThat(func(d *fake.PCIDevice) { d.VFs = 2 }), []string{"2 virtual functions", "sriov_numvfs"}, false},
		"a VF for uio": {PCIDriverSpec{Device: nic, Driver: uio}, nicThat(func(d *fake.PCIDevice) { d.Physical = "0000:01:00.7" }), []string{"virtual function of 0000:01:00.7"}, false},
		"storage":      {vfioSpec, nicThat(func(d *fake.PCIDevice) { d.Class = "010802" }), []string{"storage"}, false},
		"a bridge":     {vfioSpec, nicThat(func(d *fake.PCIDevice) { d.Class = "060400" }), []string{"a bridge"}, false},
		"argument":     {vfioSpec, iommuOff, []string{"until the host has booted with intel_iommu=on"}, true},
		"argument off": {vfioSpec, together(iommuOff, func(m *fake.Machine) { m.SetKernel("/proc/cmdline", "ro intel_iommu=off") }), []string{"kernel argument intel_iommu=off"}, true},
		"firmware":     {vfioSpec, together(iommuOff, func(m *fake.Machine) { m.RemoveKernel("/sys/firmware/acpi/tables/DMAR") }), []string{"DMAR", "VT-d"}, false},
		"no group":     {vfioSpec, nicThat(func(d *fake.PCIDevice) { d.Group = "" }), []string{"no IOMMU group"}, false},
		"kept memory":  {vfioSpec, func(m *fake.Machine) { m.SetKernel("/sys/kernel/iommu_groups/7/reserved_regions", "0x0 0x1 direct\n") }, []string{"RMRR", "fallback"}, false},
		"shared": {vfioSpec, func(m *fake.Machine) {
			d := pciNIC()
			d.Address, d.Link = "0000:01:00.1", host.Link{Name: "ens2"}
			m.AddPCI(d)
		}, []string{"group 7", "0000:01:00.1 (e1000e)", "shared_with"}, false},
		"no module": {PCIDriverSpec{Device: nic, Driver: "igb_uio"}, func(*fake.Machine) {}, []string{"6.1.0", "igb_uio", "linux-modules-extra"}, true},
		"held": {PCIDriverSpec{Device: nic, Driver: "e1000e"}, together(byHand(vfio), func(m *fake.Machine) {
			m.SetKernel("/proc/77/comm", "ovs-vswitchd")
			m.LinkKernel("/proc/77/fd/9", "/dev/vfio/7")
		}), []string{"ovs-vswitchd (process 77)", "/dev/vfio/7"}, false},
		"in OVS": {vfioSpec, inOVS, []string{"ens1 is a port of Open vSwitch"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := pciMachine()
			tt.arrange(m)
			_, err := checked(t, pciDriverKind(), m, tt.spec)
			for _, want := range tt.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("%q is not in: %v", want, err)
				}
			}
			if errors.Is(err, step.ErrNotYet) != tt.notYet {
				t.Errorf("not yet: %v", err)
			}
		})
	}
}

// inOVS makes the NIC a port of a bridge of the userspace datapath.
func inOVS(m *fake.Machine) {
	m.AddDatabase(host.OpenVSwitch)
	insert := func(table, name string, more ovsdb.Row) ovsdb.Operation {
		r := ovsdb.Row{"name": name}
		maps.Copy(r, more)
		return ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, UUIDName: strings.ToLower(table), Row: r}
	}
	ref := func(name string) ovsdb.OvsSet { return ovsdb.OvsSet{GoSet: []any{ovsdb.UUID{GoUUID: name}}} }
	m.Transact(host.OpenVSwitch,
		insert("Interface", "ens1", nil),
		insert("Port", "ens1", ovsdb.Row{"interfaces": ref("interface")}),
		insert("Bridge", "br0", ovsdb.Row{"ports": ref("port"), "datapath_type": "netdev"}),
		ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "Open_vSwitch", Where: []ovsdb.Condition{},
			Mutations: []ovsdb.Mutation{*ovsdb.NewMutation("bridges", ovsdb.MutateOperationInsert, ref("bridge"))}})
}

// A group that is shared with what is named is fine.
func TestPCIDriverShares(t *testing.T) {
	m := pciMachine()
	d := pciNIC()
	d.Address, d.Link = "0000:01:00.1", host.Link{Name: "ens2"}
	m.AddPCI(d)
	if _, err := checked(t, pciDriverKind(), m, PCIDriverSpec{Device: nic, Driver: vfio, SharedWith: []string{"01:00.1"}}); err != nil {
		t.Error(err)
	}
}

// An undo finds a device gone, or named otherwise by udev.
func TestPCIDriverUndoElsewhere(t *testing.T) {
	m := pciMachine()
	s := made(t, pciDriverKind(), PCIDriverSpec{MAC: nicMAC, Driver: vfio, Persistent: true})
	f := applied(t, m, s)
	gone := m.Clone()
	gone.RemovePCI(nic)
	if err := s.Undo(t.Context(), gone.Host(), f); err != nil {
		t.Fatal(err)
	}
	if _, there := gone.File(rulePath(nic)); there {
		t.Error("the rule is still there")
	}
}

func TestPCIDriverMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		spec PCIDriverSpec
		path string
	}{
		"none":      {PCIDriverSpec{Driver: vfio}, "device"},
		"both":      {PCIDriverSpec{Driver: vfio, Device: nic, MAC: nicMAC}, "device"},
		"address":   {PCIDriverSpec{Driver: vfio, Device: "eth0"}, "device"},
		"mac":       {PCIDriverSpec{Driver: vfio, MAC: "52:54"}, "mac"},
		"driver":    {PCIDriverSpec{Driver: "../x", Device: nic}, "driver"},
		"fallback":  {PCIDriverSpec{Driver: "e1000e", Fallback: uio, Device: nic}, "fallback"},
		"unsafe":    {PCIDriverSpec{Driver: uio, UnsafeNoIOMMU: true, Device: nic}, "unsafe_no_iommu"},
		"shared":    {PCIDriverSpec{Driver: vfio, SharedWith: []string{"x"}, Device: nic}, "shared_with"},
		"all right": {PCIDriverSpec{Driver: vfio, Fallback: uio, Device: "01:00.0"}, ""},
	} {
		if got := problem(&tt.spec); got != tt.path {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzPCIFiles(f *testing.F) {
	f.Add(pciRule{nic, nicMAC, vfio}.text(), "kernel/drivers/vfio/pci/vfio-pci.ko.xz: a b\n")
	f.Add("# MAC \n# MAC x", ".ko\n:\n/")
	f.Fuzz(func(t *testing.T, rule, dep string) {
		if mac := ruleMAC(rule); strings.ContainsAny(mac, "\n\r") {
			t.Fatalf("a MAC %q", mac)
		}
		if listsModule(dep, "") && !strings.Contains(dep, ".ko") {
			t.Fatal("a module out of nothing")
		}
	})
}

// A link is there once udev has named it, not before: the next step speaks of it
// by that name.
func TestPCIDriverAwaitsTheName(t *testing.T) {
	m := pciMachine()
	m.WriteFile("/run/udev/control", "")
	m.SetKernel("/sys/class/net/ens1/ifindex", "5\n")
	for record, named := range map[string]bool{"I:99\nE:ID_RENAMING=1\n": false, "I:99\nE:ID_NET_NAME=ens1\n": true} {
		m.WriteFile("/run/udev/data/n5", record)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := awaitName(ctx, m.Host(), nic); (err == nil) != named {
			t.Errorf("%q: %v", record, err)
		}
		cancel()
	}
}
