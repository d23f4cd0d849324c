package host

import "testing"

func TestOnlyAsks(t *testing.T) {
	for _, c := range []struct {
		refused bool
		command string
		args    []string
	}{
		{false, "bond/show", nil},
		{false, "lacp/show", []string{"bond0"}},
		{true, "exit", nil},
		{true, "fdb/flush", []string{"br0"}},
		{false, "ofproto/trace", []string{"br-int", "in_port=1,icmp"}},
		{true, "ofproto/trace", []string{"br-int", "in_port=1,icmp", "-generate"}},
		{true, "ofproto/trace", []string{"-generate", "in_port=1,icmp"}},
		{true, "ofproto/trace", []string{"br-int", "--generate"}},
		{true, "ofproto/trace", []string{"br-int", "in_port=1", "ffffffffffff"}}, // with a packet it learns from it
		{true, "ofproto/trace", nil},
	} {
		if err := OnlyAsks(c.command, c.args...); (err != nil) != c.refused {
			t.Errorf("%s %q: %v", c.command, c.args, err)
		}
	}
}
