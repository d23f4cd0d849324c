package view

import (
	"bytes"
	"testing"

	"weft/engine/control/trace"
)

func TestTrace(t *testing.T) {
	dead := trace.Hop{Where: "ACL of ls1", State: trace.Dies, What: "to-lport 1: drop", Why: "it says so", Do: "take it away"}
	for _, tt := range []struct {
		result trace.Result
		want   string
	}{
		{trace.Result{Packet: "ICMP echo request", From: "a", To: "b", Arrives: true, Hops: []trace.Hop{{Where: "port a on h1", State: trace.Passes, What: "tap0"}}},
			"ICMP echo request from a to b\n  ok    port a on h1  tap0\narrives\n"},
		{trace.Result{Packet: "UDP to port 53", From: "a\x1b[2J", To: "b", Arrives: true, Hops: []trace.Hop{{Where: "é", State: trace.Passes, What: "1"}, {Where: "port b", State: trace.Unknown, What: "x\narrives"}}},
			"UDP to port 53 from a\\x1b[2J to b\n  ok    é       1\n  ?     port b  x\\narrives\narrives, as far as can be seen\n"},
		{trace.Result{Packet: "ICMP echo request", From: "a", To: "b", Arrives: true, Hops: []trace.Hop{
			{Where: "port a on h1", State: trace.Passes, What: "tap0", Counted: []trace.Counted{{Host: "h1", Port: "tap0", In: 7, Out: 5, Dropped: 2, Errors: 1}}},
			{Where: "tunnel h1 to h2", State: trace.Passes, What: "geneve", Counted: []trace.Counted{{Host: "h1", Port: "t2", In: 1, Out: 2}, {Host: "h2", Port: "t1", In: 2, Out: 1}}}}},
			"ICMP echo request from a to b\n  ok    port a on h1     tap0; 7 in, 5 out, 2 dropped, 1 errors\n  ok    tunnel h1 to h2  geneve; h1 1 in, 2 out; h2 2 in, 1 out\narrives\n"},
		{trace.Result{Packet: "ICMP echo request", From: "a", To: "b", Hops: []trace.Hop{dead}, Died: &dead}, `ICMP echo request from a to b
  dies  ACL of ls1  to-lport 1: drop
        why: it says so
        do: take it away
dies at: ACL of ls1 (to-lport 1: drop)
`},
	} {
		var out bytes.Buffer
		if err := Trace(&out, none, &tt.result); err != nil || out.String() != tt.want {
			t.Errorf("got %v\n%s", err, out.String())
		}
	}
}
