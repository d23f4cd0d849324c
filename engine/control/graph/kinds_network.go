package graph

import (
	"cmp"
	"strings"

	"weft/engine/host/topology"
)

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
	w.move(s.From, s.Name)
	l := w.link(s.Name)
	if s.Addresses != nil {
		l.Addresses = s.Addresses
	}
	l.MTU = cmp.Or(s.MTU, l.MTU)
}

type linuxBondSpec struct {
	named
	Members []string `json:"members"`
	From    string   `json:"from"`
	Mode    string   `json:"mode"`
	MTU     int      `json:"mtu"`
}

func putLinuxBond(w *wish, s linuxBondSpec) {
	w.unlink(s.Name)
	if !s.State.There() {
		return
	}
	l := w.link(s.Name)
	l.Kind, l.MTU, l.Bond = "bond", s.MTU, &topology.Bond{Mode: cmp.Or(s.Mode, "balance-rr")}
	if s.Mode == "802.3ad" {
		l.Bond.LACP = "active"
	}
	w.enslave(s.Name, s.Members)
	w.move(s.From, s.Name)
}

type vlanDeviceSpec struct {
	named
	Link string `json:"link"`
	ID   int    `json:"id"`
	MTU  int    `json:"mtu"`
}

func putVLAN(w *wish, s vlanDeviceSpec) {
	w.unlink(s.Name)
	if !s.State.There() {
		return
	}
	w.link(s.Link)
	l := w.link(s.Name)
	l.Kind, l.Lower, l.VLAN, l.MTU = "vlan", s.Link, s.ID, s.MTU
}

type linuxBridgeSpec struct {
	named
	Members []string `json:"members"`
	MTU     int      `json:"mtu"`
}

func putLinuxBridge(w *wish, s linuxBridgeSpec) {
	w.unlink(s.Name)
	if !s.State.There() {
		return
	}
	l := w.link(s.Name)
	l.Kind, l.MTU = "bridge", s.MTU
	w.enslave(s.Name, s.Members)
}

// enslave gives devices to a bond or a bridge.
func (w *wish) enslave(master string, members []string) {
	for _, name := range members {
		w.link(name).Master = master
	}
}

// move takes the addresses of one device to another.
func (w *wish) move(from, to string) {
	if from == "" {
		return
	}
	addresses := w.link(from).Addresses
	w.link(from).Addresses = nil
	w.link(to).Addresses = addresses
}
