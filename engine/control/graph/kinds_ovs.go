package graph

import (
	"cmp"
	"slices"

	"weft/engine/host/topology"
	"weft/engine/step"
)

type vlanSpec struct {
	Tag    *int   `json:"tag"`
	Trunks []int  `json:"trunks"`
	Mode   string `json:"vlan_mode"`
}

// port is a port of these VLANs.
func (s vlanSpec) port(name string, interfaces ...topology.Interface) topology.Port {
	return topology.Port{Name: name, Tag: s.Tag, Trunks: s.Trunks, VLANMode: s.Mode, Interfaces: interfaces}
}

type bridgeSpec struct {
	named
	Datapath  string   `json:"datapath_type"`
	FailMode  string   `json:"fail_mode"`
	STP       bool     `json:"stp_enable"`
	RSTP      bool     `json:"rstp_enable"`
	Addresses []string `json:"addresses"`

	Controllers []struct {
		Target string `json:"target"`
	} `json:"controllers"`
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
	if s.Controllers != nil {
		b.Controllers = nil
	}
	for _, c := range s.Controllers {
		b.Controllers = append(b.Controllers, c.Target)
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
	Fake        bool              `json:"fake_bridge"`
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
	p := s.port(s.Name, i)
	p.FakeBridge = s.Fake
	w.put(s.Bridge, p)
	if len(s.Addresses) > 0 {
		w.link(s.Name).Addresses = s.Addresses
	}
}

type bondSpec struct {
	named
	vlanSpec
	Bridge     string   `json:"bridge"`
	Members    []string `json:"members"`
	BondMode   string   `json:"bond_mode"`
	LACP       string   `json:"lacp"`
	Interfaces map[string]struct {
		Type string `json:"type"`
	} `json:"interfaces"`
}

func putBond(w *wish, s bondSpec) {
	if !s.State.There() {
		w.unplug(s.Name)
		return
	}
	p := s.port(s.Name)
	p.Bond = &topology.Bond{Mode: cmp.Or(s.BondMode, "active-backup"), LACP: s.LACP}
	if s.LACP == "off" {
		p.Bond.LACP = ""
	}
	for _, name := range slices.Sorted(slices.Values(s.Members)) {
		i := topology.Interface{Name: name, Type: s.Interfaces[name].Type}
		if i.Type == "system" {
			i.Type = ""
		}
		p.Interfaces = append(p.Interfaces, i)
	}
	w.put(s.Bridge, p)
}

// patchSpec has no name that is a port's.
type patchSpec struct {
	State    step.State `json:"state"`
	Near     patchEnd   `json:"near"`
	Far      patchEnd   `json:"far"`
	Replaces []string   `json:"replaces"`
}

type patchEnd struct {
	vlanSpec
	Bridge string `json:"bridge"`
	Port   string `json:"port"`
}

func putPatch(w *wish, s patchSpec) {
	for _, gone := range append(s.Replaces, s.Near.Port, s.Far.Port) {
		w.unplug(gone)
	}
	if !s.State.There() {
		return
	}
	for _, pair := range [][2]patchEnd{{s.Near, s.Far}, {s.Far, s.Near}} {
		w.put(pair[0].Bridge, pair[0].port(pair[0].Port, topology.Interface{Name: pair[0].Port, Type: "patch", Peer: pair[1].Port}))
	}
}

type tunnelSpec struct {
	named
	Bridge string `json:"bridge"`
	Type   string `json:"type"`
	Remote string `json:"remote_ip"`
	Local  string `json:"local_ip"`
	Key    string `json:"key"`
	Tag    *int   `json:"tag"`
}

func putTunnel(w *wish, s tunnelSpec) {
	if !s.State.There() {
		w.unplug(s.Name)
		return
	}
	w.put(s.Bridge, topology.Port{Name: s.Name, Tag: s.Tag, Interfaces: []topology.Interface{
		{Name: s.Name, Type: s.Type, Remote: s.Remote, Local: s.Local, Key: s.Key}}})
}

type mirrorSpec struct {
	named
	Bridge string `json:"bridge"`
	Port   string `json:"output_port"`
	VLAN   int    `json:"output_vlan"`
}

func putMirror(w *wish, s mirrorSpec) {
	if s.Bridge == "" {
		return
	}
	b := w.bridge(s.Bridge)
	b.Mirrors = slices.DeleteFunc(b.Mirrors, func(m topology.Mirror) bool { return m.Name == s.Name })
	if s.State.There() {
		b.Mirrors = append(b.Mirrors, topology.Mirror{Name: s.Name, Port: s.Port, VLAN: s.VLAN})
	}
}
