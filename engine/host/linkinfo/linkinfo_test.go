package linkinfo

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
)

func indexOf(name string) (int, error) { return strconv.Atoi(strings.TrimPrefix(name, "eth")) }

func nameOf(index int) string {
	if index == 0 {
		return ""
	}
	return fmt.Sprintf("eth%d", index)
}

func TestRoundTrip(t *testing.T) {
	for kind, options := range map[string]map[string]string{
		"bond": {"mode": "802.3ad", "miimon": "100", "arp_ip_target": "192.0.2.1,192.0.2.2", "arp_validate": "filter_backup", "primary": "eth3",
			"xmit_hash_policy": "layer3+4", "ad_actor_sys_prio": "65535", "ad_actor_system": "02:00:00:00:00:01", "lacp_rate": "fast"},
		"bridge": {"forward_delay": "1500", "priority": "32768", "stp_state": "1", "vlan_protocol": "802.1ad", "group_fwd_mask": "65528"},
		"vlan":   {"id": "301", "protocol": "802.1Q", "reorder_hdr": "1", "gvrp": "0", "mvrp": "1", "loose_binding": "0", "bridge_binding": "0"},
	} {
		data, err := Encode(kind, options, indexOf)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(kind, data, nameOf); err != nil || !maps.Equal(got, options) {
			t.Errorf("%s: %v became %v (%v)", kind, options, got, err)
		}
	}
	if got, err := Decode("veth", []byte{1}, nameOf); err != nil || got != nil {
		t.Errorf("of a kind without options: %v %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	for want, c := range map[string]struct{ kind, name, value string }{
		`no option "speed"`:     {"bond", "speed", "1"},
		"is none of":            {"bond", "mode", "fastest"},
		"is no number":          {"bond", "miimon", "-1"},
		"is no IPv4 address":    {"bond", "arp_ip_target", "192.0.2.1,::1"},
		"neither 0 nor 1":       {"vlan", "gvrp", "yes"},
		"invalid MAC":           {"bond", "ad_actor_system", "02"},
		"is no Ethernet":        {"bond", "ad_actor_system", "02:00:00:00:00:00:00:01"},
		"invalid syntax":        {"bond", "primary", "ethx"},
		"is no number of 8":     {"bridge", "vlan_filtering", "256"},
		`kind "veth" has no op`: {"veth", "peer", "x"},
	} {
		if _, err := Encode(c.kind, map[string]string{c.name: c.value}, indexOf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// What the kernel of another day adds is passed over; what is cut short is not
// believed.
func TestDecode(t *testing.T) {
	data := appendAttribute(nil, 999, []byte("new"))
	data = appendAttribute(data, 1, []byte{42})
	if got, err := Decode("bond", data, nameOf); err != nil || !maps.Equal(got, map[string]string{"mode": "42"}) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range [][]byte{{1}, {3, 0, 1, 0}, {200, 0, 1, 0}, appendAttribute(nil, 3, []byte{1}), appendAttribute(nil, 8, appendAttribute(nil, 0, []byte{1}))} {
		if got, err := Decode("bond", bad, nameOf); err == nil {
			t.Errorf("%v was read as %v", bad, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := Encode("bond", map[string]string{"mode": "802.3ad", "arp_ip_target": "192.0.2.1", "primary": "eth3"}, indexOf)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("bond", data)
	f.Add("vlan", appendAttribute(nil, 2, []byte{1, 0, 0, 0, 255, 255, 255, 255}))
	f.Add("bridge", []byte{5, 0, 7, 0, 1})
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		options, err := Decode(kind, data, nameOf)
		if err != nil {
			return
		}
		again, err := Encode(kind, options, indexOf)
		if err != nil {
			t.Fatalf("%v cannot be written: %v", options, err)
		}
		if back, err := Decode(kind, again, nameOf); err != nil || !maps.Equal(back, options) {
			t.Errorf("%v became %v (%v)", options, back, err)
		}
	})
}
