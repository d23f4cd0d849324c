package netconf

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// OVSBridge is a bridge of Open vSwitch with its own port.
type OVSBridge struct {
	Device    string
	Bridge    []OVSColumn // of its row in the table Bridge
	Interface []OVSColumn // of its own interface
	// Controllers are all that it has; nil leaves that as it is.
	Controllers []OVSController
	Own         OVSDevice
}

// OVSPort is a port of a bridge of Open vSwitch: one of two or more interfaces
// is a bond.
type OVSPort struct {
	Device     string
	Bridge     string
	Port       []OVSColumn // of its row in the table Port
	Interfaces []OVSInterface
	// Replaces are ports that nothing makes at boot any more: they are taken
	// into this one, or it takes their place.
	Replaces []string
	Own      OVSDevice
}

// OVSPatch is a pair of patch ports that joins two bridges.
type OVSPatch struct {
	Near, Far OVSPort
	Replaces  []string // as [OVSPort] has it
}

// OVSInterface is an interface of a port.
type OVSInterface struct {
	Name    string
	Type    string // as ovs-vswitchd.conf.db(5) has it; empty is system
	Columns []OVSColumn
}

// OVSColumn is a column of a row, or a key of one that is a map, and what it
// holds, as ovs-vsctl(8) spells it; nothing where the value is empty.
type OVSColumn struct{ Column, Key, Value string }

// OVSController is a row of the table Controller.
type OVSController struct {
	Target  string
	Columns []OVSColumn
}

// OVSDevice is the device of a bridge's own port or of an internal port.
type OVSDevice struct {
	Addresses []netip.Prefix // nil leaves them as they are
	Up, Down  bool           // brought up, or not, at boot; neither leaves that to the family
}

// Of implements [Part].
func (p OVSBridge) Of() string { return p.Device }

// Of implements [Part].
func (p OVSPort) Of() string { return p.Device }

// Of implements [Part].
func (p OVSPatch) Of() string { return p.Near.Device }

// ends are both ports of the pair.
func (p OVSPatch) ends() []OVSPort { return []OVSPort{p.Near, p.Far} }

// bond says whether a port is one.
func (p OVSPort) bond() bool { return len(p.Interfaces) > 1 }

// members are the names of its interfaces, in order.
func (p OVSPort) members() []string {
	var out []string
	for _, i := range p.Interfaces {
		out = append(out, i.Name)
	}
	slices.Sort(out)
	return out
}

// ports are what a part makes, none of a bridge.
func ovsPorts(p Part) []OVSPort {
	switch p := p.(type) {
	case OVSPort:
		return []OVSPort{p}
	case OVSPatch:
		return p.ends()
	}
	return nil
}

func isOVS(p Part) bool {
	switch p.(type) {
	case OVSBridge, OVSPort, OVSPatch:
		return true
	}
	return false
}

func (i OVSInterface) kind() string { return cmp.Or(i.Type, "system") }

// nic says whether an interface is a device of the host.
func (i OVSInterface) nic() bool { return i.kind() == "system" }

// option is the value of a key of the column options.
func (i OVSInterface) option(key string) string {
	for _, c := range i.Columns {
		if c.Column == "options" && c.Key == key {
			return c.Value
		}
	}
	return ""
}

// name is what stands before the "=".
func (c OVSColumn) name() string {
	if c.Key == "" {
		return c.Column
	}
	return c.Column + ":" + c.Key
}

// standard says whether a column holds what Open vSwitch has where nothing is
// said, so that a family which cannot say it says nothing.
func (c OVSColumn) standard() bool {
	switch c.Column + "=" + c.Value {
	case "datapath_type=system", "type=system":
		return true
	}
	return c.Value == "" || c.Key == "" && (c.Value == "false" || c.Value == "0" && c.Column != "tag" && c.Column != "trunks" && c.Column != "cvlans")
}

// word is the setting as ovs-vsctl(8) takes it; quote is its double quote, which
// a value with colons needs that is no map's.
func (c OVSColumn) word(quote string) string {
	if c.Column == "mac" || c.Column == "target" {
		return c.Column + "=" + quote + c.Value + quote
	}
	return c.name() + "=" + c.Value
}

func ovsWords(columns []OVSColumn, quote string) []string {
	var out []string
	for _, c := range columns {
		if c.Value != "" {
			out = append(out, c.word(quote))
		}
	}
	return out
}

// setCommand is the command of ovs-vsctl(8) that sets columns; nil of none.
func setCommand(table, name string, columns []OVSColumn, quote string) [][]string {
	words := ovsWords(columns, quote)
	if len(words) == 0 {
		return nil
	}
	return [][]string{slices.Concat([]string{"set", table, name}, words)}
}

// controllerCommands make the controllers of a bridge.
func (p OVSBridge) controllerCommands(quote string) [][]string {
	if p.Controllers == nil {
		return nil
	}
	if len(p.Controllers) == 0 {
		return [][]string{{"clear", "bridge", p.Device, "controller"}}
	}
	var out [][]string
	var names []string
	for i, c := range p.Controllers {
		name := "@weft" + strconv.Itoa(i)
		names = append(names, name)
		columns := append([]OVSColumn{{Column: "target", Value: c.Target}}, c.Columns...)
		out = append(out, append([]string{"--id=" + name, "create", "controller"}, ovsWords(columns, quote)...))
	}
	return append(out, []string{"set", "bridge", p.Device, "controller=" + strings.Join(names, ",")})
}
