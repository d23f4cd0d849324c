package ovs

import (
	"fmt"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
)

// meshed are bridges that are joined each with each.
func meshed(bridges int) tables {
	t := tables{bridges: map[string]ovsdb.Row{}, ports: map[string]ovsdb.Row{}, interfaces: map[string]ovsdb.Row{}}
	for a := range bridges {
		var ports []string
		for b := range bridges {
			name := fmt.Sprintf("p%d-%d", a, b)
			if a == b {
				continue
			}
			ports = append(ports, "port "+name)
			t.ports["port "+name] = ovsdb.Row{"_uuid": row.UUID("port " + name), "name": name, "interfaces": row.UUIDs("interface " + name)}
			t.interfaces["interface "+name] = ovsdb.Row{
				"_uuid": row.UUID("interface " + name), "name": name, "type": "patch", "options": row.Strmap(map[string]string{"peer": fmt.Sprintf("p%d-%d", b, a)}),
			}
		}
		name := fmt.Sprintf("br%d", a)
		t.bridges[name] = ovsdb.Row{"_uuid": row.UUID(name), "name": name, "rstp_enable": true, "ports": row.UUIDs(ports...)}
	}
	return t
}

// TestLoopsOfManyBridges: there are more ways through such a mesh than a host
// has time for.
func TestLoopsOfManyBridges(t *testing.T) {
	all := meshed(20)
	near, far := PatchEnd{Bridge: "br0", Port: "p0-19"}, PatchEnd{Bridge: "br19", Port: "p19-0"}
	if said := all.loop(near, far); said != "" {
		t.Errorf("a loop of bridges with RSTP: %s", said)
	}
	all.bridges["br1"]["rstp_enable"] = false
	if said := all.loop(near, far); said == "" {
		t.Error("no loop through br1")
	}
}
