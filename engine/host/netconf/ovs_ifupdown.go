package netconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host/ifupdown"
)

// Objects of Open vSwitch are made at boot by the hook of package
// openvswitch-switch (/usr/share/openvswitch/scripts/ifupdown.sh, described in
// README.Debian): it does what the options ovs_* say.
//
// "auto" starts it at boot: the services of Open vSwitch are ordered before
// networking.service. "no-auto-down" keeps ifdown -a away, whose hook would
// delete the bridge, with all that others put there, from a database that
// outlives the reboot. Bridges are read before ports because of their names,
// so a port's file stands for itself and no bridge lists its ports.

// ifupdownQuote is a double quote that is left when the hook has evaluated
// ovs_extra.
const ifupdownQuote = `\"`

// ovsStanza is an interface as interfaces(5) describes it.
type ovsStanza struct {
	object  string // "bridge br0", for people
	name    string
	options []string   // "ovs_type OVSBridge"
	extra   [][]string // commands of ovs-vsctl(8)
	own     OVSDevice
}

func (s ovsStanza) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The %s, written by weft, which overwrites changes.\n", s.object)
	fmt.Fprintf(&b, "auto %s\nno-auto-down %s\n", s.name, s.name)
	options := slices.Clone(s.options)
	if len(s.extra) > 0 {
		options = append(options, "ovs_extra "+joinCommands(s.extra))
	}
	if s.own.Up && len(s.own.Addresses) == 0 {
		options = append(options, "up ip link set dev $IFACE up")
	}
	heads := []string{fmt.Sprintf("iface %s inet manual\n", s.name)}
	if len(s.own.Addresses) > 0 {
		heads = nil
	}
	for _, a := range s.own.Addresses {
		heads = append(heads, fmt.Sprintf("iface %s %s static\n    address %s\n", s.name, inet(a), a))
	}
	for i, head := range heads {
		b.WriteString(head)
		for _, o := range options {
			if i == 0 {
				b.WriteString("    " + o + "\n")
			}
		}
	}
	return b.String()
}

func inet(a netip.Prefix) string {
	if a.Addr().Is6() {
		return "inet6"
	}
	return "inet"
}

func ovsBridgeStanza(p OVSBridge) string {
	return ovsStanza{
		object: "bridge " + p.Device, name: p.Device, own: p.Own, options: []string{"ovs_type OVSBridge"},
		extra: slices.Concat(setCommand("bridge", p.Device, p.Bridge, ifupdownQuote),
			setCommand("interface", p.Device, p.Interface, ifupdownQuote), p.controllerCommands(ifupdownQuote)),
	}.String()
}

// ovsPortStanza describes a port, or a bond: of that the hook makes a device of
// its name unless it is told not to.
func ovsPortStanza(p OVSPort) string {
	s := ovsStanza{object: "port " + p.Device, name: p.Device, own: p.Own, options: []string{"ovs_bridge " + p.Bridge}}
	s.extra = setCommand("port", p.Device, p.Port, ifupdownQuote)
	if p.bond() {
		s.object = "bond " + p.Device
		s.options = append(s.options, "ovs_type OVSBond", "ovs_bonds "+strings.Join(p.members(), " "))
		for _, i := range p.Interfaces {
			s.extra = append(s.extra, setCommand("interface", i.Name, i.typed(), ifupdownQuote)...)
		}
		return s.String()
	}
	for _, i := range p.Interfaces {
		rest, options := i.split()
		switch i.kind() {
		case "system":
			s.options = append(s.options, "ovs_type OVSPort")
			rest = append(rest, options...)
		case "internal":
			s.options = append(s.options, "ovs_type OVSIntPort")
			rest = append(rest, options...)
		case "patch":
			s.options = append(s.options, "ovs_type OVSPatchPort", "ovs_patch_peer "+i.option("peer"))
		default:
			s.options = append(s.options, "ovs_type OVSTunnel", "ovs_tunnel_type "+i.kind())
			if words := ovsWords(options, ifupdownQuote); len(words) > 0 {
				s.options = append(s.options, "ovs_tunnel_options "+strings.Join(words, " "))
			}
		}
		s.extra = append(s.extra, setCommand("interface", p.Device, rest, ifupdownQuote)...)
	}
	return s.String()
}

// split are the columns of an interface without its options, and these.
func (i OVSInterface) split() (rest, options []OVSColumn) {
	for _, c := range i.Columns {
		if c.Column == "options" {
			options = append(options, c)
		} else {
			rest = append(rest, c)
		}
	}
	return rest, options
}

// typed are the columns of an interface with its type.
func (i OVSInterface) typed() []OVSColumn {
	return append([]OVSColumn{{Column: "type", Value: i.Type}}, i.Columns...)
}

// keepOVS writes files of our own.
func (interfaces) keepOVS(files Files, part Part) (notes []string) {
	if b, ok := part.(OVSBridge); ok {
		files[ifupdown.Bridge.Path(b.Device)] = ovsBridgeStanza(b)
		return describedToo(files, b.Device)
	}
	replaced := []string{}
	if pair, ok := part.(OVSPatch); ok {
		replaced = pair.Replaces
	}
	for _, p := range ovsPorts(part) {
		for _, r := range slices.Concat(replaced, p.Replaces) {
			delete(files, ifupdown.Port.Path(r))
		}
		files[ifupdown.Port.Path(p.Device)] = ovsPortStanza(p)
		notes = append(notes, describedToo(files, p.Device)...)
		if p.bond() {
			notes = append(notes, describedToo(files, p.members()...)...)
		}
	}
	return notes
}

// describedToo warns of other files that give a device something. What our own
// say of addresses adds to it.
func describedToo(files Files, devices ...string) (notes []string) {
	for _, device := range devices {
		for _, name := range sortedNames(files) {
			if ifupdown.PurposeOf(name) == "" && ifupdown.Parse([]byte(files[name])).Gives(device) {
				notes = append(notes, name+" describes "+device+" too: at boot ifupdown goes by both")
			}
		}
	}
	return notes
}

// ovsFiles are the files of a part.
func ovsFiles(p Part) []string {
	if b, ok := p.(OVSBridge); ok {
		return []string{ifupdown.Bridge.Path(b.Device)}
	}
	var out []string
	for _, p := range ovsPorts(p) {
		out = append(out, ifupdown.Port.Path(p.Device))
	}
	return out
}
