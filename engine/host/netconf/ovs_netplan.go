package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Objects of Open vSwitch are made at boot by units that netplan generates
// (netplan-ovs-NAME.service). What they cannot say is refused. What is not said
// they set all the same: fail_mode to standalone, rstp_enable and
// mcast_snooping_enable to false, lacp to off.

// openVSwitch is what is said below "openvswitch:" of a definition.
type openVSwitch struct {
	lines []string    // of columns that have a name of their own
	maps  []OVSColumn // keys of external_ids and other_config
}

// take sorts columns: those in names have a line below "openvswitch:".
func (o *openVSwitch) take(device string, columns []OVSColumn, names map[string]string) error {
	for _, c := range columns {
		name := names[c.Column]
		switch {
		case c.Column == "fail_mode" && c.Value == "":
			return unknownOption("an absent fail_mode", device, Netplan) // it sets one
		case name != "" && c.Value != "" && c.Column == "protocols":
			o.lines = append(o.lines, name+": ["+strings.ReplaceAll(c.Value, ",", ", ")+"]")
		case name != "" && c.Value != "":
			o.lines = append(o.lines, name+": "+yamlWord(c.Value))
		case name != "":
		case c.Column == "external_ids", c.Column == "other_config":
			if c.Value != "" {
				o.maps = append(o.maps, c)
			}
		case !c.standard():
			return unknownOption(c.name(), device, Netplan)
		}
	}
	return nil
}

// openVSwitch writes what is said of a definition; at least that it is of Open
// vSwitch, where it is.
func (p *plan) openVSwitch(o openVSwitch) {
	if len(o.lines)+len(o.maps) == 0 {
		p.line(3, "openvswitch: {}")
		return
	}
	p.line(3, "openvswitch:")
	for _, l := range o.lines {
		p.line(4, l)
	}
	for _, column := range []string{"external_ids", "other_config"} {
		opened := false
		for _, c := range o.maps {
			if c.Column != column {
				continue
			}
			if !opened {
				p.line(4, strings.ReplaceAll(column, "_", "-")+":")
				opened = true
			}
			p.line(5, `"`+c.Key+`": "`+c.Value+`"`)
		}
	}
}

func ovsBridgePlan(b OVSBridge, parsed parsedPlans) (string, error) {
	var o openVSwitch
	if err := o.take(b.Device, b.Bridge, map[string]string{"fail_mode": "fail-mode", "mcast_snooping_enable": "mcast-snooping", "rstp_enable": "rstp", "protocols": "protocols"}); err != nil {
		return "", err
	}
	if err := o.controllers(b); err != nil {
		return "", err
	}
	var p plan
	p.define(parsed.of(b.Device, "bridge"))
	p.openVSwitch(o)
	err := p.ovsDevice(b.Device, b.Interface, b.Own)
	return p.String(), err
}

func (o *openVSwitch) controllers(b OVSBridge) error {
	var targets, modes []string
	for _, c := range b.Controllers {
		targets = append(targets, `"`+c.Target+`"`)
		mode := ""
		for _, column := range c.Columns {
			switch {
			case column.Column == "connection_mode":
				mode = column.Value
			case column.Value != "":
				return unknownOption(column.Column+" of controller "+c.Target, b.Device, Netplan)
			}
		}
		modes = append(modes, mode)
	}
	if modes = slices.Compact(modes); len(modes) > 1 {
		return unknownOption("connection_mode of one controller alone", b.Device, Netplan)
	}
	if len(targets) > 0 {
		o.lines = append(o.lines, "controller:", "  addresses: ["+strings.Join(targets, ", ")+"]")
	}
	if len(modes) > 0 && modes[0] != "" {
		o.lines = append(o.lines, "  connection-mode: "+modes[0])
	}
	return nil
}

// ovsDevice says the MTU and the addresses of a device.
func (p *plan) ovsDevice(device string, columns []OVSColumn, own OVSDevice) error {
	for _, c := range columns {
		switch {
		case c.Column == "mtu_request" && c.Value != "":
			p.line(3, "mtu: "+c.Value)
		case c.Column == "mac" && c.Value != "":
			p.line(3, `macaddress: "`+c.Value+`"`)
		case c.Column != "external_ids" && c.Column != "other_config" && !c.standard():
			return unknownOption(c.name(), device, Netplan)
		}
	}
	if own.Down {
		return unknownOption("up", device, Netplan)
	}
	if len(own.Addresses) > 0 {
		p.line(3, "addresses:")
	}
	for _, a := range own.Addresses {
		p.line(3, `- "`+a.String()+`"`)
	}
	return nil
}

// ovsPortPlan is the text of a port, of whatever makes netplan add one.
func ovsPortPlan(port OVSPort, parsed parsedPlans) (string, error) {
	var p plan
	var err error
	i := port.Interfaces[0]
	switch fake, tag := port.column("fake_bridge"), port.column("tag"); {
	case port.bond():
		err = p.ovsBond(port, parsed)
	case i.nic():
		var o openVSwitch
		if err = o.take(port.Device, port.withoutMaps(), nil); err == nil {
			err = p.ovsNIC(i, port.Own, parsed)
		}
	case i.kind() == "internal" && fake == "true" && tag != "":
		err = p.ovsVLAN(port, tag, parsed)
		return p.String(), err // it names its bridge itself
	default:
		err = unknownOption("type "+i.kind(), port.Device, Netplan)
	}
	p.joins(parsed, port)
	return p.String(), err
}

func (p OVSPort) column(name string) string {
	for _, c := range p.Port {
		if c.Column == name {
			return c.Value
		}
	}
	return ""
}

// withoutMaps are the columns of a port that netplan describes as an interface
// alone: keys of the port's row are none that it could set.
func (p OVSPort) withoutMaps() []OVSColumn {
	var out []OVSColumn
	for _, c := range p.Port {
		if c.Key != "" {
			c.Column = "port " + c.Column
		}
		out = append(out, c)
	}
	return out
}

// joins puts ports into their bridges, which are of Open vSwitch wherever else
// they are described.
func (p *plan) joins(parsed parsedPlans, ports ...OVSPort) {
	p.line(1, "bridges:")
	for _, port := range ports {
		p.line(2, yamlWord(parsed.of(port.Bridge, "bridge").id)+":")
		p.line(3, "openvswitch: {}")
		p.members([]string{port.Device}, parsed)
	}
}

// ovsNIC describes a device of the host that is an interface of Open vSwitch.
func (p *plan) ovsNIC(i OVSInterface, own OVSDevice, parsed parsedPlans) error {
	var o openVSwitch
	if err := o.take(i.Name, i.Columns, map[string]string{"mtu_request": "mtu"}); err != nil {
		return err
	}
	o.lines = nil // the device's own, below
	d := parsed.of(i.Name, "")
	if parsed.there(i.Name) && len(o.maps)+len(ovsWords(i.Columns, "")) == 0 && own.Addresses == nil && !own.Down {
		return nil
	}
	p.define(d)
	was := p.Len()
	if len(o.maps) > 0 {
		p.openVSwitch(o)
	}
	if err := p.ovsDevice(i.Name, i.Columns, own); err != nil {
		return err
	}
	if p.Len() == was {
		p.line(3, "optional: true") // brought up, and nobody waits for it
	}
	return nil
}

func (p *plan) ovsVLAN(port OVSPort, tag string, parsed parsedPlans) error {
	i := port.Interfaces[0]
	var ofPort, o openVSwitch
	columns := slices.DeleteFunc(port.withoutMaps(), func(c OVSColumn) bool { return c.Column == "tag" || c.Column == "fake_bridge" })
	if err := ofPort.take(port.Device, columns, nil); err != nil {
		return err
	}
	if err := o.take(port.Device, i.Columns, map[string]string{"mtu_request": "mtu", "mac": "mac"}); err != nil {
		return err
	}
	o.lines = nil // the device's own, below
	p.define(parsed.of(port.Device, "vlan"))
	p.line(3, "id: "+tag)
	p.line(3, "link: "+yamlWord(parsed.of(port.Bridge, "bridge").id))
	p.openVSwitch(o)
	return p.ovsDevice(port.Device, i.Columns, port.Own)
}

// ovsBond describes a bond and its members. netplan has a mode and LACP of it.
func (p *plan) ovsBond(port OVSPort, parsed parsedPlans) error {
	columns, mode := []OVSColumn{}, ""
	for _, c := range port.Port {
		if c.Column == "bond_mode" {
			mode = c.Value
		} else {
			columns = append(columns, c)
		}
	}
	var o openVSwitch
	if err := o.take(port.Device, columns, map[string]string{"lacp": "lacp"}); err != nil {
		return err
	}
	if err := p.ovsMembers(port, parsed); err != nil {
		return err
	}
	p.define(parsed.of(port.Device, "bond"))
	p.members(port.members(), parsed)
	if mode != "" {
		p.line(3, "parameters:")
		p.line(4, "mode: "+mode)
	}
	p.openVSwitch(o)
	return p.ovsDevice(port.Device, nil, port.Own)
}

// ovsMembers describes members that no file describes, or that have keys of
// their own. They stand in one section, unless files have them in others.
func (p *plan) ovsMembers(port OVSPort, parsed parsedPlans) error {
	sections := map[string]string{}
	for _, i := range port.Interfaces {
		if !i.nic() {
			return unknownOption("type "+i.kind()+" of "+i.Name, port.Device, Netplan)
		}
		var one plan
		if err := one.ovsNIC(i, OVSDevice{}, parsed); err != nil {
			return err
		}
		head, rest, _ := strings.Cut(one.String(), "\n")
		if head != "" {
			sections[head] += rest
		}
	}
	for _, head := range slices.Sorted(maps.Keys(sections)) {
		p.WriteString(head + "\n" + sections[head])
	}
	return nil
}

func ovsPatchPlan(pair OVSPatch, parsed parsedPlans) (string, error) {
	for _, port := range pair.ends() {
		var o openVSwitch
		if err := o.take(port.Device, port.withoutMaps(), nil); err != nil {
			return "", err
		}
		for _, c := range port.Interfaces[0].Columns {
			if c.name() != "options:peer" && !c.standard() {
				return "", unknownOption(c.name(), port.Device, Netplan)
			}
		}
	}
	var p plan
	p.line(1, "openvswitch:")
	p.line(2, "ports:")
	p.line(2, fmt.Sprintf("- [%s, %s]", yamlWord(pair.Near.Device), yamlWord(pair.Far.Device)))
	p.joins(parsed, pair.Near, pair.Far)
	return p.String(), nil
}

// keepOVS writes a file of our own. Those of ports that it replaces go; what
// others say of those is refused, since netplan would make both.
func (f plans) keepOVS(files Files, parsed parsedPlans, part Part) (text string, err error) {
	replaces := []string{}
	if pair, ok := part.(OVSPatch); ok {
		replaces = append(replaces, pair.Replaces...)
	}
	homes := map[string]string{}
	for _, p := range ovsPorts(part) {
		replaces = append(replaces, p.Replaces...)
		homes[p.Device] = p.Bridge
		if p.bond() {
			for _, m := range p.members() {
				homes[m] = p.Device
			}
		}
	}
	for _, r := range replaces {
		gone := planFile("ovs-port", r)
		delete(files, gone)
		delete(parsed, gone)
		if _, member := homes[r]; !member {
			homes[r] = ""
		}
	}
	if err := parsed.elsewhere(homes); err != nil {
		return "", err
	}
	for _, device := range append(slices.Sorted(maps.Keys(homes)), part.Of()) {
		if id := parsed.of(device, "").id; id != device {
			return "", fmt.Errorf("netplan's files call %s %s, and netplan would give Open vSwitch that name: call the definition %s there, with its match and set-name", device, id, device)
		}
	}
	switch p := part.(type) {
	case OVSBridge:
		if p.Own.Addresses != nil {
			err = parsed.release(files, p.Device, everyFile, "addresses")
		}
		if err == nil {
			text, err = ovsBridgePlan(p, parsed)
		}
	case OVSPort:
		text, err = ovsPortPlan(p, parsed)
	case OVSPatch:
		text, err = ovsPatchPlan(p, parsed)
	}
	return text, err
}

// elsewhere refuses devices that another file puts into another bridge or bond
// than the one that is theirs.
func (p parsedPlans) elsewhere(homes map[string]string) error {
	for _, file := range slices.SortedFunc(maps.Keys(p), byBase) {
		for _, section := range []string{"bridges", "bonds"} {
			holders := p[file].get("network", section)
			if holders == nil {
				continue
			}
			for _, holder := range holders.pairs {
				list := holder.value.get("interfaces")
				if list == nil {
					continue
				}
				for _, m := range list.items {
					if home, ours := homes[m.text()]; ours && home != holder.key {
						return fmt.Errorf("%s has %s among the interfaces of %s: take it out there first, netplan would refuse both", file, strconv.Quote(m.text()), holder.key)
					}
				}
			}
		}
	}
	return nil
}
