package netconf_test

import (
	"testing"

	"weft/engine/host/netconf"
)

// A plan shows what weft sets, and of another's lines the key alone.
func TestShown(t *testing.T) {
	nm, ifcfg, yaml, main := keyfiles+"eth0", ifcfgs+"ifcfg-eth0", plan, "/etc/network/interfaces"
	for _, c := range []struct{ file, line, want string }{
		{nm, "preshared-key=abc", "preshared-key=…"}, {nm, "pin=1234", "pin=…"}, {nm, "cookie = abc", "cookie =…"}, {nm, "wep-key0=1", "wep-key0=…"},
		{ifcfg, "KEY1=s:abcde", "KEY1=…"}, {ifcfg, "KEY_PASSPHRASE1=x", "KEY_PASSPHRASE1=…"}, {ifcfg, "of a quoted secret'", "…"},
		{yaml, "      password: hunter2", "      password:…"}, {yaml, "#weft         password: hunter2", "#weft         password:…"}, {yaml, "      - hunter2", "      - …"},
		{yaml, "  wlan0: {password: hunter2}", "  wlan0:…"}, {yaml, "- password: x", "- password:…"},
		{main, "\twpa-psk hunter2", "wpa-psk …"}, {main, "#weft 1 wlan0: \twpa-psk hunter2", "#weft 1 wlan0: wpa-psk …"}, {main, "\tup login hunter2", "up …"},
		{nm, "# hunter2", "#…"}, {ifcfg, "", ""},
		{nm, "address1=192.0.2.5/24,192.0.2.1", "address1=192.0.2.5/24,192.0.2.1"}, {nm, "[ipv4]", "[ipv4]"}, {ifcfg, "MTU=9000", "MTU=9000"},
		{yaml, "      - \"192.0.2.5/24\"", "      - \"192.0.2.5/24\""}, {yaml, "#weft       mtu: 1500", "#weft       mtu: 1500"}, {yaml, "      - to: default", "      - to: default"},
		{main, "\taddress 192.0.2.5/24", "\taddress 192.0.2.5/24"}, {main, "#weft 1 eth0= iface eth0 inet static", "#weft 1 eth0= iface eth0 inet static"},
		{main, "\tup ip route add default via 192.0.2.1", "\tup ip route add default via 192.0.2.1"},
		{main + ".d/weft-make-1-bond-b", "    pre-up ip link add dev $IFACE type bond || true", "    pre-up ip link add dev $IFACE type bond || true"},
		{ifcfgs + "route-eth0", "10.0.0.0/8 via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1"},
	} {
		if got := netconf.Shown(c.file, c.line); got != c.want {
			t.Errorf("%s of %s is %q, not %q", c.line, c.file, got, c.want)
		}
	}
}
