package testlab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

func TestLabIsReachedByOpenSSH(t *testing.T) {
	l := upLab(t, 3)
	seen := map[string]bool{}
	for _, h := range l.spec.Hosts {
		if got := l.ssh(t, h.Name, "", "hostname"); got != h.Name {
			t.Errorf("%s calls itself %q", h.Name, got)
		}
		if got := l.ssh(t, h.Name+"-ipv6", "", "hostname"); got != h.Name {
			t.Errorf("%s over IPv6 calls itself %q", h.Name, got)
		}
		seen[l.ssh(t, h.Name, "", "cat /etc/machine-id")] = true
	}
	if len(seen) != len(l.spec.Hosts) {
		t.Errorf("%d hosts have %d machine-ids", len(l.spec.Hosts), len(seen))
	}
	if got := l.ssh(t, "host1", "", "systemctl is-system-running --wait"); got != "running" {
		t.Errorf("systemd says %q, want that every unit is well", got)
	}
	if got := l.ssh(t, "operator@host1", "weft\n", "sudo -S -p '' id -u"); got != "0" {
		t.Errorf("sudo with a password gives uid %q", got)
	}
	if _, err := l.trySSH(t.Context(), "operator@host1", "", "sudo -n id -u"); err == nil {
		t.Error("operator needs no password for sudo")
	}
	if got := l.ssh(t, "deploy@host1", "", "sudo -n id -u"); got != "0" {
		t.Errorf("sudo without a password gives uid %q", got)
	}
}

func TestLabIsReachedByAnsible(t *testing.T) {
	if _, err := exec.LookPath("ansible"); err != nil {
		t.Skip("no program ansible: apt-get install ansible-core")
	}
	l := upLab(t, 1)
	cmd := exec.CommandContext(t.Context(), "ansible", "-i", "host1,", "all", "-m", "ping")
	cmd.Env = append(cmd.Environ(), "ANSIBLE_SSH_ARGS=-F "+l.SSHConfigPath(), "ANSIBLE_LOCAL_TEMP="+t.TempDir(), "ANSIBLE_NOCOLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"ping": "pong"`) {
		t.Errorf("ansible: %v\n%s", err, out)
	}
}

func TestLabInstallsPackagesFromItsOwnRepository(t *testing.T) {
	l := upLab(t, 1)
	if _, err := l.trySSH(t.Context(), "host1", "", "dpkg -s ethtool"); err == nil {
		t.Fatal("ethtool is in the image: the test shows nothing")
	}
	l.ssh(t, "host1", "", "apt-get update && apt-get install --yes ethtool")
	if got := l.ssh(t, "host1", "", "ethtool --show-features eth0 | grep ^tx-checksumming"); got != "tx-checksumming: off" {
		t.Errorf("eth0 has %q: a userspace switch would drop its TCP segments", got)
	}
}

func TestLabNetworks(t *testing.T) {
	l := upLab(t, 2)
	for i, h := range l.spec.Hosts {
		if got := l.ssh(t, h.Name, "", "cat /sys/class/net/eth1/operstate /sys/class/net/eth1/mtu /sys/class/net/eth1/address; ip -o addr show eth1"); got != "down\n1600\n"+l.spec.mac(h, h.NICs[1]) {
			t.Errorf("%s: eth1, which is described without an address, is\n%s", h.Name, got)
		}
		l.ssh(t, h.Name, "", fmt.Sprintf("ip addr add 10.0.0.%d/24 dev eth1; ip link set eth1 up", i+1))
	}
	l.ssh(t, "host1", "", "ping -c 1 -w 10 -M do -s 1572 10.0.0.2")
	if got := l.ssh(t, "host1", "", "echo hello | ssh -o BatchMode=yes -o StrictHostKeyChecking=no 10.0.0.2 true 2>&1 | tail -1"); !strings.Contains(got, "Permission denied") {
		t.Errorf("TCP between hosts: %q, want that the other sshd refuses", got)
	}
	if _, err := l.trySSH(t.Context(), "host1", "", "ping -c 1 -W 1 -M do -s 1573 10.0.0.2"); err == nil {
		t.Error("a packet larger than the MTU passes")
	}
}

func TestLabUpAgainDoesOnlyWhatIsMissing(t *testing.T) {
	l := upLab(t, 2)
	l.ssh(t, "host2", "", "systemctl poweroff --no-block")
	eventually(t, "host2 is down", func() bool { return l.mustStatus(t)[1].State == HostDown })
	if got := l.mustStatus(t)[1].Reason; got != "it powered itself off" {
		t.Errorf("host2 is down because: %q", got)
	}
	nics := []NIC{{Name: "eth0", Network: "management", Address: netip.PrefixFrom(l.spec.access4(t, 9), 24)}}
	l.spec.Hosts = append(l.spec.Hosts, Host{Name: "host3", NICs: nics})
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, boots := range []int{1, 2, 1} {
		if h := l.mustStatus(t)[i]; h.State != HostUp || h.Boots != boots {
			t.Errorf("%s is %s after %d boots, want up after %d", h.Name, h.State, h.Boots, boots)
		}
	}
	l.ssh(t, "host3", "", "ping -c 1 -w 10 "+l.spec.Hosts[0].NICs[0].Address.Addr().String())

	changed, err := Open(l.spec, l.options)
	if err != nil {
		t.Fatal(err)
	}
	changed.spec.Hosts = changed.spec.Hosts[1:]
	if err := changed.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "host host1 differs") {
		t.Errorf("up of a changed description: %v, want a refusal", err)
	}
}

// access4 is an address of the first network.
func (s Spec) access4(t *testing.T, last byte) netip.Addr {
	t.Helper()
	a := s.Networks[0].CIDR.Addr().As4()
	a[3] = last
	return netip.AddrFrom4(a)
}

func TestLabUpTwiceAtOnce(t *testing.T) {
	l := openLab(t, 2)
	var both sync.WaitGroup
	mistakes := make([]error, 2)
	for i := range mistakes {
		both.Go(func() { mistakes[i] = l.Up(t.Context()) })
	}
	both.Wait()
	if err := errors.Join(mistakes...); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.mustStatus(t) {
		if h.State != HostUp || h.Boots != 1 {
			t.Errorf("%s is %s after %d boots, want up after one", h.Name, h.State, h.Boots)
		}
	}
}

func TestLabRefusesAddressesThatLeadElsewhere(t *testing.T) {
	first := upLab(t, 1)
	s := first.spec
	s.Name += "-b"
	second, err := Open(s, first.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	err = second.Up(t.Context())
	for _, want := range []string{"network management", s.Networks[0].CIDR.String(), "weft lab " + first.spec.Name} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("up = %v, want a refusal that names %q", err, want)
		}
	}
	if left := second.traces(t); len(left) > 0 {
		t.Errorf("the refused lab left %v", left)
	}
}
