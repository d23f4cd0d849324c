package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/step"
	"weft/modules"
)

// Both ends of the test's own link, each in a namespace.
const (
	dhcpGuest, dhcpGuestLink   = "weft-test-dhcp-g", "weft-dhcp-g"
	dhcpServer, dhcpServerLink = "weft-test-dhcp-s", "weft-dhcp-s"
)

// dnsmasq is a real server of DHCP and DHCPv6 that advertises a router too, at the
// far end of a link. It returns the files of its log and its leases.
func dnsmasq(t *testing.T) (log, leases string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces and raw sockets")
	}
	for _, program := range []string{"dnsmasq", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (packages dnsmasq-base, iproute2)", program)
		}
	}
	links, ctx := local.New().Links, t.Context()
	remove := func() {
		for _, name := range []string{dhcpGuest, dhcpServer} {
			_ = exec.Command("ip", "netns", "delete", name).Run() // may be gone; the links go with it
		}
	}
	remove()
	t.Cleanup(remove)
	up, guest, server := true, dhcpGuest, dhcpServer
	for _, err := range []error{
		links.AddNamespace(ctx, guest), links.AddNamespace(ctx, server),
		links.AddVeth(ctx, dhcpGuestLink, dhcpServerLink),
		links.Set(ctx, "", dhcpGuestLink, host.LinkChange{Namespace: &guest}),
		links.Set(ctx, "", dhcpServerLink, host.LinkChange{Namespace: &server}),
		links.Set(ctx, guest, dhcpGuestLink, host.LinkChange{Up: &up, MAC: "02:ac:10:01:00:11"}),
		links.Set(ctx, server, dhcpServerLink, host.LinkChange{Up: &up, MAC: "02:ac:10:01:00:fe", AddAddresses: []netip.Prefix{
			netip.MustParsePrefix("198.18.253.254/24"), netip.MustParsePrefix("2001:db8:fd::fe/64"),
		}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	log, leases = filepath.Join(dir, "log"), filepath.Join(dir, "leases")
	daemon := exec.Command("ip", "netns", "exec", dhcpServer, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
		"--port=0", "--interface="+dhcpServerLink, "--bind-interfaces", "--no-ping", "--log-dhcp", "--log-facility="+log, "--dhcp-leasefile="+leases,
		"--dhcp-range=198.18.253.10,198.18.253.10,1h", "--dhcp-option=option:dns-server,198.18.253.53,198.18.253.54", "--dhcp-option=option:mtu,1442",
		"--dhcp-range=2001:db8:fd::10,2001:db8:fd::10,64,2h", "--enable-ra", "--ra-param="+dhcpServerLink+",mtu:1442,60", "--dhcp-option=option6:dns-server,[2001:db8:fd::53]")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	eventually(t, func() bool { // it says so once its sockets are open
		said, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(said), "router advertisement on")
	})
	return log, leases
}

// TestDHCP asks a real server for leases, in both families.
func TestDHCP(t *testing.T) {
	log, leases := dnsmasq(t)
	const four = `"address": "198.18.253.0/24", "router": "198.18.253.254", "dns": ["198.18.253.54", "198.18.253.53"], "mtu": 1442, "lease_time": 3600000000000, "server": "198.18.253.254"`
	const six = `"address": "2001:db8:fd::10", "router": "fe80::ac:10ff:fe01:fe", "dns": ["2001:db8:fd::53"], "mtu": 1442, "lease_time": 7200000000000, "server": "fe80::ac:10ff:fe01:fe", "prefix": "2001:db8:fd::/64", "managed": true`
	for _, c := range []struct {
		name, more, expect string
		heard, not         []string // in the log
		seen               string   // in the error, or, after "ok:", in the report
	}{
		{"IPv4", `"family": "ipv4"`, four, []string{"DHCPDISCOVER", "DHCPOFFER"}, []string{"DHCPREQUEST"}, "ok:198.18.253.10/24 from 198.18.253.254 (02:ac:10:01:00:fe)"},
		{"another guest", `"family": "ipv4", "mac": "02:ac:10:01:00:22"`, four, []string{"02:ac:10:01:00:22"}, []string{"DHCPREQUEST"}, "ok:198.18.253.10/24"},
		{"IPv4, taken", `"family": "ipv4", "request": true`, four, []string{"DHCPACK", "DHCPRELEASE"}, []string{"DHCPNAK"}, "ok:taken and released"},
		{"IPv4, wrong", `"family": "ipv4", "timeout": 1000000000`, `"mtu": 1500`, []string{"DHCPOFFER"}, []string{"DHCPREQUEST"}, "saw mtu 1442"},
		{"IPv6", `"family": "ipv6"`, six, []string{"DHCPSOLICIT", "DHCPADVERTISE"}, []string{"DHCPREQUEST"}, "ok:2001:db8:fd::10/64 from fe80::ac:10ff:fe01:fe"},
		{"IPv6, another", `"family": "ipv6", "mac": "02:ac:10:01:00:22"`, six, []string{"DHCPADVERTISE"}, []string{"DHCPREQUEST"}, "ok:2001:db8:fd::10/64"},
		{"IPv6, taken", `"family": "ipv6", "request": true`, six, []string{"DHCPREPLY", "DHCPRELEASE"}, nil, "ok:taken and released"},
	} {
		if err := os.Truncate(log, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		spec := `{"namespace": "` + dhcpGuest + `", "link": "` + dhcpGuestLink + `", "timeout": 20000000000, "listen": 200000000, "expect": {` + c.expect + `}, ` + c.more + `}`
		report, err := probed(t, "probe_dhcp", spec)
		if want, ok := strings.CutPrefix(c.seen, "ok:"); ok && (err != nil || !strings.Contains(report.Summary, want)) {
			t.Errorf("%s: %q, %v", c.name, report.Summary, err)
		} else if !ok && (err == nil || !strings.Contains(err.Error(), c.seen)) {
			t.Errorf("%s: %q, %v", c.name, report.Summary, err)
		}
		said, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range c.heard {
			if !strings.Contains(string(said), word) {
				t.Errorf("%s: the server heard and said no %s:\n%s", c.name, word, said)
			}
		}
		for _, word := range c.not {
			if strings.Contains(string(said), word) {
				t.Errorf("%s: the server heard or said %s:\n%s", c.name, word, said)
			}
		}
		eventually(t, func() bool { // a release is not answered
			left, err := os.ReadFile(leases)
			return err == nil && !strings.Contains(string(left), "198.18.253.10") && !strings.Contains(string(left), "2001:db8:fd::10")
		})
	}
}

// probed runs a probe of a kind on this machine.
func probed(t *testing.T, kind, spec string) (step.Report, error) {
	t.Helper()
	for _, k := range modules.Kinds() {
		if k.Name != kind {
			continue
		}
		p, err := k.Probe(step.Unit{Address: kind + ".here", Kind: kind, Name: "here", Spec: json.RawMessage(spec)})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		r, err := p.Probe(t.Context(), local.New().View())
		t.Logf("%s after %s: %s %v", kind, time.Since(before).Round(time.Millisecond), r.Summary, err)
		return r, err
	}
	t.Fatalf("there is no kind %s", kind)
	return step.Report{}, nil
}
