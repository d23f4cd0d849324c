package graph

import (
	"maps"
	"slices"
	"strings"

	"weft/engine/host/topology"
)

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
