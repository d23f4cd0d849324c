package local

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/frame"
)

const (
	testSpace = "weft-test-pkt"
	testLink  = "weft-test-p0"
	testPeer  = "weft-test-p1"
)

// far is a veth from the host's own namespace to one of its own: 198.18.255.1 and
// 2001:db8:ff::1 here, .2 and ::2 there, with an MTU of 1400 bytes.
func far(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces and raw sockets")
	}
	alone(t)
	l, ctx := links{}, context.WithoutCancel(t.Context())
	remove := func() {
		_ = l.RemoveNamespace(ctx, testSpace) // may be gone
		_ = l.RemoveLink(ctx, "", testLink)   // may be gone
	}
	remove()
	t.Cleanup(remove)
	up, space := true, testSpace
	for _, err := range []error{
		l.AddNamespace(ctx, testSpace),
		l.AddVeth(ctx, testLink, testPeer),
		l.Set(ctx, testSpace, "lo", host.LinkChange{Up: &up}),
		l.Set(ctx, "", testPeer, host.LinkChange{Namespace: &space}),
		noDuplicateSearch("", testLink),
		noDuplicateSearch(testSpace, testPeer),
		l.Set(ctx, "", testLink, host.LinkChange{Up: &up, MTU: 1400, AddAddresses: prefixes("198.18.255.1/24", "2001:db8:ff::1/64")}),
		l.Set(ctx, testSpace, testPeer, host.LinkChange{Up: &up, MTU: 1400, AddAddresses: prefixes("198.18.255.2/24", "2001:db8:ff::2/64")}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "IPv6 addresses to be usable", func() bool {
		r, err := packets{}.Ping(ctx, host.Ping{Target: netip.MustParseAddr("2001:db8:ff::2"), Count: 1, Wait: 50 * time.Millisecond})
		return err == nil && r.Received == 1
	})
}

// noDuplicateSearch makes new IPv6 addresses of a link usable at once. A thread
// sees /proc/sys/net of the namespace it is in.
func noDuplicateSearch(namespace, link string) error {
	return within(namespace, func() error {
		return kernel{}.Set(context.Background(), "/proc/sys/net/ipv6/conf/"+link+"/accept_dad", "0")
	})
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// The far end is made once for all that need it.
func TestFarEnd(t *testing.T) {
	far(t)
	t.Run("LinkLocal", testLinkLocal)
	t.Run("Ping", testPing)
	t.Run("PingEndsWithItsContext", testPingEndsWithItsContext)
	t.Run("Exchange", testExchange)
	t.Run("Capture", testCapture)
	t.Run("Frames", testFrames)
	t.Run("FramesFail", testFramesFail)
	t.Run("Broadcast", testBroadcast)
	t.Run("NothingLeaksOutOfANamespace", testNothingLeaksOutOfANamespace)
}

// What the kernel gives every link by itself is neither an address nor a route
// of ours.
func testLinkLocal(t *testing.T) {
	all, err := links{}.List(t.Context(), testSpace)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Name == testPeer && len(l.Addresses) != 2 {
			t.Errorf("addresses %v", l.Addresses)
		}
	}
	routes, err := links{}.Routes(t.Context(), testSpace)
	if err != nil || len(routes) != 2 {
		t.Errorf("routes %v, %v", routes, err)
	}
}

func testPing(t *testing.T) {
	const short = 200 * time.Millisecond
	a := netip.MustParseAddr
	for name, test := range map[string]struct {
		ping     host.Ping
		received int
		refused  string
	}{
		"IPv4":                 {host.Ping{Target: a("198.18.255.2"), Count: 3, Interval: time.Millisecond, Wait: 5 * time.Second}, 3, ""},
		"IPv6":                 {host.Ping{Target: a("2001:db8:ff::2"), Count: 3, Wait: 5 * time.Second, Size: 56}, 3, ""},
		"IPv4 in IPv6":         {host.Ping{Target: a("::ffff:198.18.255.2"), Count: 1, Wait: 5 * time.Second}, 1, ""},
		"from there":           {host.Ping{Namespace: testSpace, Target: a("198.18.255.1"), Count: 1, Wait: 5 * time.Second}, 1, ""},
		"with a source":        {host.Ping{Target: a("198.18.255.2"), Source: a("198.18.255.1"), Count: 1, Wait: 5 * time.Second}, 1, ""},
		"itself":               {host.Ping{Namespace: testSpace, Target: a("127.0.0.1"), Count: 2, Wait: 5 * time.Second}, 2, ""},
		"in pieces":            {host.Ping{Target: a("198.18.255.2"), Count: 1, Size: 5000, Wait: 5 * time.Second}, 1, ""},
		"a whole MTU":          {host.Ping{Target: a("198.18.255.2"), Count: 1, Size: 1372, DontFragment: true, Wait: 5 * time.Second}, 1, ""},
		"more than an MTU":     {host.Ping{Target: a("198.18.255.2"), Count: 1, Size: 1373, DontFragment: true, Wait: short}, 0, "message too long"},
		"a whole MTU of v6":    {host.Ping{Target: a("2001:db8:ff::2"), Count: 1, Size: 1352, DontFragment: true, Wait: 5 * time.Second}, 1, ""},
		"more than one of v6":  {host.Ping{Target: a("2001:db8:ff::2"), Count: 1, Size: 1353, DontFragment: true, Wait: short}, 0, "message too long"},
		"nobody there":         {host.Ping{Target: a("198.18.255.77"), Count: 1, Wait: short}, 0, ""},
		"no route":             {host.Ping{Namespace: testSpace, Target: a("203.0.113.1"), Count: 1, Wait: short}, 0, "network is unreachable"},
		"a link-local address": {host.Ping{Target: a("fe80::1%" + testLink), Count: 1, Wait: short}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := packets{}.Ping(t.Context(), test.ping)
			if err != nil {
				t.Fatal(err)
			}
			if r.Received != test.received || r.Refused != test.refused || r.Received > 0 && (r.Average <= 0 || r.Sent != test.ping.Count) {
				t.Errorf("got %+v", r)
			}
		})
	}
	if _, err := (packets{}).Ping(t.Context(), host.Ping{Target: a("198.18.255.2"), Source: a("198.18.255.99"), Count: 1}); err == nil {
		t.Error("a source that is not ours is no error")
	}
}

func testPingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := packets{}.Ping(ctx, host.Ping{Target: netip.MustParseAddr("198.18.255.77"), Count: 5, Interval: time.Second, Wait: time.Minute})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func testExchange(t *testing.T) {
	const size = 3 << 20
	keep := func(_ int, b []byte) []byte { return b }
	for name, test := range map[string]struct {
		echo func(offset int, b []byte) []byte
		want int
	}{
		"all": {keep, size},
		"one byte changed": {func(offset int, b []byte) []byte {
			if i := 1_000_000 - offset; i >= 0 && i < len(b) {
				b[i] ^= 1
			}
			return b
		}, 1_000_000},
		"nothing": {func(int, []byte) []byte { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			port := echoService(t, test.echo)
			r, err := packets{}.Exchange(t.Context(), host.Exchange{
				Target: netip.AddrPortFrom(netip.MustParseAddr("198.18.255.2"), port), Bytes: size, Timeout: 20 * time.Second,
			})
			if err != nil || r.Bytes != test.want || r.Elapsed <= 0 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
	_, err := packets{}.Exchange(t.Context(), host.Exchange{Namespace: testSpace, Target: netip.MustParseAddrPort("127.0.0.1:9"), Bytes: 1})
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

// echoService listens in the far namespace and gives back what echo makes of
// what it is sent.
func echoService(t *testing.T, echo func(offset int, b []byte) []byte) uint16 {
	t.Helper()
	var l net.Listener
	err := within(testSpace, func() (err error) {
		l, err = net.Listen("tcp", "198.18.255.2:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 16<<10)
		for offset := 0; ; {
			n, err := conn.Read(buffer)
			if _, writeErr := conn.Write(echo(offset, buffer[:n])); err != nil || writeErr != nil {
				_, _ = io.Copy(io.Discard, conn)
				return
			}
			offset += n
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// Commands, sockets and handles leave the process where it was, with no
// descriptor more.
func testNothingLeaksOutOfANamespace(t *testing.T) {
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		for _, err := range []error{
			second(links{}.List(t.Context(), testSpace)),
			second(links{}.Routes(t.Context(), testSpace)),
			second(packets{}.Ping(t.Context(), host.Ping{Namespace: testSpace, Target: netip.MustParseAddr("127.0.0.1"), Count: 1, Wait: time.Second})),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		there, err := commands{}.Query(t.Context(), host.Command{Argv: []string{"readlink", "/proc/self/ns/net"}, Namespace: testSpace})
		if err != nil || strings.TrimSpace(string(there.Stdout)) == home {
			t.Fatalf("a command ran in %s, %v", there.Stdout, err)
		}
	}
	round()
	before := descriptors(t)
	for range 20 {
		round()
	}
	waitFor(t, "descriptors to be closed", func() bool { return descriptors(t) <= before })
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && ns != home {
			t.Errorf("thread %s stayed in %s", task.Name(), ns)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func FuzzEchoReply(f *testing.F) {
	four, six := netip.MustParseAddr("198.18.255.1"), netip.MustParseAddr("2001:db8:ff::1")
	reply := func(m []byte, kind byte) []byte { m[0] = kind; return m }
	f.Add(append(append([]byte{0x45}, make([]byte, 19)...), reply(echoRequest(four, 7, 3, 4), echoReply4)...))
	f.Add(reply(echoRequest(six, 7, 3, 0), echoReply6))
	f.Add([]byte{0x4f})
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, target := range []netip.Addr{four, six} {
			if _, _, ok := echoReply(target, packet); ok && len(packet) < echoHeader {
				t.Errorf("%x is no reply", packet)
			}
		}
	})
}

func TestEchoReplyReadsWhatWasSent(t *testing.T) {
	for _, target := range []netip.Addr{netip.MustParseAddr("198.18.255.1"), netip.MustParseAddr("2001:db8:ff::1")} {
		m := echoRequest(target, 0x1234, 0x5678, 33)
		if target.Is4() {
			if frame.Checksum(m) != 0 {
				t.Errorf("checksum of %x", m)
			}
			m[0] = echoReply4
			m = append(append([]byte{0x46}, make([]byte, 23)...), m...)
		} else {
			m[0] = echoReply6
		}
		id, seq, ok := echoReply(target, m)
		if !ok || id != 0x1234 || seq != 0x5678 {
			t.Errorf("%s: got %x, %x, %t", target, id, seq, ok)
		}
	}
}
