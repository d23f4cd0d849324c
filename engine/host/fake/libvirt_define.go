package fake

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/xmltree"
)

// normalise makes of a definition what libvirt makes of it.
func normalise(object host.VirtualObject, n *xmltree.Node) error {
	if n.At("uuid") == nil {
		n.Child("uuid").Text = uuidOf(string(object) + n.At("name").Text)
	}
	if object == host.VirtualNetwork {
		return allowVLANs(n, n.All("portgroup"), "network "+n.At("name").Text)
	}
	if n.Get("type") == "" {
		return fmt.Errorf("XML error: missing domain type attribute")
	}
	if n.At("memory") == nil {
		return fmt.Errorf("unsupported configuration: Memory size must be specified via <memory> or in the <numa> configuration")
	}
	for _, name := range []string{"memory", "currentMemory"} {
		size := n.Child(name)
		if size.Text == "" {
			size.Text = n.At("memory").Text
		}
		kib, err := kibibytes(size.Text, size.Get("unit"))
		if err != nil {
			return err
		}
		size.Set("unit", "KiB")
		size.Text = strconv.FormatUint(kib, 10)
	}
	cpus := n.Child("vcpu")
	if cpus.Text == "" {
		cpus.Text = "1"
	}
	fill(cpus, "placement", "static")
	kind := n.At("os").At("type")
	if kind == nil {
		return fmt.Errorf("XML error: an os <type> must be specified")
	}
	fill(kind, "arch", "x86_64")
	fill(kind, "machine", "pc")
	if full := map[string]string{"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}[kind.Get("machine")]; full != "" {
		kind.Set("machine", full)
	}
	fill(n.Child("clock"), "offset", "utc")
	for _, on := range []struct{ event, does string }{{"on_poweroff", "destroy"}, {"on_reboot", "restart"}, {"on_crash", "destroy"}} {
		if n.At(on.event) == nil {
			n.Child(on.event).Text = on.does
		}
	}
	devices := n.Child("devices")
	if devices.At("emulator") == nil {
		devices.Child("emulator").Text = "/usr/bin/qemu-system-x86_64"
	}
	for _, nic := range devices.All("interface") {
		normaliseNIC(devices, nic)
	}
	sortTail(n)
	return nil
}

// allowVLANs refuses VLANs over a bridge of the kernel.
func allowVLANs(over *xmltree.Node, of []*xmltree.Node, what string) error {
	for _, n := range of {
		if n.At("vlan") != nil && over.At("virtualport").Get("type") != "openvswitch" {
			return fmt.Errorf("unsupported configuration: <vlan> element specified for %s, whose type doesn't support vlan configuration", what)
		}
	}
	return nil
}

// sortTail puts what was added in an order of its own, so that equal definitions
// are equal texts.
func sortTail(n *xmltree.Node) {
	for _, name := range []string{"on_poweroff", "on_reboot", "on_crash", "devices"} {
		if c := n.At(name); c != nil {
			n.Remove(c)
			n.Add(c)
		}
	}
}

func fill(n *xmltree.Node, attribute, value string) {
	if n.Get(attribute) == "" {
		n.Set(attribute, value)
	}
}

// normaliseNIC fills in what libvirt makes up for an interface, and drops the
// names of devices that it makes up itself at each start.
func normaliseNIC(devices, nic *xmltree.Node) {
	if mac := nic.Child("mac"); mac.Get("address") == "" {
		mac.Set("address", "52:54:00"+macOf(nic.String())[8:])
	} else {
		mac.Set("address", strings.ToLower(mac.Get("address")))
	}
	if port := nic.At("virtualport"); port.Get("type") == "openvswitch" {
		fill(port.Child("parameters"), "interfaceid", uuidOf(nic.At("mac").Get("address")))
	}
	if source := nic.At("source"); nic.Get("type") != "network" && source != nil {
		source.Drop("portgroup") // of a network alone
	}
	if dev := nic.At("target"); strings.HasPrefix(dev.Get("dev"), "vnet") {
		nic.Remove(dev)
	}
	fill(nic.Child("model"), "type", "rtl8139")
	if nic.At("address") != nil {
		return
	}
	taken := map[string]bool{}
	for _, other := range devices.All("interface") {
		taken[other.At("address").Get("slot")] = true
	}
	slot := 3
	for taken[fmt.Sprintf("0x%02x", slot)] {
		slot++
	}
	nic.Add(&xmltree.Node{Name: "address", Attrs: []xmltree.Attr{
		{Name: "type", Value: "pci"}, {Name: "domain", Value: "0x0000"}, {Name: "bus", Value: "0x00"},
		{Name: "slot", Value: fmt.Sprintf("0x%02x", slot)}, {Name: "function", Value: "0x0"},
	}})
}

// kibibytes is a size in the units of libvirt's formats.
func kibibytes(text, unit string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 40)
	if err != nil {
		return 0, fmt.Errorf("XML error: Invalid value '%s' for element or attribute './memory'", text)
	}
	switch unit {
	case "", "k", "KiB":
		return n, nil
	case "M", "MiB":
		return n << 10, nil
	case "G", "GiB":
		return n << 20, nil
	case "b", "bytes":
		return n >> 10, nil
	}
	return 0, fmt.Errorf("invalid argument: unknown suffix '%s'", unit)
}

// uuidOf is the UUID that libvirt makes up for a thing, the same each time.
func uuidOf(what string) string {
	sum := sha256.Sum256([]byte(what))
	return fmt.Sprintf("%x-%x-4%03x-8%03x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])[:36]
}
