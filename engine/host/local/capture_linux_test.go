package local

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/frame"
)

// sendFrame puts a frame onto a link as it is.
func sendFrame(t *testing.T, namespace, link string, b []byte) {
	t.Helper()
	err := within(namespace, func() error {
		l, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: l.Index}), unix.Close(fd))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testFrame is a frame of nobody's protocol, with tags, to somebody else.
func testFrame(tags ...uint16) []byte {
	b := []byte{2, 0, 0, 0, 0, 0x77, 2, 0, 0, 0, 0, 0x66}
	for i, tag := range tags {
		protocol := uint16(unix.ETH_P_8021Q)
		if i+1 < len(tags) {
			protocol = unix.ETH_P_8021AD
		}
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, protocol), tag)
	}
	return append(binary.BigEndian.AppendUint16(b, 0x88b5), make([]byte, 60)...)
}

func testCapture(t *testing.T) {
	vlan := func(id int) *int { return &id }
	ours := frame.Match{Source: "02:00:00:00:00:66", EtherType: 0x88b5}
	inVLAN := func(id int) frame.Match { m := ours; m.VLAN = vlan(id); return m }
	for name, test := range map[string]struct {
		match frame.Match
		tap   host.Tap
		want  int
	}{
		"all":             {ours, host.Tap{Namespace: testSpace, Link: testPeer}, 6},
		"tagged":          {inVLAN(300), host.Tap{Namespace: testSpace, Link: testPeer}, 3},
		"untagged":        {inVLAN(0), host.Tap{Namespace: testSpace, Link: testPeer}, 1},
		"outer of two":    {inVLAN(7), host.Tap{Namespace: testSpace, Link: testPeer}, 2},
		"where they go":   {inVLAN(300), host.Tap{Link: testLink, Direction: host.Out}, 3},
		"other way":       {ours, host.Tap{Link: testLink, Direction: host.In}, 0},
		"way in":          {ours, host.Tap{Namespace: testSpace, Link: testPeer, Direction: host.In}, 6},
		"somebody else's": {frame.Match{Source: "02:00:00:00:00:99"}, host.Tap{Link: testLink}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			test.tap.Match = test.match
			seen, err := packets{}.Capture(t.Context(), []host.Tap{test.tap}, func(context.Context) error {
				for _, tags := range [][]uint16{nil, {300}, {300}, {300}, {7, 300}, {7, 300}} {
					sendFrame(t, "", testLink, testFrame(tags...))
				}
				return nil
			})
			if err != nil || seen[0].Matched != test.want || seen[0].Lost != 0 {
				t.Errorf("got %+v, %v", seen, err)
			}
		})
	}
	t.Run("EndsWithEnough", testCaptureEnds)
	t.Run("Fails", testCaptureFails)
	t.Run("MTU", testMTU)
}

func testCaptureEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	taps := []host.Tap{{Link: testLink, Enough: 2, Match: frame.Match{EtherType: 0x88b5}}, {Namespace: testSpace, Link: testPeer, Match: frame.Match{EtherType: 0x88b5}}}
	seen, err := packets{}.Capture(ctx, taps, func(ctx context.Context) error {
		sendFrame(t, "", testLink, testFrame())
		sendFrame(t, "", testLink, testFrame(1))
		<-ctx.Done()
		return nil
	})
	if err != nil || ctx.Err() != nil || seen[0].Matched != 2 || seen[1].Matched != 2 || seen[1].Kinds["vlan 1 ethertype 0x88b5"] != 1 {
		t.Errorf("got %+v, %v", seen, err)
	}
}

func testCaptureFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := (packets{}).Capture(t.Context(), []host.Tap{{Link: testLink}}, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	before := descriptors(t)
	for range 5 {
		_, err := packets{}.Capture(t.Context(), []host.Tap{{Link: testLink}, {Link: "weft-test-none"}}, func(context.Context) error { return nil })
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	}
	waitFor(t, "descriptors to be closed", func() bool { return descriptors(t) <= before })
}

// testMTU: who refuses a packet that is too long names the MTU, and a router
// itself.
func testMTU(t *testing.T) {
	a := netip.MustParseAddr
	up, space := true, testSpace
	l := links{}
	for _, err := range []error{
		l.AddVeth(t.Context(), "weft-test-r0", "weft-test-r1"),
		l.Set(t.Context(), "", "weft-test-r0", host.LinkChange{Namespace: &space, Up: &up, MTU: 1300, AddAddresses: prefixes("198.18.254.1/24", "2001:db8:fe::1/64")}),
		l.Set(t.Context(), "", "weft-test-r1", host.LinkChange{Up: &up}),
		within(testSpace, func() error {
			return errors.Join(kernel{}.Set(t.Context(), "/proc/sys/net/ipv4/ip_forward", "1"), kernel{}.Set(t.Context(), "/proc/sys/net/ipv6/conf/all/forwarding", "1"))
		}),
		l.Set(t.Context(), "", testLink, host.LinkChange{AddRoutes: []host.Route{
			{Destination: netip.MustParsePrefix("198.18.254.0/24"), Via: a("198.18.255.2"), Link: testLink},
			{Destination: netip.MustParsePrefix("2001:db8:fe::/64"), Via: a("2001:db8:ff::2"), Link: testLink},
		}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	silent, err := packets{}.Ping(t.Context(), host.Ping{Target: a("198.18.255.77"), Count: 1, Wait: 5 * time.Second})
	if err != nil || silent.Refused != "no route to host" || silent.By.IsValid() {
		t.Errorf("a neighbour that is silent: %+v, %v", silent, err)
	}
	for name, test := range map[string]struct {
		target, by string
		size, mtu  int
	}{
		"own link":      {"198.18.255.2", "", 1373, 1400},
		"own link, v6":  {"2001:db8:ff::2", "", 1353, 1400},
		"a router":      {"198.18.254.77", "198.18.255.2", 1350, 1300},
		"a router of 6": {"2001:db8:fe::77", "2001:db8:ff::2", 1340, 1300},
	} {
		r, err := packets{}.Ping(t.Context(), host.Ping{Target: a(test.target), Count: 1, Size: test.size, DontFragment: true, Wait: 5 * time.Second})
		by := ""
		if r.By.IsValid() {
			by = r.By.String()
		}
		if err != nil || r.MTU != test.mtu || by != test.by || !strings.Contains(r.Refused, "too long") {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
}

// testBroadcast: a request to a whole subnet leaves.
func testBroadcast(t *testing.T) {
	tap := host.Tap{Namespace: testSpace, Link: testPeer, Match: frame.Match{Destination: "ff:ff:ff:ff:ff:ff", Protocol: frame.ICMP}}
	seen, err := packets{}.Capture(t.Context(), []host.Tap{tap}, func(ctx context.Context) error {
		r, err := packets{}.Ping(ctx, host.Ping{Target: netip.MustParseAddr("198.18.255.255"), Count: 2})
		if r.Refused != "" {
			t.Errorf("refused: %s", r.Refused)
		}
		return err
	})
	if err != nil || seen[0].Matched != 2 {
		t.Errorf("got %+v, %v", seen, err)
	}
}

func FuzzRefusal(f *testing.F) {
	four := make([]byte, 16, 24)
	binary.NativeEndian.PutUint32(four, uint32(unix.EMSGSIZE))
	binary.NativeEndian.PutUint32(four[8:], 1300)
	four[4] = unix.SO_EE_ORIGIN_ICMP
	four = binary.NativeEndian.AppendUint16(four, unix.AF_INET)
	f.Add(controlMessage(unix.IPPROTO_IP, unix.IP_RECVERR, append(four, 0, 0, 192, 0, 2, 1)), []byte{8, 0, 0, 0, 0, 1, 0, 2})
	f.Add(controlMessage(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, make([]byte, 44)), []byte{128})
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, control, quote []byte) {
		if by, mtu := refusal(control); len(control) < 16 && (by.IsValid() || mtu != 0) {
			t.Errorf("%x says %s, %d", control, by, mtu)
		}
		if _, _, ok := quoted(quote); ok && len(quote) < echoHeader {
			t.Errorf("%x is no request", quote)
		}
	})
}

func FuzzTagged(f *testing.F) {
	f.Add(testFrame(), controlMessage(unix.SOL_PACKET, unix.PACKET_AUXDATA, make([]byte, auxdataBytes)))
	f.Add(testFrame(3), []byte{})
	f.Fuzz(func(t *testing.T, b, control []byte) {
		if got := tagged(b, control); len(got) != len(b) && len(got) != len(b)+4 {
			t.Errorf("%d bytes became %d", len(b), len(got))
		}
	})
}

// controlMessage is a cmsg(3) of one part.
func controlMessage(level, kind int, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	copy(b[unix.CmsgLen(0):], data)
	return b
}
