package topology

import (
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
)

func TestWrong(t *testing.T) {
	peers := map[string]string{"a": "b", "b": "a", "c": "a", "half": ""}
	for name, tt := range map[string]struct {
		columns ovsdb.Row
		seen    Interface
		want    string
	}{
		"well":           {ovsdb.Row{"ofport": 1, "admin_state": "up", "link_state": "up"}, Interface{Name: "eth0"}, ""},
		"an error":       {ovsdb.Row{"ofport": -1, "error": "could not open"}, Interface{Name: "eth0"}, "could not open"},
		"not configured": {ovsdb.Row{}, Interface{Name: "eth0"}, "not configured: the log of ovs-vswitchd says why"},
		"no number":      {ovsdb.Row{"ofport": -1}, Interface{Name: "eth0"}, "no OpenFlow port number"},
		"a pair":         {ovsdb.Row{"ofport": 1}, Interface{Name: "a", Type: "patch", Peer: "b"}, ""},
		"no peer":        {ovsdb.Row{"ofport": 1}, Interface{Name: "a", Type: "patch", Peer: "gone"}, "its peer is not there"},
		"another's peer": {ovsdb.Row{"ofport": 1}, Interface{Name: "c", Type: "patch", Peer: "a"}, `its peer leads to "b"`},
		"down":           {ovsdb.Row{"ofport": 1, "admin_state": "down", "link_state": "down"}, Interface{Name: "eth0"}, "down"},
		"no carrier":     {ovsdb.Row{"ofport": 1, "admin_state": "up", "link_state": "down"}, Interface{Name: "eth0"}, "no carrier"},
		"a quiet tunnel": {ovsdb.Row{"ofport": 1, "admin_state": "up", "link_state": "down"}, Interface{Name: "v", Type: "vxlan"}, ""},
		"a lost tunnel":  {ovsdb.Row{"ofport": 1, "bfd_status": row.Strmap(map[string]string{"state": "down"})}, Interface{Name: "v", Type: "vxlan"}, "BFD is down"},
	} {
		if got := wrong(tt.columns, tt.seen, peers); got != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestLACPIsNotCurrent(t *testing.T) {
	id := func(s string) ovsdb.UUID { return ovsdb.UUID{GoUUID: s} }
	interfaces := map[string]ovsdb.Row{
		"1": {"_uuid": id("1"), "name": "eth1", "ofport": 1, "lacp_current": true},
		"2": {"_uuid": id("2"), "name": "eth2", "ofport": 2, "lacp_current": false},
	}
	for lacp, want := range map[string]string{"active": "LACP is not current", "off": ""} {
		p := portOf(ovsdb.Row{"name": "bond0", "interfaces": row.UUIDs("1", "2"), "lacp": lacp}, interfaces, nil)
		if p.Interfaces[0].Wrong != "" || p.Interfaces[1].Wrong != want || p.Bond.Mode != "active-backup" {
			t.Errorf("%s: %+v", lacp, p.Interfaces)
		}
	}
}
