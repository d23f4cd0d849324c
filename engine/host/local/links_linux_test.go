package local

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"weft/engine/host"
)

// A macvlan stands on another device, and a veth on none.
func TestLower(t *testing.T) {
	far(t)
	err := dial(t.Context(), "", func(h *netlink.Handle) error {
		parent, err := findLink(h, testLink)
		if err != nil {
			return err
		}
		a := netlink.NewLinkAttrs()
		a.Name, a.ParentIndex = "weft-test-m", parent.Attrs().Index
		return h.LinkAdd(&netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE})
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := links{}.List(t.Context(), "") // the macvlan goes with its parent
	if err != nil {
		t.Fatal(err)
	}
	lower := func(name string) string {
		return all[slices.IndexFunc(all, func(l host.Link) bool { return l.Name == name })].Lower
	}
	if lower("weft-test-m") != testLink || lower(testLink) != "" {
		t.Errorf("the macvlan stands on %q, the veth on %q", lower("weft-test-m"), lower(testLink))
	}
}
