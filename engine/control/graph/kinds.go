package graph

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"weft/engine/host/topology"
	"weft/engine/step"
)

// A reader knows the attributes of a kind that are drawn. Modules are not asked:
// what a picture needs of them is a few names, and a test of cmd/weft holds those
// against the table of kinds.
type reader struct {
	spec any // the zero struct of the attributes
	put  func(*wish, []byte) error
}

func reads[S any](put func(*wish, S)) reader {
	var zero S
	return reader{zero, func(w *wish, spec []byte) error {
		var s S
		if err := json.Unmarshal(spec, &s); err != nil {
			return err
		}
		put(w, s)
		return nil
	}}
}

func readers() map[string]reader {
	return map[string]reader{
		"ovs_bridge":      reads(putBridge),
		"ovs_port":        reads(putPort),
		"ovn_chassis":     reads(putChassis),
		"ovn_switch":      reads(putSwitch),
		"ovn_switch_port": reads(putSwitchPort),
		"fake_vm":         reads(putFakeVM),
		"net_link":        reads(putLink),
		"net_address":     reads(putAddress),
	}
}

// Attributes are the attributes that are drawn, by kind.
func Attributes() map[string][]string {
	out := map[string][]string{}
	for kind, r := range readers() {
		for f := range fields(reflect.TypeOf(r.spec)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			out[kind] = append(out[kind], name)
		}
	}
	return out
}

// fields yields the fields of a struct and of those embedded in it.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if !f.Anonymous && !yield(f) {
				return
			}
		}
	}
}

// named is what every kind has.
type named struct {
	Name  string     `json:"name"`
	State step.State `json:"state"`
}

type vlanSpec struct {
	Tag    *int   `json:"tag"`
	Trunks []int  `json:"trunks"`
	Mode   string `json:"vlan_mode"`
}

type bridgeSpec struct {
	named
	Datapath  string   `json:"datapath_type"`
	FailMode  string   `json:"fail_mode"`
	STP       bool     `json:"stp_enable"`
	RSTP      bool     `json:"rstp_enable"`
	Addresses []string `json:"addresses"`
}

func putBridge(w *wish, s bridgeSpec) {
	if !s.State.There() {
		w.t.Bridges = slices.DeleteFunc(w.t.Bridges, func(b topology.Bridge) bool { return b.Name == s.Name })
		return
	}
	b := w.bridge(s.Name)
	if s.Datapath != "system" {
		b.Datapath = cmp.Or(s.Datapath, b.Datapath)
	}
	if s.FailMode != "standalone" {
		b.FailMode = cmp.Or(s.FailMode, b.FailMode)
	}
	switch {
	case s.RSTP:
		b.Spanning = "rstp"
	case s.STP:
		b.Spanning = "stp"
	}
	if len(s.Addresses) > 0 {
		w.link(s.Name).Addresses = s.Addresses
	}
}

type portSpec struct {
	named
	vlanSpec
	Bridge      string            `json:"bridge"`
	Type        string            `json:"type"`
	Options     map[string]string `json:"options"`
	ExternalIDs map[string]string `json:"external_ids"`
	Addresses   []string          `json:"addresses"`
}

func putPort(w *wish, s portSpec) {
	if !s.State.There() {
		w.unplug(s.Name)
		return
	}
	i := topology.Interface{Name: s.Name, Logical: s.ExternalIDs["iface-id"]}
	if s.Type != "system" {
		i.Type = s.Type
	}
	switch {
	case i.Type == "patch":
		i.Peer = s.Options["peer"]
	case topology.Tunnel(i.Type):
		i.Remote, i.Local, i.Key = s.Options["remote_ip"], s.Options["local_ip"], s.Options["key"]
	}
	w.put(s.Bridge, topology.Port{Name: s.Name, Tag: s.Tag, Trunks: s.Trunks, VLANMode: s.Mode, Interfaces: []topology.Interface{i}})
	if len(s.Addresses) > 0 {
		w.link(s.Name).Addresses = s.Addresses
	}
}

type chassisSpec struct {
	SystemID  string            `json:"system_id"`
	Remote    []string          `json:"remote"`
	EncapType string            `json:"encap_type"`
	EncapIP   string            `json:"encap_ip"`
	Bridge    string            `json:"bridge"`
	Mappings  map[string]string `json:"bridge_mappings"`
}

func putChassis(w *wish, s chassisSpec) {
	split := func(list string) []string { return strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) }
	w.t.Chassis = &topology.Chassis{Name: s.SystemID, EncapTypes: split(s.EncapType), EncapIPs: split(s.EncapIP), Mappings: s.Mappings}
	maps.DeleteFunc(s.Mappings, func(_, bridge string) bool { return bridge == "" })
	w.remote, w.at = slices.Sorted(slices.Values(s.Remote)), s.Bridge
}

type switchSpec struct{ named }

func putSwitch(w *wish, s switchSpec) {
	if s.State.There() {
		w.logicalSwitch(s.Name)
		return
	}
	l := w.logical()
	l.Switches = slices.DeleteFunc(l.Switches, func(o topology.Switch) bool { return o.Name == s.Name })
}

type switchPortSpec struct {
	named
	Switch    string            `json:"switch"`
	Type      string            `json:"type"`
	Addresses []string          `json:"addresses"`
	Options   map[string]string `json:"options"`
	Tag       *int              `json:"tag"`
}

func putSwitchPort(w *wish, s switchPortSpec) {
	w.removeSwitchPort(s.Name)
	if !s.State.There() {
		return
	}
	ls := w.logicalSwitch(s.Switch)
	ls.Ports = append(ls.Ports, topology.SwitchPort{Name: s.Name, Type: s.Type, Addresses: s.Addresses, Tag: s.Tag,
		Router: s.Options["router-port"], Network: s.Options["network_name"]})
}

type fakeVMSpec struct {
	named
	Bridge    string   `json:"bridge"`
	Port      string   `json:"port"`
	IfaceID   string   `json:"iface_id"`
	Addresses []string `json:"addresses"`
}

func putFakeVM(w *wish, s fakeVMSpec) {
	port := cmp.Or(s.Port, s.Name)
	if !s.State.There() {
		w.unplug(port)
		return
	}
	w.put(s.Bridge, topology.Port{Name: port, Interfaces: []topology.Interface{
		{Name: port, Guest: words("fake VM "+s.Name, strings.Join(s.Addresses, " ")), Logical: s.IfaceID}}})
}

type linkSpec struct {
	Name string `json:"name"`
	MTU  int    `json:"mtu"`
}

func putLink(w *wish, s linkSpec) {
	l := w.link(s.Name)
	l.MTU = cmp.Or(s.MTU, l.MTU)
}

type addressSpec struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	From      string   `json:"from"`
	MTU       int      `json:"mtu"`
}

func putAddress(w *wish, s addressSpec) {
	if s.From != "" {
		from := w.link(s.From)
		if len(s.Addresses) == 0 {
			s.Addresses = from.Addresses
		}
		from.Addresses = nil
	}
	l := w.link(s.Name)
	if s.Addresses != nil {
		l.Addresses = s.Addresses
	}
	l.MTU = cmp.Or(s.MTU, l.MTU)
}
