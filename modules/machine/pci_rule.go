package machine

import (
	"fmt"
	"strings"
)

const (
	rulesFolder   = "/etc/udev/rules.d"
	driverctl     = "/usr/sbin/driverctl"
	driverctlData = "/etc/driverctl.d"
	unsafeFile    = "/etc/modprobe.d/weft-vfio-no-iommu.conf"
	unsafeOption  = "# Written by weft, which overwrites changes.\noptions vfio enable_unsafe_noiommu_mode=1\n"
	unsafeMode    = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
)

// pciRule is the file that weft keeps of a device. It stands before the rules
// that load drivers by alias.
type pciRule struct {
	address string
	mac     string // that the device is named by, if it is
	driver  string // that it is bound to at boot; empty where another does that
}

func rulePath(address string) string { return rulesFolder + "/05-weft-pci-" + address + ".rules" }

// driverctlPath is where driverctl(8) keeps what it does at boot.
func driverctlPath(address string) string { return driverctlData + "/pci-" + address }

const macComment = "# MAC "

// text is the rule of udev(7). A driver that comes later takes the device by
// itself, since driver_override names it; one that is there already is asked.
// What took the device in the initramfs loses it.
func (r pciRule) text() string {
	var b strings.Builder
	b.WriteString("# PCI device " + r.address + ", written by weft, which overwrites changes.\n")
	if r.mac != "" {
		b.WriteString(macComment + r.mac + "\n")
	}
	if r.driver == "" {
		return b.String()
	}
	match := fmt.Sprintf("ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==%q, ", r.address)
	for _, line := range []string{
		fmt.Sprintf("ATTR{driver_override}=%q", r.driver),
		fmt.Sprintf("DRIVER==\"?*\", DRIVER!=%q, ATTR{driver/unbind}=%q", r.driver, r.address),
		fmt.Sprintf("DRIVER!=%q, ATTR{[subsystem/pci]drivers_probe}=%q", r.driver, r.address),
		fmt.Sprintf("RUN{builtin}+=\"kmod load %s\"", r.driver),
	} {
		b.WriteString(match + line + "\n")
	}
	return b.String()
}

// ruleMAC is the MAC that a file remembers of its device; empty for none.
func ruleMAC(text string) string {
	for line := range strings.Lines(text) {
		if mac, ok := strings.CutPrefix(strings.TrimSpace(line), macComment); ok {
			return strings.ToLower(strings.TrimSpace(mac))
		}
	}
	return ""
}
