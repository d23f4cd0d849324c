package local

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/frame"
)

// A neighbour sees the frames as the RFCs have them, and the kernel at the other
// end learns the new place by one of them.
func TestAnnouncement(t *testing.T) {
	far(t)
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		t.Fatal(err)
	}
	capture := os.NewFile(uintptr(socket), "capture")
	defer release(capture)
	here, err := net.InterfaceByName(testLink)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: here.Index}); err != nil {
		t.Fatal(err)
	}
	four, six := netip.MustParseAddr("198.18.255.2"), netip.MustParseAddr("2001:db8:ff::2")
	const mac = "02:00:00:00:00:42"
	if err := (links{}).Set(t.Context(), testSpace, testPeer, host.LinkChange{MAC: mac, Announce: []netip.Addr{four, six}}); err != nil {
		t.Fatal(err)
	}
	hw, _ := net.ParseMAC(mac)
	missing := map[string][]byte{
		"ARP": append(append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, hw...), append([]byte{
			0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x42, 198, 18, 255, 2, 0, 0, 0, 0, 0, 0, 198, 18, 255, 2}, make([]byte, 18)...)...),
		"ICMPv6": announcement(hw, six),
	}
	if err := capture.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 2048)
	for len(missing) > 0 {
		n, err := capture.Read(heard)
		if err != nil {
			t.Fatalf("not seen by the neighbour: %v (%v)", missing, err)
		}
		for name, want := range missing {
			if bytes.Equal(heard[:n], want) {
				delete(missing, name)
			}
		}
	}
	for _, a := range []netip.Addr{four, six} {
		r, err := packets{}.Ping(t.Context(), host.Ping{Target: a, Count: 1, Wait: 2 * time.Second})
		if err != nil || r.Received != 1 {
			t.Errorf("ping of %s under the new MAC: %+v %v", a, r, err)
		}
	}
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// The checksum of an advertisement, taken over the pseudo header, is right where
// summing it up with the message gives nothing.
func TestAdvertisement(t *testing.T) {
	hw := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	f := announcement(hw, netip.MustParseAddr("2001:db8::5"))
	icmp := f[14+40:]
	pseudo := append(append([]byte{}, f[14+8:14+40]...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	if sum := frame.Checksum(append(pseudo, icmp...)); sum != 0 {
		t.Errorf("the checksum leaves %#x", sum)
	}
	if f[14+7] != 255 || icmp[0] != 136 || icmp[4]&0x20 == 0 {
		t.Errorf("hop limit, type or flags: % x", f)
	}
}
