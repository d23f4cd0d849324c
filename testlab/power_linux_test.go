package testlab

import (
	"testing"
)

// remember puts what a boot must keep, and what it must forget, on a host.
func (l *Lab) remember(t *testing.T, host string) (bootID string) {
	t.Helper()
	l.ssh(t, host, "", "echo kept >/root/kept; ip link add left type bridge; sysctl -q -w net.ipv4.ip_forward=1; ip link set eth1 up")
	return l.ssh(t, host, "", "cat /proc/sys/kernel/random/boot_id")
}

// recalls fails unless the host has booted since, with its disk and without anything that lay in the kernel alone.
func (l *Lab) recalls(t *testing.T, host, bootID string) {
	t.Helper()
	if l.ssh(t, host, "", "cat /proc/sys/kernel/random/boot_id") == bootID {
		t.Errorf("%s: the boot_id is still the same", host)
	}
	if got := l.ssh(t, host, "", "cat /root/kept"); got != "kept" {
		t.Errorf("%s: its disk holds %q", host, got)
	}
	if got := l.ssh(t, host, "", "cat /proc/sys/net/ipv4/ip_forward /sys/class/net/eth1/operstate; ls -d /sys/class/net/left 2>/dev/null || true"); got != "0\ndown" {
		t.Errorf("%s: ip_forward, eth1, and a bridge that nobody made permanent: %q, want 0, down and none", host, got)
	}
}

func TestLabPower(t *testing.T) {
	l := upLab(t, 2)
	boots := []int{1, 1}
	tests := []struct {
		name string
		act  func() error
		both bool
	}{
		{"reboot", func() error { return l.Reboot(t.Context(), "host1") }, false},
		{"power cycle", func() error { return l.PowerCycle(t.Context(), "host1") }, false},
		{"cold boot", func() error { return l.ColdBoot(t.Context()) }, true},
		{"reboot from within", func() error {
			l.ssh(t, "host1", "", "systemctl reboot --no-block")
			eventually(t, "host1 is up again", func() bool { h := l.mustStatus(t)[0]; return h.Boots > boots[0] && h.State == HostUp })
			return nil
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ids := []string{l.remember(t, "host1"), l.remember(t, "host2")}
			if err := tt.act(); err != nil {
				t.Fatal(err)
			}
			boots[0]++
			l.recalls(t, "host1", ids[0])
			if tt.both {
				boots[1]++
				l.recalls(t, "host2", ids[1])
			}
			for i, h := range l.mustStatus(t) {
				if h.State != HostUp || h.Boots != boots[i] {
					t.Errorf("%s is %s after %d boots, want up after %d", h.Name, h.State, h.Boots, boots[i])
				}
			}
		})
	}
	if err := l.Reboot(t.Context(), "nobody"); err == nil {
		t.Error("a host that does not exist was rebooted")
	}
}
