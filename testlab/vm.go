package testlab

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// VM makes a host a virtual machine: one with a kernel, a boot loader and a PCI bus of its own.
type VM struct {
	// Memory in MiB; 0 means 1024.
	Memory int
	// CPUs is how many processors it has; 0 means one.
	CPUs int
	// NUMANodes is how many nodes memory and processors are divided among, evenly; 0 means one.
	NUMANodes int
	// IOMMU gives it an Intel VT-d. Its kernel uses it where the kernel's arguments say intel_iommu=on.
	IOMMU bool
	// Firmware is what boots it, "bios" or "uefi"; empty means "bios".
	Firmware string
}

const (
	defaultMemory  = 1024
	smallestMemory = 512
	mostCPUs       = 8
	// mostNICs is how many root ports a virtual machine has: the PCI Express slots that its NICs are plugged into.
	mostNICs = 8
)

func (v VM) memory() int      { return cmp.Or(v.Memory, defaultMemory) }
func (v VM) cpus() int        { return cmp.Or(v.CPUs, 1) }
func (v VM) nodes() int       { return cmp.Or(v.NUMANodes, 1) }
func (v VM) firmware() string { return cmp.Or(v.Firmware, firmwareBIOS) }
func (v VM) uefi() bool       { return v.firmware() == firmwareUEFI }

const (
	firmwareBIOS = "bios"
	firmwareUEFI = "uefi"
)

// vmFirmware is what a virtual machine can boot by.
func vmFirmware() []string { return []string{firmwareBIOS, firmwareUEFI} }

// What the UEFI firmware for virtual machines consists of: its code, and the variables of a machine that was never booted.
const (
	uefiCode      = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	uefiVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// nicModels are the network cards a virtual machine can have; the first is what it gets unasked.
func nicModels() []string { return []string{"virtio", "e1000e"} }

func (c *specCheck) vm(h Host) {
	v := *h.VM
	if v.memory() < smallestMemory {
		c.mistake("host %s: %d MiB of memory; a virtual machine needs %d", h.Name, v.Memory, smallestMemory)
	}
	if v.cpus() < 1 || v.cpus() > mostCPUs {
		c.mistake("host %s: %d processors; it can have 1 to %d", h.Name, v.CPUs, mostCPUs)
	}
	if v.nodes() < 1 || v.nodes() > 2 {
		c.mistake("host %s: %d NUMA nodes; it can have 1 or 2", h.Name, v.NUMANodes)
	}
	if !slices.Contains(vmFirmware(), v.firmware()) {
		c.mistake("host %s: firmware %q is not one of %v", h.Name, v.Firmware, vmFirmware())
	}
	if len(h.NICs) > mostNICs {
		c.mistake("host %s: %d NICs; a virtual machine has slots for %d", h.Name, len(h.NICs), mostNICs)
	}
}

// shape is all that decides whether a snapshot of one virtual machine can go on as another: what qemu emulates.
type shape struct {
	VM
	QEMU        string // what qemu --version says
	Accelerator string // "kvm" or "tcg"
	Image       string // directory of the image's disk
	Built       int64  // when that was made, in nanoseconds since 1970: its blocks lie elsewhere each time
	UEFIBuilt   int64  // when the firmware was, where it is UEFI: a snapshot's memory has parts of it
	Version     int    // of arguments: one more whenever it makes another machine of the same shape
}

// shapeVersion is that of arguments.
const shapeVersion = 1

// key names the shape's snapshot in the cache.
func (s shape) key() string { return "vm-" + recipeDigest(s) }

// vmFiles are what a virtual machine stands on. Paths that are relative are so to the directory of its state.
type vmFiles struct {
	Disk       string // its own, in qcow2
	Variables  string // of its UEFI firmware, its own
	Repository string // directory that it sees as repositoryPath
	Port       int    // file descriptor of the socket that its ttyS1 is
	Control    int    // file descriptor of the socket for QMP
	Memory     int    // file descriptor of a snapshot's memory to go on from; 0 for a boot
	Taps       []int  // file descriptors of its NICs' taps
}

// arguments are what qemu makes such a machine of, qemu(1), its network cards left out.
func (s shape) arguments(f vmFiles) []string {
	// Under TCG, a fifth level of page tables costs time alone, and nobody shall take emulated AMD-V for KVM.
	machine, cpu := "q35", "max,la57=off,svm=off"
	if s.IOMMU {
		machine += ",kernel-irqchip=split"
	}
	accelerator := "tcg,thread=multi"
	if s.Accelerator == "kvm" {
		accelerator, cpu = "kvm", "host"
	}
	a := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-machine", machine, "-accel", accelerator, "-cpu", cpu,
		"-m", strconv.Itoa(s.memory()), "-smp", strconv.Itoa(s.cpus()),
		"-rtc", "base=utc,clock=host",
		// A reboot in place would keep what qemu translated of the last boot, and is twice as slow as a new qemu. The
		// supervisor starts it.
		"-action", "reboot=shutdown,watchdog=reset",
		"-chardev", "file,id=console,path=" + consoleFileName + ",append=on", "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=port,fd=%d", f.Port), "-serial", "chardev:port",
		"-chardev", fmt.Sprintf("socket,id=control,fd=%d", f.Control), "-mon", "chardev=control,mode=control",
	}
	if s.uefi() {
		a = append(a, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+uefiCode,
			"-drive", "if=pflash,unit=1,format=raw,file="+f.Variables)
	}
	if s.IOMMU {
		a = append(a, "-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on")
	}
	a = append(a, s.nodeArguments()...)
	a = append(a,
		// What the guest flushes lies in this machine's page cache, which outlives qemu: that is enough, and fast.
		"-drive", "if=none,id=disk,format=qcow2,cache=unsafe,file="+f.Disk,
		"-device", "virtio-blk-pci,drive=disk,bootindex=0,addr=0x2",
		"-fsdev", "local,id=repository,security_model=none,readonly=on,path="+f.Repository,
		"-device", "virtio-9p-pci,fsdev=repository,mount_tag=repository,addr=0x3",
		"-device", "virtio-rng-pci,addr=0x4",
		"-device", "i6300esb,addr=0x5")
	for slot := range mostNICs {
		a = append(a, "-device", fmt.Sprintf("pcie-root-port,id=slot%d,chassis=%d,slot=%d,addr=%#x", slot, slot+1, slot+1, 0x10+slot))
	}
	for i, fd := range f.Taps {
		a = append(a, "-netdev", fmt.Sprintf("tap,id=cable%d,fd=%d", i, fd))
	}
	if f.Memory > 0 {
		a = append(a, "-incoming", fmt.Sprintf("fd:%d", f.Memory))
	}
	return a
}

// nodeArguments divides memory and processors among NUMA nodes. A node beyond the last processor has memory alone.
func (s shape) nodeArguments() []string {
	if s.nodes() == 1 {
		return nil
	}
	var a []string
	rest, each := s.memory(), s.memory()/s.nodes()
	for n := range s.nodes() {
		if n == s.nodes()-1 {
			each = rest
		}
		rest -= each
		node := fmt.Sprintf("node,nodeid=%d,memdev=memory%d", n, n)
		for cpu := range s.cpus() {
			if cpu*s.nodes()/s.cpus() == n {
				node += fmt.Sprintf(",cpus=%d", cpu)
			}
		}
		a = append(a, "-object", fmt.Sprintf("memory-backend-ram,id=memory%d,size=%dM", n, each), "-numa", node)
	}
	return a
}

// nicDevice is a network card for qemu, as its options and as the arguments of QMP's device_add name them.
func (s shape) nicDevice(slot int, l machineLink) map[string]string {
	device := map[string]string{
		"driver": "virtio-net-pci", "id": nicID(slot), "bus": fmt.Sprintf("slot%d", slot), "netdev": fmt.Sprintf("cable%d", slot),
		"mac":     l.MAC,
		"romfile": "", // nothing boots from the network
	}
	switch {
	case l.Model == "e1000e":
		device["driver"] = "e1000e"
	case s.IOMMU:
		device["iommu_platform"], device["ats"] = "on", "on" // or it would write past the IOMMU
	}
	return device
}

func nicID(slot int) string { return fmt.Sprintf("nic%d", slot) }
