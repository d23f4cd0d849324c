package topology_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/host/topology"
)

func read(t *testing.T, m *fake.Machine) *topology.Topology {
	t.Helper()
	top, err := topology.Read(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	return top
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func insert(table, name string, r ovsdb.Row) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, UUIDName: name, Row: r}
}

// bridges makes bridges with ports, each of some interfaces.
func bridges(m *fake.Machine, wanted map[string]map[string][]ovsdb.Row) {
	var tx row.Tx
	var all []string
	for bridge, ports := range wanted {
		var names []string
		for port, interfaces := range ports {
			var ids []string
			columns := ovsdb.Row{"name": port}
			for _, i := range interfaces {
				if i["name"] == nil { // of the port
					for k, v := range i {
						columns[k] = v
					}
					continue
				}
				id := "i_" + strings.ReplaceAll(i["name"].(string), "-", "_")
				ids = append(ids, id)
				tx.Insert("Interface", id, i)
			}
			columns["interfaces"] = row.UUIDs(ids...)
			name := "p_" + strings.ReplaceAll(port, "-", "_")
			tx.Insert("Port", name, columns)
			names = append(names, name)
		}
		name := "b_" + strings.ReplaceAll(bridge, "-", "_")
		tx.Insert("Bridge", name, ovsdb.Row{"name": bridge, "ports": row.UUIDs(names...)})
		all = append(all, name)
	}
	tx.UpdateAll("Open_vSwitch", 1, ovsdb.Row{"bridges": row.UUIDs(all...)})
	m.Transact(host.OpenVSwitch, tx.Operations()...)
}

// named is the UUID of a row.
func named(m *fake.Machine, table, name string) string {
	for _, r := range m.Rows(host.OpenVSwitch, table) {
		if row.String(r, "name") == name {
			return row.ID(r)
		}
	}
	panic("no " + table + " " + name)
}

func TestOpenVSwitch(t *testing.T) {
	m := fake.New()
	m.AddOpenVSwitch()
	for _, nic := range []string{"eth1", "eth2"} {
		m.AddLink("", host.Link{Name: nic, MTU: 1500, Up: true, Carrier: true})
	}
	bridges(m, map[string]map[string][]ovsdb.Row{
		"br-ext": {
			"br-ext":    {{"name": "br-ext", "type": "internal"}},
			"bond0":     {{"name": "eth1"}, {"name": "eth2"}, {"trunks": row.Set(302, 11), "lacp": row.Optional("active"), "bond_mode": row.Optional("balance-tcp")}},
			"patch-int": {{"name": "patch-int", "type": "patch", "options": row.Strmap(map[string]string{"peer": "patch-ext"})}},
			"lost":      {{"name": "lost", "type": "patch", "options": row.Strmap(map[string]string{"peer": "nowhere"})}},
			"absent0":   {{"name": "absent0"}, {"tag": row.Optional(300)}},
		},
		"br-int": {
			"br-int":    {{"name": "br-int", "type": "internal"}},
			"patch-ext": {{"name": "patch-ext", "type": "patch", "options": row.Strmap(map[string]string{"peer": "patch-int"})}},
			"vx":        {{"name": "vx", "type": "vxlan", "options": row.Strmap(map[string]string{"remote_ip": "192.0.2.1", "local_ip": "192.0.2.2", "key": "7"})}},
			"vm":        {{"name": "vm", "type": "internal", "external_ids": row.Strmap(map[string]string{"iface-id": "ls1-vm"})}},
		},
	})
	m.Transact(host.OpenVSwitch,
		ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Bridge", Row: ovsdb.Row{"datapath_type": "netdev"}},
		ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Bridge", Where: []ovsdb.Condition{row.Is("name", "br-int")}, Row: ovsdb.Row{
			"fail_mode": row.Optional("secure"), "rstp_enable": true}},
		ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Open_vSwitch", Row: ovsdb.Row{"external_ids": row.Strmap(map[string]string{
			"system-id": "c1", "ovn-encap-type": "geneve,vxlan", "ovn-encap-ip": "192.0.2.2", "ovn-bridge-mappings": "physnet1:br-ext,bad"})}},
	)
	var tx row.Tx
	tx.Insert("Mirror", "m1", ovsdb.Row{"name": "span", "output_port": row.UUIDs(named(m, "Port", "absent0"))})
	tx.Insert("Mirror", "m2", ovsdb.Row{"name": "rspan", "output_vlan": row.Optional(9)})
	tx.Update("Bridge", named(m, "Bridge", "br-ext"), ovsdb.Row{"mirrors": row.UUIDs("m1", "m2")})
	tx.Update("Port", named(m, "Port", "vm"), ovsdb.Row{"fake_bridge": true})
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	got := read(t, m)
	if want := `[{"name":"rspan","vlan":9},{"name":"span","port":"absent0"}]`; len(got.Bridges) != 2 || text(t, got.Bridges[0].Mirrors) != want {
		t.Errorf("mirrors %s", text(t, got.Bridges))
	}
	if got.Version != "3.1.0" || len(got.Unread) > 0 || got.Logical != nil {
		t.Errorf("got %s", text(t, got))
	}
	if want := `{"name":"c1","encap_types":["geneve","vxlan"],"encap_ips":["192.0.2.2"],"mappings":{"physnet1":"br-ext"}}`; text(t, got.Chassis) != want {
		t.Errorf("chassis %s", text(t, got.Chassis))
	}
	if len(got.Bridges) != 2 {
		t.Fatalf("got %s", text(t, got.Bridges))
	}
	ext, in := got.Bridges[0], got.Bridges[1]
	if in.Name != "br-int" || in.FailMode != "secure" || in.Datapath != "netdev" || in.Spanning != "rstp" || ext.FailMode != "" || ext.Datapath != "netdev" {
		t.Errorf("bridges %s", text(t, got.Bridges))
	}
	ports := map[string]topology.Port{}
	for _, b := range got.Bridges {
		for _, p := range b.Ports {
			ports[p.Name] = p
		}
	}
	if len(ports) != 7 {
		t.Errorf("ports %s", text(t, ports))
	}
	for name, want := range map[string]string{
		"bond0":     `{"name":"bond0","trunks":[11,302],"bond":{"mode":"balance-tcp","lacp":"active"},"interfaces":[{"name":"eth1"},{"name":"eth2"}]}`,
		"patch-int": `{"name":"patch-int","interfaces":[{"name":"patch-int","type":"patch","peer":"patch-ext"}]}`,
		"lost":      `{"name":"lost","interfaces":[{"name":"lost","type":"patch","peer":"nowhere","wrong":"No usable peer 'nowhere' exists in 'netdev' datapath."}]}`,
		"vx":        `{"name":"vx","interfaces":[{"name":"vx","type":"vxlan","remote":"192.0.2.1","local":"192.0.2.2","key":"7"}]}`,
		"vm":        `{"name":"vm","fake_bridge":true,"interfaces":[{"name":"vm","type":"internal","logical":"ls1-vm"}]}`,
	} {
		if got := text(t, ports[name]); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	if p := ports["absent0"]; p.Tag == nil || *p.Tag != 300 || !strings.Contains(p.Interfaces[0].Wrong, "No such device") {
		t.Errorf("absent0 is %s", text(t, p))
	}
}

func TestABridgeThatIsNotConfigured(t *testing.T) {
	m := fake.New()
	m.AddOpenVSwitch()
	m.Systemctl(host.Stop, "ovs-vswitchd.service")
	bridges(m, map[string]map[string][]ovsdb.Row{"br0": {"br0": {{"name": "br0", "type": "internal"}}}})
	if got := read(t, m).Bridges; len(got) != 1 || !strings.Contains(got[0].Wrong, "not configured") {
		t.Errorf("got %s", text(t, got))
	}
}

func TestNorthbound(t *testing.T) {
	m := fake.New()
	m.AddDatabase(host.Northbound)
	m.Transact(host.Northbound,
		insert("Gateway_Chassis", "g1", ovsdb.Row{"name": "g1", "chassis_name": "second", "priority": 10}),
		insert("Gateway_Chassis", "g2", ovsdb.Row{"name": "g2", "chassis_name": "first", "priority": 20}),
		insert("Logical_Router_Port", "lrp", ovsdb.Row{"name": "lr-ls", "networks": row.Set("192.0.2.1/24"), "gateway_chassis": row.UUIDs("g1", "g2")}),
		insert("Logical_Router", "", ovsdb.Row{"name": "lr", "ports": row.UUIDs("lrp")}),
		insert("Logical_Switch_Port", "a", ovsdb.Row{"name": "ls-lr", "type": "router", "addresses": row.Set("router"), "options": row.Strmap(map[string]string{"router-port": "lr-ls"})}),
		insert("Logical_Switch_Port", "b", ovsdb.Row{"name": "out", "type": "localnet", "tag": row.Optional(301), "options": row.Strmap(map[string]string{"network_name": "physnet301"})}),
		insert("Logical_Switch_Port", "c", ovsdb.Row{"name": "vm", "up": row.Optional(false)}),
		insert("Logical_Switch", "", ovsdb.Row{"name": "ls", "ports": row.UUIDs("a", "b", "c")}),
		insert("Logical_Switch", "", ovsdb.Row{"name": "empty"}),
	)
	got := read(t, m).Logical
	if got == nil || len(got.Switches) != 2 || len(got.Routers) != 1 || got.Switches[0].Name != "empty" || got.Switches[1].ID == "" {
		t.Fatalf("got %s", text(t, got))
	}
	if want := `[{"name":"lr-ls","networks":["192.0.2.1/24"],"chassis":["first","second"]}]`; text(t, got.Routers[0].Ports) != want {
		t.Errorf("router ports %s", text(t, got.Routers[0].Ports))
	}
	want := `[{"name":"ls-lr","type":"router","addresses":["router"],"router":"lr-ls"},` +
		`{"name":"out","type":"localnet","tag":301,"network":"physnet301"},{"name":"vm","down":true}]`
	if text(t, got.Switches[1].Ports) != want {
		t.Errorf("switch ports %s", text(t, got.Switches[1].Ports))
	}
}

func TestLinks(t *testing.T) {
	m := fake.New()
	at := netip.MustParsePrefix
	for _, l := range []host.Link{
		{Name: "eth1", MTU: 9000, Up: true, Carrier: true, Addresses: []netip.Prefix{at("192.0.2.1/24")}},
		{Name: "eth2", MTU: 1500, Master: "bond0"},
		{Name: "bond0", Kind: "bond", MTU: 1500, Up: true, Carrier: true, Options: map[string]string{"mode": "802.3ad"}},
		{Name: "bond0.5", Kind: "vlan", MTU: 1500, Lower: "bond0", Options: map[string]string{"id": "5"}},
		{Name: "ovs-netdev", Kind: "tun"}, {Name: "genev_sys_6081", Kind: "geneve"},
	} {
		m.AddLink("", l)
	}
	got := read(t, m)
	want := []topology.Link{
		{Name: "bond0", Kind: "bond", MTU: 1500, Bond: &topology.Bond{Mode: "802.3ad", LACP: "active"}},
		{Name: "bond0.5", Kind: "vlan", MTU: 1500, Lower: "bond0", VLAN: 5, State: "down"},
		{Name: "eth1", MTU: 9000, Addresses: []string{"192.0.2.1/24"}},
		{Name: "eth2", MTU: 1500, Master: "bond0", State: "down"},
	}
	if !reflect.DeepEqual(got.Links, want) || len(got.Bridges) > 0 || len(got.Unread) > 0 {
		t.Errorf("got %s", text(t, got))
	}
}

// broken are databases that refuse.
type broken struct{}

func (broken) Select(context.Context, host.Database, ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	return nil, errors.New("connection reset by peer")
}

func TestWhatCannotBeReadHidesNothing(t *testing.T) {
	m := fake.New()
	m.AddLink("", host.Link{Name: "eth1", Up: true, Carrier: true})
	v := m.Host().View()
	v.OVSDB = broken{}
	got, err := topology.Read(t.Context(), v)
	if err != nil || len(got.Links) != 1 || len(got.Unread) != 2 || got.Unread[0] != "Open vSwitch: connection reset by peer" {
		t.Errorf("got %s, %v", text(t, got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := topology.Read(ctx, v); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
