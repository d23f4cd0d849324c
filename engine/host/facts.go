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
}

// NIC is a network interface among the facts.
type NIC struct {
	MAC       string   `json:"mac" doc:"Link-layer address, lower case."`
	MTU       int      `json:"mtu" doc:"Bytes."`
	Up        bool     `json:"up" doc:"Whether it is administratively up."`
	Addresses []string `json:"addresses" doc:"Addresses with their prefix lengths."`
}
