package fake

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"weft/engine/host"
)

// PCIDevice is a function of a PCI device. Its files in sysfs behave:
// driver_override, bind and unbind of a driver, drivers_probe.
type PCIDevice struct {
	Address        string // "0000:01:00.0"
	Vendor, Model  string // "8086", "10d3"
	Class          string // "020000"
	Native         string // the driver that the kernel gives it by itself
	Driver         string // that it is bound to; empty for none
	Group          string // IOMMU group; empty for none
	Physical       string // of a virtual function its physical one
	VFs, MaxVFs    int
	Link           host.Link // what the native driver makes; none where it has no name
	driverOverride string
}

// bus is the PCI devices by address, and the drivers that are loaded.
type bus struct {
	devices map[string]PCIDevice
	drivers map[string]bool
}

func newBus() bus { return bus{devices: map[string]PCIDevice{}, drivers: map[string]bool{}} }

func (b bus) clone() bus {
	return bus{devices: maps.Clone(b.devices), drivers: maps.Clone(b.drivers)}
}

const busRoot = "/sys/bus/pci"

// AddPCI puts a device on the bus. Its native driver is loaded with it; a
// device that is bound to it has its link.
func (m *Machine) AddPCI(d PCIDevice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Native != "" {
		m.pci.drivers[d.Native] = true
	}
	bound := d.Driver
	d.Driver = ""
	m.pci.devices[d.Address] = d
	if bound != "" {
		m.pci.drivers[bound] = true
		must(m.bind(d.Address, bound))
	}
	m.renderPCI()
}

// LoadDriver registers a driver, as modprobe does; devices whose
// driver_override names it are bound.
func (m *Machine) LoadDriver(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pci.drivers[name] = true
	for _, address := range slices.Sorted(maps.Keys(m.pci.devices)) {
		m.probe(address)
	}
	m.renderPCI()
}

// BindPCI gives a device to a driver, as another hand does; to none where the
// name is empty.
func (m *Machine) BindPCI(address, driver string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unbind(address)
	if driver != "" {
		d := m.pci.devices[address]
		d.driverOverride = driver
		m.pci.devices[address] = d
		must(m.bind(address, driver))
	}
	m.renderPCI()
}

// OverridePCI sets driver_override of a device, as another hand does; the empty
// string clears it.
func (m *Machine) OverridePCI(address, driver string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.pci.devices[address]
	d.driverOverride = driver
	m.pci.devices[address] = d
	m.renderPCI()
}

// RemovePCI takes a device out of the machine.
func (m *Machine) RemovePCI(address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unbind(address)
	delete(m.pci.devices, address)
	m.renderPCI()
}

// ofRule are the lines of udev rules that choose a driver.
var ofRule = regexp.MustCompile(`KERNEL=="([0-9a-f:.]+)".*ATTR\{driver_override\}="([^"]*)"`)

// BootPCI is what a boot makes of the devices, which [Machine.Reboot] leaves as
// they are: the drivers of the kernel take them, but for those that udev's rules
// or driverctl's files give to another.
func (m *Machine) BootPCI() {
	m.mu.Lock()
	defer m.mu.Unlock()
	chosen := map[string]string{}
	for _, name := range m.files.children("/etc/udev/rules.d") {
		for _, match := range ofRule.FindAllStringSubmatch(m.files[name].Content, -1) {
			chosen[match[1]] = match[2]
		}
	}
	for _, name := range m.files.children("/etc/driverctl.d") {
		chosen[strings.TrimPrefix(path.Base(name), "pci-")] = strings.TrimSpace(m.files[name].Content)
	}
	for _, address := range slices.Sorted(maps.Keys(m.pci.devices)) {
		d := m.pci.devices[address]
		d.driverOverride = chosen[address]
		m.pci.devices[address] = d
		driver := cmp.Or(d.driverOverride, d.Native)
		if d.Driver == driver {
			continue
		}
		m.unbind(address)
		m.pci.drivers[driver] = true
		m.probe(address)
	}
	m.renderPCI()
}

// PCI returns a device as it is now.
func (m *Machine) PCI(address string) PCIDevice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pci.devices[address]
}

// matches says whether a driver takes a device.
func (d PCIDevice) matches(driver string) bool {
	if d.driverOverride != "" {
		return driver == d.driverOverride
	}
	return driver == d.Native
}

// probe gives a device that has no driver to the one that takes it, if it is
// there. That it refuses is no error of a probe.
func (m *Machine) probe(address string) {
	d := m.pci.devices[address]
	if d.Driver != "" {
		return
	}
	for _, driver := range []string{d.driverOverride, d.Native} {
		if m.pci.drivers[driver] && d.matches(driver) {
			_ = m.bind(address, driver)
			return
		}
	}
}

// bind is a driver's probe of a device.
func (m *Machine) bind(address, driver string) error {
	d := m.pci.devices[address]
	switch {
	case driver == "vfio-pci" && d.Group == "" && m.kernel["/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"] != "Y":
		return syscall.EINVAL
	case driver == "uio_pci_generic" && d.Physical != "":
		return syscall.ENODEV // it has no interrupt line
	}
	d.Driver = driver
	m.pci.devices[address] = d
	if driver == d.Native && d.Link.Name != "" {
		l := d.Link
		return m.net.add(m.net.spaces[""], &device{Link: l})
	}
	return nil
}

// unbind takes the driver from a device; its link goes with all it has.
func (m *Machine) unbind(address string) {
	d := m.pci.devices[address]
	if d.Driver == d.Native && d.Link.Name != "" {
		if _, link, err := m.net.find("", d.Link.Name); err == nil {
			m.net.remove(link)
		}
	}
	d.Driver = ""
	m.pci.devices[address] = d
}

// setPCI is a write to a file of the bus; ours says whether it was one.
func (m *Machine) setPCI(name, value string) (ours bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest, below := strings.CutPrefix(path.Clean(name), busRoot+"/")
	if !below {
		return false, nil
	}
	defer m.renderPCI()
	value = strings.TrimSpace(value)
	parts := strings.Split(rest, "/")
	switch last := parts[len(parts)-1]; {
	case rest == "drivers_probe":
		if _, there := m.pci.devices[value]; !there {
			return true, syscall.ENODEV
		}
		m.probe(value)
	case parts[0] == "devices" && last == "driver_override":
		d := m.pci.devices[parts[1]]
		d.driverOverride = value
		m.pci.devices[parts[1]] = d
	case parts[0] == "drivers" && last == "unbind":
		if d, there := m.pci.devices[value]; !there || d.Driver != parts[1] {
			return true, syscall.ENODEV
		}
		m.unbind(value)
	case parts[0] == "drivers" && last == "bind":
		if d, there := m.pci.devices[value]; !there || d.Driver != "" || !d.matches(parts[1]) {
			return true, syscall.ENODEV
		}
		return true, m.bind(value, parts[1])
	default:
		return true, syscall.EACCES
	}
	return true, nil
}

// renderPCI writes the files of the bus anew.
func (m *Machine) renderPCI() {
	for _, files := range []map[string]string{m.kernel, m.kernelLinks} {
		maps.DeleteFunc(files, func(name, _ string) bool {
			return strings.HasPrefix(name, busRoot+"/") ||
				strings.HasPrefix(name, "/sys/kernel/iommu_groups/") && strings.Contains(name, "/devices/")
		})
	}
	if len(m.pci.devices)+len(m.pci.drivers) == 0 {
		return
	}
	m.kernel[busRoot+"/drivers_probe"] = ""
	for driver := range m.pci.drivers {
		m.kernel[path.Join(busRoot, "drivers", driver, "bind")] = ""
		m.kernel[path.Join(busRoot, "drivers", driver, "unbind")] = ""
		m.kernelLinks[path.Join(busRoot, "drivers", driver, "module")] = "../../../../module/" + strings.ReplaceAll(driver, "-", "_")
	}
	for _, d := range m.pci.devices {
		m.renderDevice(d)
	}
}

func (m *Machine) renderDevice(d PCIDevice) {
	at := path.Join(busRoot, "devices", d.Address)
	override := d.driverOverride
	if override == "" {
		override = "(null)"
	}
	for file, value := range map[string]string{
		"vendor": "0x" + d.Vendor, "device": "0x" + d.Model, "class": "0x" + d.Class, "numa_node": "0", "driver_override": override,
	} {
		m.kernel[path.Join(at, file)] = value + "\n"
	}
	if d.MaxVFs > 0 {
		m.kernel[path.Join(at, "sriov_totalvfs")] = strconv.Itoa(d.MaxVFs)
		m.kernel[path.Join(at, "sriov_numvfs")] = strconv.Itoa(d.VFs)
	}
	if d.Physical != "" {
		m.kernelLinks[path.Join(at, "physfn")] = "../" + d.Physical
	}
	if d.Group != "" {
		m.kernelLinks[path.Join(at, "iommu_group")] = "../../../kernel/iommu_groups/" + d.Group
		m.kernelLinks[path.Join("/sys/kernel/iommu_groups", d.Group, "devices", d.Address)] = "../../../../devices/pci0000:00/" + d.Address
	}
	if d.Driver == "" {
		return
	}
	m.kernelLinks[path.Join(at, "driver")] = "../../../bus/pci/drivers/" + d.Driver
	m.kernelLinks[path.Join(busRoot, "drivers", d.Driver, d.Address)] = "../../../../devices/pci0000:00/" + d.Address
	if d.Driver == d.Native && d.Link.Name != "" {
		dir := "net"
		if d.Driver == "virtio-pci" {
			dir = "virtio0/net"
		}
		m.kernel[path.Join(at, dir, d.Link.Name, "address")] = d.Link.MAC + "\n"
	}
}
