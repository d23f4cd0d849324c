package graph

import (
	"encoding/json"
	"reflect"
	"strings"

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
		"ovs_bond":        reads(putBond),
		"ovs_patch":       reads(putPatch),
		"ovs_tunnel":      reads(putTunnel),
		"ovs_mirror":      reads(putMirror),
		"ovn_chassis":     reads(putChassis),
		"ovn_switch":      reads(putSwitch),
		"ovn_switch_port": reads(putSwitchPort),
		"fake_vm":         reads(putFakeVM),
		"net_link":        reads(putLink),
		"net_address":     reads(putAddress),
		"net_bond":        reads(putLinuxBond),
		"net_vlan":        reads(putVLAN),
		"net_bridge":      reads(putLinuxBridge),
	}
}

// Attributes are the attributes that are drawn, by kind.
func Attributes() map[string][]string {
	out := map[string][]string{}
	for kind, r := range readers() {
		out[kind] = r.attributes()
	}
	return out
}

func (r reader) attributes() []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(r.spec)) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !f.Anonymous {
			names = append(names, name)
		}
	}
	return names
}

// named is what every kind has.
type named struct {
	Name  string     `json:"name"`
	State step.State `json:"state"`
}
