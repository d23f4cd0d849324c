package view

import (
	"bytes"
	"fmt"
	"testing"

	"weft/engine/control/run"
)

// TestThousandsOfHostsFitAScreen is a fleet of which half is dead: who looks
// wants to know how many, why, and who is not like the others.
func TestThousandsOfHostsFitAScreen(t *testing.T) {
	var hosts []string
	recap := &run.Recap{Run: "r1", Exit: run.NoContact, Hosts: map[string]run.Count{}}
	for i := range 5000 {
		hosts = append(hosts, fmt.Sprintf("host%04d", i))
	}
	var out bytes.Buffer
	v := NewText(&out, none, Changes)
	v.Observe(run.Event{Type: run.RunBegan, Hosts: hosts})
	for i, h := range hosts {
		switch {
		case i == 7:
			v.Observe(run.Event{Type: run.HostUnreachable, Host: h, Address: "192.0.2.7:22", Error: "192.0.2.7:22: the key\n\x1b[2Jchanged", Hint: "look"})
			recap.Hosts[h] = run.Count{Unreachable: true}
		case i%2 == 1:
			address := fmt.Sprintf("192.0.2.%d:22", i)
			v.Observe(run.Event{Type: run.HostUnreachable, Host: h, Address: address, Error: address + ": no answer within 10s", Hint: "is it up?"})
			recap.Hosts[h] = run.Count{Unreachable: true}
		case i == 8:
			recap.Hosts[h] = run.Count{OK: 3, Failed: 1}
		default:
			recap.Hosts[h] = run.Count{OK: 4}
		}
	}
	v.Observe(run.Event{Type: run.PlayHeld, Play: "p", Hosts: hosts, Error: "2500 hosts failed, and max_failures is 0"})
	v.Observe(run.Event{Type: run.RunEnded, Recap: recap})
	want := `unreachable  2499 hosts: no answer within 10s
  host0001, host0003, host0005, host0009, host0011 and 2494 more
  → is it up?
unreachable  1 host: the key
  \x1b[2Jchanged
  host0007
  → look
play p does not begin on host0000, host0001, host0002, host0003, host0004 and 4995 more: 2500 hosts failed, and max_failures is 0

recap  run r1  0.0ms
2499 hosts : ok=4   changed=0   failed=0   skipped=0   rolled_back=0
  host0000, host0002, host0004, host0006, host0010 and 2494 more
2500 hosts : ok=0   changed=0   failed=0   skipped=0   rolled_back=0 unreachable
  host0001, host0003, host0005, host0007, host0009 and 2495 more
host0008   : ok=3   changed=0   failed=1   skipped=0   rolled_back=0
`
	if got := out.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
