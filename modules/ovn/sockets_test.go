package ovn

import (
	"net/netip"
	"testing"
)

// A little-endian machine's table, as its kernel wrote it.
const socketTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200007F:1981 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 03007F0A:C001 02007F0A:19F2 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
`

func TestParseSockets(t *testing.T) {
	list, err := parseSockets(socketTable)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if got := list[0]; got.local != netip.MustParseAddrPort("127.0.0.2:6529") || got.state != listening {
		t.Errorf("first: %v", got)
	}
	if got := list[1]; got.remote != netip.MustParseAddrPort("10.127.0.2:6642") || got.state != established {
		t.Errorf("second: %v", got)
	}
	six, err := parseEndpoint("0000000000000000FFFF000002007F0A:19F2")
	if err != nil || six != netip.MustParseAddrPort("10.127.0.2:6642") {
		t.Errorf("IPv4 in IPv6: %v, %v", six, err)
	}
}

func TestListens(t *testing.T) {
	at := func(s string, state uint8) []socket {
		return []socket{{local: netip.MustParseAddrPort(s), state: state}}
	}
	for name, c := range map[string]struct {
		open   []socket
		target string
		want   bool
	}{
		"there":             {at("10.0.0.1:6642", listening), "ptcp:6642:10.0.0.1", true},
		"all addresses":     {at("0.0.0.0:6642", listening), "ptcp:6642:10.0.0.1", true},
		"another address":   {at("10.0.0.2:6642", listening), "ptcp:6642:10.0.0.1", false},
		"another port":      {at("10.0.0.1:6641", listening), "ptcp:6642:10.0.0.1", false},
		"only a connection": {at("10.0.0.1:6642", established), "ptcp:6642:10.0.0.1", false},
		"all is not one":    {at("10.0.0.1:6642", listening), "ptcp:6642", false},
	} {
		target, err := parseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := listens(c.open, target); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzSockets(f *testing.F) {
	f.Add(socketTable)
	f.Add("head\n 0: 00:00 :1 FF")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseSockets(text)
		if err != nil && list != nil {
			t.Error("an error and a list")
		}
	})
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"ptcp:6642:10.0.0.1", "tcp:[::1]:1", "ssl:fd00::1", "ptcp::", "tcp:]:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseTarget(s)
		if err != nil || a.endpoint() == "" {
			return
		}
		if b, err := parseTarget(a.endpoint()); err != nil || b.address != a.address || b.port != a.port {
			t.Errorf("%q has the endpoint %q, which is %v, %v", s, a.endpoint(), b, err)
		}
	})
}
