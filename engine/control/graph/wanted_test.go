package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"weft/engine/host/topology"
	"weft/engine/step"
)

// wishFor is what steps ask for: KIND SPEC, one a line.
func wishFor(t *testing.T, host, steps string) *wish {
	t.Helper()
	w := &wish{host: host, t: &topology.Topology{}}
	for line := range strings.Lines(steps) {
		kind, spec, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && !w.step(step.Unit{Address: kind + ".x", Kind: kind, Spec: json.RawMessage(spec)}) {
			t.Errorf("not drawn: %s", line)
		}
	}
	return w
}

func TestWishes(t *testing.T) {
	for name, tt := range map[string]struct{ steps, want string }{
		"nothing is drawn of other kinds": {`package {"name":"openvswitch-switch"}`, `{}`},
		"a bridge with ports": {`
			ovs_bridge {"name":"br0","fail_mode":"secure","rstp_enable":true,"controllers":[{"target":"tcp:192.0.2.9:6653"}],"addresses":["192.0.2.1/24"]}
			ovs_port {"name":"p2","bridge":"br0","type":"internal","tag":300,"external_ids":{"iface-id":"ls1-p"}}
			ovs_port {"name":"p1","bridge":"br0","trunks":[1,2],"tag":null}`,
			`{"bridges":[{"name":"br0","fail_mode":"secure","spanning":"rstp","controllers":["tcp:192.0.2.9:6653"],"ports":[
				{"name":"p1","trunks":[1,2],"interfaces":[{"name":"p1"}]},
				{"name":"p2","tag":300,"interfaces":[{"name":"p2","type":"internal","logical":"ls1-p"}]}]}],
				"links":[{"name":"br0","addresses":["192.0.2.1/24"]}]}`},
		"what goes, and what moves": {`
			ovs_bridge {"name":"br0"}
			ovs_bridge {"name":"br1"}
			ovs_port {"name":"p1","bridge":"br0"}
			ovs_port {"name":"p2","bridge":"br0"}
			ovs_port {"name":"p1","bridge":"br1"}
			ovs_port {"name":"p2","bridge":"br0","state":"absent"}
			ovs_bridge {"name":"br0","state":"absent"}`,
			`{"bridges":[{"name":"br1","ports":[{"name":"p1","interfaces":[{"name":"p1"}]}]}]}`},
		"a patch port and a tunnel": {`
			ovs_port {"name":"a","bridge":"br0","type":"patch","options":{"peer":"b"}}
			ovs_port {"name":"v","bridge":"br0","type":"vxlan","options":{"remote_ip":"192.0.2.1","key":"7"}}`,
			`{"bridges":[{"name":"br0","ports":[{"name":"a","interfaces":[{"name":"a","type":"patch","peer":"b"}]},
				{"name":"v","interfaces":[{"name":"v","type":"vxlan","remote":"192.0.2.1","key":"7"}]}]}]}`},
		"a bond, a pair, a tunnel, a mirror": {`
			ovs_port {"name":"eth2","bridge":"br1"}
			ovs_port {"name":"old","bridge":"br1"}
			ovs_bond {"name":"bond0","bridge":"br0","members":["eth2","dpdk0"],"lacp":"off","trunks":[1],"interfaces":{"dpdk0":{"type":"dpdk"}}}
			ovs_patch {"near":{"bridge":"br0","port":"a","tag":5},"far":{"bridge":"br1","port":"b"},"replaces":["old"]}
			ovs_patch {"near":{"bridge":"br0","port":"c"},"far":{"bridge":"br1","port":"d"}}
			ovs_patch {"near":{"bridge":"br0","port":"c"},"far":{"bridge":"br1","port":"d"},"state":"absent"}
			ovs_tunnel {"name":"v","bridge":"br1","type":"gre","remote_ip":"192.0.2.1","local_ip":"192.0.2.2","key":"7"}
			ovs_tunnel {"name":"gone","bridge":"br1","type":"gre","remote_ip":"192.0.2.9"}
			ovs_tunnel {"name":"gone","bridge":"br1","state":"absent"}
			ovs_mirror {"name":"m","bridge":"br0","output_port":"a"}
			ovs_mirror {"name":"n","bridge":"br0","output_vlan":9}
			ovs_mirror {"name":"n","bridge":"br0","state":"absent"}`,
			`{"bridges":[{"name":"br0","mirrors":[{"name":"m","port":"a"}],"ports":[
				{"name":"a","tag":5,"interfaces":[{"name":"a","type":"patch","peer":"b"}]},
				{"name":"bond0","trunks":[1],"bond":{"mode":"active-backup"},"interfaces":[{"name":"dpdk0","type":"dpdk"},{"name":"eth2"}]}]},
				{"name":"br1","ports":[{"name":"b","interfaces":[{"name":"b","type":"patch","peer":"a"}]},
				{"name":"v","interfaces":[{"name":"v","type":"gre","remote":"192.0.2.1","local":"192.0.2.2","key":"7"}]}]}]}`},
		"devices of the kernel": {`
			net_address {"name":"eth1","addresses":["192.0.2.1/24"]}
			net_bond {"name":"bond0","members":["eth1","eth2"],"mode":"802.3ad","from":"eth1"}
			net_vlan {"name":"bond0.301","link":"bond0","id":301}
			net_bridge {"name":"br301","members":["bond0.301"],"mtu":9000}
			net_bridge {"name":"br9","members":["eth9"]}
			net_bridge {"name":"br9","state":"absent"}`,
			`{"links":[{"name":"bond0","kind":"bond","bond":{"mode":"802.3ad","lacp":"active"},"addresses":["192.0.2.1/24"]},
				{"name":"bond0.301","kind":"vlan","master":"br301","lower":"bond0","vlan":301},
				{"name":"br301","kind":"bridge","mtu":9000},{"name":"eth1","master":"bond0"},{"name":"eth2","master":"bond0"},{"name":"eth9"}]}`},
		"OVN": {`
			ovn_switch {"name":"ls1"}
			ovn_switch {"name":"ls0"}
			ovn_switch {"name":"old"}
			ovn_switch {"name":"old","state":"absent"}
			ovn_switch_port {"name":"b","switch":"ls1","type":"localnet","tag":301,"options":{"network_name":"physnet301"}}
			ovn_switch_port {"name":"a","switch":"ls1","addresses":["dynamic"]}
			ovn_switch_port {"name":"a","switch":"ls0"}
			ovn_chassis {"system_id":"c","encap_type":"geneve,vxlan","encap_ip":"192.0.2.1","bridge_mappings":{"physnet301":"br-ext","old":null}}`,
			`{"chassis":{"name":"c","encap_types":["geneve","vxlan"],"encap_ips":["192.0.2.1"],"mappings":{"physnet301":"br-ext"}},
				"logical":{"switches":[{"name":"ls0","ports":[{"name":"a"}]},
				{"name":"ls1","ports":[{"name":"b","type":"localnet","tag":301,"network":"physnet301"}]}]}}`},
		"a fake VM": {`fake_vm {"name":"vm1","bridge":"br-int","iface_id":"ls1-vm1","addresses":["192.0.2.1/24"]}`,
			`{"bridges":[{"name":"br-int","ports":[{"name":"vm1","interfaces":[{"name":"vm1","logical":"ls1-vm1","guest":"fake VM vm1 · 192.0.2.1/24"}]}]}]}`},
		"addresses that move": {`
			net_address {"name":"eth0","addresses":["192.0.2.1/24"]}
			net_link {"name":"eth1","mtu":9000}
			net_address {"name":"mgmt0","from":"eth0"}`,
			`{"links":[{"name":"eth0"},{"name":"eth1","mtu":9000},{"name":"mgmt0","addresses":["192.0.2.1/24"]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := wishFor(t, "h", tt.steps)
			w.sort()
			b, err := json.Marshal(w.t)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer("\n", "", "\t", "").Replace(tt.want)
			if string(b) != want {
				t.Errorf("got  %s\nwant %s", b, want)
			}
		})
	}
}

func TestWhatIsNotKnown(t *testing.T) {
	spec := json.RawMessage(`{"name":"p","options":{"remote_ip":"192.0.2.1","key":"7"},"type":"vxlan","bridge":"br0"}`)
	for name, tt := range map[string]struct {
		unit  step.Unit
		whole bool
		ports int
	}{
		"all":                  {step.Unit{Spec: spec}, true, 1},
		"what is not drawn":    {step.Unit{Spec: spec, Unknown: []string{"mtu_request"}}, true, 1},
		"a part":               {step.Unit{Spec: spec, Unknown: []string{"options.local_ip"}}, false, 1},
		"where it belongs":     {step.Unit{Spec: json.RawMessage(`{"name":"p"}`), Unknown: []string{"bridge"}}, false, 0},
		"whether it is at all": {step.Unit{Unknown: []string{"when"}}, false, 0},
	} {
		w := &wish{host: "h", t: &topology.Topology{}}
		tt.unit.Kind = "ovs_port"
		whole, ports := w.step(tt.unit), 0
		for range interfaces(w.t) {
			ports++
		}
		if whole != tt.whole || ports != tt.ports {
			t.Errorf("%s: %v, %d ports", name, whole, ports)
		}
	}
}

func TestSecretsAreNotDrawn(t *testing.T) {
	w := &wish{host: "h", t: &topology.Topology{}}
	w.step(step.Unit{Kind: "ovs_port", Secret: []string{"options.key", "trunks[0]", "tag"},
		Spec: json.RawMessage(`{"name":"p","bridge":"br0","type":"vxlan","options":{"remote_ip":"192.0.2.1","key":"31337"},"trunks":[31337],"tag":31337}`)})
	w.step(step.Unit{Kind: "ovs_bridge", Secret: []string{"name"}, Spec: json.RawMessage(`{"name":"31337"}`)})
	b, err := json.Marshal(w.t)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "31337") || !strings.Contains(string(b), "192.0.2.1") {
		t.Errorf("got %s", b)
	}
}

// ovn-controller makes tunnels between all chassis of one database.
func TestOverlay(t *testing.T) {
	chassis := func(host, remote, kinds, ip string) *wish {
		return wishFor(t, host, `ovn_chassis {"remote":["`+remote+`"],"encap_type":"`+kinds+`","encap_ip":"`+ip+`"}`)
	}
	wishes := []*wish{
		chassis("a", "tcp:1", "geneve,vxlan", "192.0.2.1"), chassis("b", "tcp:1", "vxlan", "192.0.2.2"),
		chassis("c", "tcp:1", "geneve", "192.0.2.3"), chassis("d", "tcp:2", "geneve", "192.0.2.4"), wishFor(t, "e", ""),
	}
	overlay(wishes)
	var got []string
	for _, w := range wishes {
		for i := range interfaces(w.t) {
			got = append(got, w.host+" "+i.Type+" "+i.Remote)
		}
	}
	if want := "a vxlan 192.0.2.2, a geneve 192.0.2.3, b vxlan 192.0.2.1, c geneve 192.0.2.1"; strings.Join(got, ", ") != want {
		t.Errorf("got %s", strings.Join(got, ", "))
	}
}
