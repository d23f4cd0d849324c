package host

// Facts is what a playbook may know of a host as host.facts. They are read
// once when a run begins and stay as they are until it ends.
type Facts struct {
	Hostname     string            `json:"hostname" doc:"The host's name, from uname(2)."`
	Architecture string            `json:"architecture" doc:"Machine type from uname(2): x86_64, aarch64."`
	Kernel       string            `json:"kernel" doc:"Kernel release from uname(2)."`
	Distribution string            `json:"distribution" doc:"ID of os-release(5): debian, ubuntu, centos."`
	Version      string            `json:"version" doc:"VERSION_ID of os-release(5)."`
	Codename     string            `json:"codename" doc:"VERSION_CODENAME of os-release(5), where there is one."`
	Family       string            `json:"family" doc:"The family of the distribution: debian, redhat, or its own ID."`
	MachineID    string            `json:"machine_id" doc:"Content of /etc/machine-id."`
	BootID       string            `json:"boot_id" doc:"The kernel's random id of this boot."`
	CPUs         int               `json:"cpus" doc:"Processors that are online."`
	MemoryMB     int               `json:"memory_mb" doc:"MemTotal, in units of 1024 * 1024 bytes."`
	Links        map[string]*NIC   `json:"links" doc:"Network interfaces of the host by name."`
	Modules      map[string]bool   `json:"modules" doc:"True for each loaded or built-in kernel module."`
	Packages     map[string]string `json:"packages" doc:"Version of each installed package by name."`

	Virtual     string                 `json:"virtual" doc:"What the machine is: none (hardware), vm, container."`
	Firmware    string                 `json:"firmware" doc:"What started the machine: uefi or bios."`
	BootLoader  BootLoader             `json:"boot_loader" doc:"What starts the kernel."`
	Cmdline     []string               `json:"cmdline" doc:"The kernel's arguments of this boot, in order, without quotes."`
	NUMA        map[string]*NUMANode   `json:"numa" doc:"NUMA nodes by number."`
	HugePages   map[string]*HugePages  `json:"hugepages" doc:"Huge pages of all nodes by size: 2M, 1G."`
	IOMMU       IOMMU                  `json:"iommu" doc:"What stands between devices and memory."`
	PCI         map[string]*PCIDevice  `json:"pci" doc:"Network controllers and accelerators by PCI address."`
	FileSystems map[string]*FileSystem `json:"filesystems" doc:"Room on the file systems that hold /, /boot and /var, by that path."`
	TimeSync    string                 `json:"time_sync" doc:"The service at work that sets the clock; empty for none."`
	OVSSystemID string                 `json:"ovs_system_id" doc:"The system-id of Open vSwitch, where it has one."`
}

// BootLoader is what starts the kernel.
type BootLoader struct {
	Name    string `json:"name" doc:"grub, systemd-boot or unknown."`
	Entries string `json:"entries" doc:"Where its menu comes from: config (the file itself), or bls (files of the Boot Loader Specification)."`
	Config  string `json:"config" doc:"Path of its configuration; empty where unknown."`
}

// NUMANode is a node of memory and the processors next to it.
type NUMANode struct {
	CPUs      []int                 `json:"cpus" doc:"Numbers of its processors."`
	MemoryMB  int                   `json:"memory_mb" doc:"Its memory, in units of 1024 * 1024 bytes."`
	HugePages map[string]*HugePages `json:"hugepages" doc:"Its huge pages by size: 2M, 1G."`
}

// HugePages are pages of one size.
type HugePages struct {
	Total int `json:"total" doc:"Pages set aside."`
	Free  int `json:"free" doc:"Pages that nothing uses."`
}

// IOMMU is what remaps the memory accesses of devices.
type IOMMU struct {
	On     bool     `json:"on" doc:"Whether the kernel remaps: it has put a unit to work, by an argument or because it was built to."`
	Table  string   `json:"table" doc:"ACPI table by which the firmware offers one: DMAR (Intel), IVRS (AMD), IORT (Arm), VIOT. Empty where it is off in the firmware."`
	Units  []string `json:"units" doc:"The units at work: dmar0, ivhd0."`
	Groups int      `json:"groups" doc:"Number of groups that devices are in."`
}

// PCIDevice is a function of a PCI device.
type PCIDevice struct {
	Vendor   string            `json:"vendor" doc:"Vendor, four hexadecimal digits: 8086."`
	Device   string            `json:"device" doc:"Model, four hexadecimal digits: 10d3."`
	Class    string            `json:"class" doc:"Class, six hexadecimal digits: 020000 for Ethernet."`
	Driver   string            `json:"driver" doc:"The driver that it is bound to; empty for none."`
	Group    string            `json:"iommu_group" doc:"Number of its IOMMU group; empty for none."`
	Node     int               `json:"numa_node" doc:"NUMA node; -1 where the firmware does not say."`
	Links    map[string]string `json:"links" doc:"MAC by name of the links that it carries."`
	VFs      int               `json:"vfs" doc:"Virtual functions that it has."`
	MaxVFs   int               `json:"max_vfs" doc:"Virtual functions that it can have."`
	Physical string            `json:"physical" doc:"Of a virtual function the address of its physical one; else empty."`
}

// FileSystem is the room on a file system.
type FileSystem struct {
	SizeMB   int  `json:"size_mb" doc:"In units of 1024 * 1024 bytes."`
	FreeMB   int  `json:"free_mb" doc:"What root can still write, in units of 1024 * 1024 bytes."`
	ReadOnly bool `json:"read_only" doc:"Whether it is mounted read-only."`
}

// NIC is a network interface among the facts.
type NIC struct {
	MAC       string   `json:"mac" doc:"Link-layer address, lower case."`
	MTU       int      `json:"mtu" doc:"Bytes."`
	Up        bool     `json:"up" doc:"Whether it is administratively up."`
	Addresses []string `json:"addresses" doc:"Addresses with their prefix lengths."`
}
