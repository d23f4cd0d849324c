package doortest

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"syscall"
	"testing"

	"weft/engine/host"
)

// madeName is what the suite calls a bridge, a bond or a VLAN that it makes.
const madeName = "weft-test-m"

// add makes a link, and skips the test where the kernel has none of its kind.
func add(t *testing.T, l host.Links, n host.NewLink) {
	t.Helper()
	err := l.AddLink(t.Context(), n)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		t.Skipf("this kernel has no links of kind %s", n.Kind)
	}
	must(t, err)
}

func linkBridge(t *testing.T, l host.Links) {
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	add(t, l, host.NewLink{Name: madeName, Kind: "bridge", Options: map[string]string{"stp_state": "1", "forward_delay": "400", "priority": "4096"}})
	got := needLink(t, l, "", madeName)
	if got.Kind != "bridge" || got.Up || got.MTU != 1500 || got.Options["stp_state"] != "1" || got.Options["forward_delay"] != "400" ||
		got.Options["priority"] != "4096" || got.Options["ageing_time"] != "30000" || got.Options["mcast_snooping"] != "1" {
		t.Errorf("a new bridge: %+v", got)
	}
	wantError(t, "added twice", l.AddLink(t.Context(), host.NewLink{Name: madeName, Kind: "bridge"}), fs.ErrExist)
	address := netip.MustParsePrefix("198.18.255.1/24")
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{MAC: "02:00:00:00:00:07", MTU: 1400, Up: ptr(true), AddAddresses: []netip.Prefix{address}}))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr(madeName)}))
	if got := needLink(t, l, "", linkName); got.Master != madeName || !got.Up || len(got.Addresses) != 1 {
		t.Errorf("a member of a bridge stays as it is: %+v", got)
	}
	if got := needLink(t, l, "", madeName); got.MAC != "02:00:00:00:00:07" || got.MTU != 1400 {
		t.Errorf("a bridge has what its members have: %+v", got)
	}
	must(t, l.Set(t.Context(), "", madeName, host.LinkChange{MAC: "02:00:00:00:00:09", MTU: 1450, Up: ptr(true), Options: map[string]string{"ageing_time": "1200"}}))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr("")}))
	got = needLink(t, l, "", madeName)
	if got.MAC != "02:00:00:00:00:09" || got.MTU != 1450 || got.Options["ageing_time"] != "1200" || got.Options["stp_state"] != "1" {
		t.Errorf("a bridge keeps what a hand chose: %+v", got)
	}
	wantError(t, "a master that is not", l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr("weft-test-no")}), fs.ErrNotExist)
	wantError(t, "a master that is none", l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr(peerName)}), nil)
	wantError(t, "an option that is none", l.Set(t.Context(), "", madeName, host.LinkChange{Options: map[string]string{"colour": "red"}}), nil)
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr(madeName)}))
	must(t, l.RemoveLink(t.Context(), "", madeName))
	if got := needLink(t, l, "", linkName); got.Master != "" {
		t.Errorf("the member of a bridge that is gone: %+v", got)
	}
}

func linkBond(t *testing.T, l host.Links) {
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{MAC: "02:00:00:00:00:07", MTU: 1400}))
	add(t, l, host.NewLink{Name: madeName, Kind: "bond", MTU: 1450, Options: map[string]string{"mode": "active-backup", "miimon": "100", "updelay": "200"}})
	if got := needLink(t, l, "", madeName); got.Kind != "bond" || got.Up || got.Options["mode"] != "active-backup" || got.Options["updelay"] != "200" || got.Options["primary"] != "" {
		t.Errorf("a new bond: %+v", got)
	}
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(true)}))
	wantError(t, "a member that is up", l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr(madeName)}), syscall.EPERM)
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(false)}))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr(madeName)}))
	if got := needLink(t, l, "", linkName); got.Master != madeName || !got.Up || got.MTU != 1450 {
		t.Errorf("a member of a bond: %+v", got)
	}
	if got := needLink(t, l, "", madeName); got.MAC != "02:00:00:00:00:07" {
		t.Errorf("a bond has the Ethernet address of its first member: %+v", got)
	}
	must(t, l.Set(t.Context(), "", madeName, host.LinkChange{Options: map[string]string{"primary": linkName, "num_peer_notif": "3"}}))
	if got := needLink(t, l, "", madeName); got.Options["primary"] != linkName || got.Options["num_peer_notif"] != "3" {
		t.Errorf("options of a bond: %+v", got.Options)
	}
	mode := host.LinkChange{Options: map[string]string{"mode": "802.3ad"}}
	wantError(t, "another mode, with members", l.Set(t.Context(), "", madeName, mode), syscall.ENOTEMPTY)
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Master: ptr("")}))
	if got := needLink(t, l, "", linkName); got.Master != "" || got.Up || got.MTU != 1400 || got.MAC != "02:00:00:00:00:07" {
		t.Errorf("what left a bond has its own again, and is down: %+v", got)
	}
	if got := needLink(t, l, "", madeName); got.MAC == "02:00:00:00:00:07" {
		t.Error("a bond keeps the Ethernet address of a member that left")
	}
	must(t, l.Set(t.Context(), "", madeName, mode))
	got := needLink(t, l, "", madeName).Options
	if got["mode"] != "802.3ad" || got["ad_actor_sys_prio"] != "65535" {
		t.Errorf("with LACP: %v", got)
	}
	must(t, l.Set(t.Context(), "", madeName, host.LinkChange{Options: map[string]string{"lacp_rate": "fast"}, Up: ptr(true)}))
	wantError(t, "lacp_rate of a bond that is up", l.Set(t.Context(), "", madeName, host.LinkChange{Options: map[string]string{"lacp_rate": "slow"}}), syscall.EBUSY)
	wantError(t, "primary with LACP", l.Set(t.Context(), "", madeName, host.LinkChange{Options: map[string]string{"primary": linkName}}), syscall.EACCES)
	must(t, l.RemoveLink(t.Context(), "", madeName))
}

func linkVLAN(t *testing.T, l host.Links) {
	must(t, l.AddVeth(t.Context(), linkName, peerName))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{MAC: "02:00:00:00:00:07", MTU: 1400}))
	vlan := host.NewLink{Name: madeName, Kind: "vlan", Lower: linkName, Options: map[string]string{"id": "301", "protocol": "802.1ad", "gvrp": "0", "mvrp": "1"}}
	add(t, l, vlan)
	got := needLink(t, l, "", madeName)
	want := map[string]string{"id": "301", "protocol": "802.1ad", "reorder_hdr": "1", "gvrp": "0", "mvrp": "1", "loose_binding": "0", "bridge_binding": "0"}
	if got.Kind != "vlan" || got.Lower != linkName || got.MAC != "02:00:00:00:00:07" || got.MTU != 1400 || !maps.Equal(got.Options, want) {
		t.Errorf("a new VLAN: %+v", got)
	}
	vlan.Name = "weft-test-r"
	wantError(t, "the same VLAN twice", l.AddLink(t.Context(), vlan), fs.ErrExist)
	wantError(t, "up above a device that is down", l.Set(t.Context(), "", madeName, host.LinkChange{Up: ptr(true)}), syscall.ENETDOWN)
	wantError(t, "an MTU above the device's", l.Set(t.Context(), "", madeName, host.LinkChange{MTU: 1500}), syscall.ERANGE)
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(true), MTU: 1300}))
	must(t, l.Set(t.Context(), "", madeName, host.LinkChange{Up: ptr(true), Options: map[string]string{"mvrp": "0", "loose_binding": "1"}}))
	if got := needLink(t, l, "", madeName); got.MTU != 1300 || !got.Up || got.Options["mvrp"] != "0" || got.Options["loose_binding"] != "1" || got.Options["reorder_hdr"] != "1" {
		t.Errorf("a VLAN after changes: %+v", got)
	}
	must(t, l.Set(t.Context(), "", madeName, host.LinkChange{Options: map[string]string{"loose_binding": "0"}}))
	must(t, l.Set(t.Context(), "", linkName, host.LinkChange{Up: ptr(false)}))
	if got := needLink(t, l, "", madeName); got.Up {
		t.Error("a VLAN is up above a device that is down")
	}
	must(t, l.RemoveLink(t.Context(), "", linkName))
	if _, there := link(t, l, "", madeName); there {
		t.Error("a VLAN outlived the device below it")
	}
}

func linkMadeMissing(t *testing.T, l host.Links) {
	wantError(t, "of another kind", l.AddLink(t.Context(), host.NewLink{Name: madeName, Kind: "weft-none"}), syscall.EOPNOTSUPP)
	wantError(t, "with an option of no kind", l.AddLink(t.Context(), host.NewLink{Name: madeName, Kind: "bridge", Options: map[string]string{"id": "1"}}), nil)
	wantError(t, "above nothing", l.AddLink(t.Context(), host.NewLink{Name: madeName, Kind: "vlan", Lower: "weft-test-no", Options: map[string]string{"id": "1"}}), fs.ErrNotExist)
}
