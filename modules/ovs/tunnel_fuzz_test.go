package ovs

import (
	"maps"
	"strings"
	"testing"

	"weft/engine/step"
)

// FuzzTunnelOptions reads options that any hand may have written: a tunnel keeps
// what was found as it was spelt, which is what undo writes, and what a tunnel
// means is the same however often it is read.
func FuzzTunnelOptions(f *testing.F) {
	f.Add("key", "0x7", "dst_port", "4789")
	f.Add("df_default", "True", "remote_ip", "FD00::1")
	f.Add("ttl", "inherit", "egress_pkt_mark", "-1")
	f.Add("in_key", "", "exts", "gbp")
	f.Fuzz(func(t *testing.T, key, value, key2, value2 string) {
		found := PortSpec{Name: "vx1", Bridge: "br0", Type: step.Is("vxlan"), Options: map[string]step.Attr[string]{key: step.Is(value), key2: step.Is(value2)}}
		s := ofPort(found)
		if back := s.port(); !maps.Equal(back.Options, found.Options) {
			t.Errorf("%v became %v", found.Options, back.Options)
		}
		if d := (tunnel{}).Diff(s, s.like(s)); len(d) > 0 {
			t.Errorf("%v differs from itself: %v", found.Options, d)
		}
		for _, k := range tunnelKeys() {
			once := meant("vxlan", k, step.Is(value))
			if twice := meant("vxlan", k, step.Is(once)); twice != once {
				t.Errorf("%s %q means %q, and that %q", k, value, once, twice)
			}
		}
	})
}

// FuzzRemote reads the targets that a database holds: none of them is refused
// that the switch may have, and none stops a check.
func FuzzRemote(f *testing.F) {
	f.Add("ptcp:6640:[fd00::1]")
	f.Add("tcp:192.0.2.1:6653")
	f.Add("ptcp:")
	f.Fuzz(func(t *testing.T, target string) {
		r := Remote{Target: target}
		_, address, listens := r.listener()
		if r.openToAll() && (!listens || address == "192.0.2.1") {
			t.Errorf("%q is open to all", target)
		}
		port, _, _ := r.listener()
		accepted := len(managers().problems([]Remote{r})) == 0
		if accepted && (strings.ContainsAny(target, " \n") || len(port) > 5) {
			t.Errorf("%q is accepted", target)
		}
	})
}
