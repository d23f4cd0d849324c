package testlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// openVMs describes a lab of two virtual machines of one shape, vm1 and vm2, and a host in namespaces, host1.
func openVMs(t *testing.T) *Lab {
	t.Helper()
	l := openLab(t, 1)
	for i, name := range []string{"vm1", "vm2"} {
		l.spec.Hosts = append(l.spec.Hosts, Host{Name: name, VM: &VM{NUMANodes: 2, IOMMU: true}, NICs: []NIC{
			{Name: "eth1", Network: "underlay", MTU: 1600, Model: nicModels()[1-i]}, // before eth0: the kernel would name them otherwise
			{Name: "eth0", Network: "management", Address: l.spec.Hosts[0].NICs[0].Address}}})
		nic := &l.spec.Hosts[1+i].NICs[1]
		for range i + 1 {
			nic.Address = netip.PrefixFrom(nic.Address.Addr().Next(), 24)
		}
	}
	if err := l.spec.Check(); err != nil {
		t.Fatal(err)
	}
	if err := l.spec.checkMachine(); err != nil {
		t.Skipf("this machine cannot run virtual machines:\n%v", err)
	}
	return l
}

func TestVirtualMachines(t *testing.T) {
	l := openVMs(t)
	begin := time.Now()
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %s", time.Since(begin).Round(time.Second))
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Lab)
	}{
		{"a snapshot is nobody", vmsDiffer},
		{"hardware", vmHardware},
		{"network", vmNetwork},
		{"repository", vmRepository},
		{"cable", vmCable},
		{"disk", vmDisk},
		{"power", vmPower},
		{"reinstall", vmReinstall},
		{"down", func(t *testing.T, l *Lab) { l.downLeavesNothing(t) }},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(t, l) }) && test.name == "power" {
			t.FailNow() // whatever is down now has nothing more to say
		}
	}
}

// vmsDiffer: two machines that went on from one snapshot have nothing of their own in common.
func vmsDiffer(t *testing.T, l *Lab) {
	const identity = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid /etc/ssh/ssh_host_ed25519_key.pub; journalctl -q -F _MACHINE_ID"
	first, second := strings.Split(l.ssh(t, "vm1", "", identity), "\n"), strings.Split(l.ssh(t, "vm2", "", identity), "\n")
	for i, line := range first {
		if slices.Contains(second, line) {
			t.Errorf("line %d of what makes a host itself is %q on both", i, line)
		}
	}
	if len(first) != 6 || first[5] != first[1] {
		t.Errorf("the journal is not that of the new machine-id:\n%s", strings.Join(first, "\n"))
	}
	now, err := strconv.ParseInt(l.ssh(t, "vm1", "", "date +%s"), 10, 64)
	if drift := time.Since(time.Unix(now, 0)); err != nil || drift.Abs() > 5*time.Second {
		t.Errorf("its clock is off by %s, %v", drift, err)
	}
	for _, name := range []string{"vm1", "vm2"} {
		if got := l.ssh(t, name, "", "systemctl is-system-running --wait || systemctl --failed --no-legend"); got != "running" {
			t.Errorf("systemd of %s says %q", name, got)
		}
	}
	if got := l.ssh(t, "operator@vm1", "weft\n", "sudo -S -p '' id -u"); got != "0" {
		t.Errorf("sudo with a password gives uid %q", got)
	}
}

// vmHardware: NICs are where the description puts them, each in an IOMMU group of its own, and there are two nodes.
func vmHardware(t *testing.T, l *Lab) {
	h, _ := l.spec.host("vm1")
	for slot, n := range h.NICs {
		address := fmt.Sprintf("0000:%02x:00.0", slot+1)
		path := "/sys/bus/pci/devices/" + address
		got := l.ssh(t, "vm1", "", "cat "+path+"/net/*/address "+path+"/virtio*/net/*/address 2>/dev/null; ls "+path+"/iommu_group/devices; basename $(readlink -f "+path+"/driver)")
		driver := map[string]string{"e1000e": "e1000e", "virtio": "virtio-pci", "": "virtio-pci"}[n.Model]
		if want := l.spec.mac(h, n) + "\n" + address + "\n" + driver; got != want {
			t.Errorf("NIC %s at %s: MAC, IOMMU group and driver are\n%s\nwant\n%s", n.Name, address, got, want)
		}
	}
	if got := l.ssh(t, "vm1", "", "ls -d /sys/devices/system/node/node[0-9]* | wc -l; cat /sys/class/watchdog/watchdog0/identity; ls /sys/class/iommu"); got != "2\ni6300ESB timer\ndmar0" {
		t.Errorf("NUMA nodes, watchdog and IOMMU are %q", got)
	}
}

// vmNetwork: cards have the names and MTUs of the description, and reach a host in namespaces.
func vmNetwork(t *testing.T, l *Lab) {
	h, _ := l.spec.host("vm1")
	for _, n := range h.NICs {
		want := fmt.Sprintf("%s\n%d", l.spec.mac(h, n), n.mtu())
		if got := l.ssh(t, "vm1", "", "cat /sys/class/net/"+n.Name+"/address /sys/class/net/"+n.Name+"/mtu"); got != want {
			t.Errorf("NIC %s has MAC and MTU %q, want %q", n.Name, got, want)
		}
	}
	for i, name := range []string{"vm1", "host1"} {
		l.ssh(t, name, "", fmt.Sprintf("ip addr add 10.0.0.%d/24 dev eth1; ip link set eth1 up", i+1))
	}
	l.ssh(t, "vm1", "", "ping -c 1 -w 20 -M do -s 1572 10.0.0.2")
	if got := l.ssh(t, "vm1", "", "echo | ssh -o BatchMode=yes -o StrictHostKeyChecking=no 10.0.0.2 true 2>&1 | tail -1"); !strings.Contains(got, "Permission denied") {
		t.Errorf("TCP between hosts: %q, want that the other sshd refuses", got)
	}
	if got := l.ssh(t, "vm1-ipv6", "", "hostname"); got != "vm1" {
		t.Errorf("over IPv6 it calls itself %q", got)
	}
}

func vmRepository(t *testing.T, l *Lab) {
	if got := l.ssh(t, "vm1", "", "apt-get -q update >&2 && apt-get install --yes ethtool >&2 && ethtool -i eth1 | head -1"); got != "driver: e1000e" {
		t.Errorf("the ethtool of the lab's repository says %q", got)
	}
}

// vmCable looks at a virtio card: what qemu 7.2 emulates of an e1000e loses its frames, and tells its driver nothing.
func vmCable(t *testing.T, l *Lab) {
	l.ssh(t, "vm2", "", "ip link set eth1 up")
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return l.Cut(t.Context(), "vm2", "underlay") }, "0"},
		{func() error { return l.Mend(t.Context(), "vm2") }, "1"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "eth1 has carrier "+step.want, func() bool { return l.ssh(t, "vm2", "", "cat /sys/class/net/eth1/carrier") == step.want })
	}
}

func vmDisk(t *testing.T, l *Lab) {
	if err := l.Fill(t.Context(), "vm1"); err != nil {
		t.Fatal(err)
	}
	if got := l.ssh(t, "vm1", "", "head -c 100000 /dev/zero >/root/more 2>/dev/null && sync /root/more && echo written; rm -f /root/more"); got != "" {
		t.Error("a disk that is full was written to")
	}
	if err := l.Free(t.Context(), "vm1"); err != nil {
		t.Fatal(err)
	}
	l.ssh(t, "vm1", "", "head -c 100000 /dev/zero >/root/more && rm /root/more")
}

// vmPower boots both machines anew in several ways, side by side.
func vmPower(t *testing.T, l *Lab) {
	ways := map[string][]struct {
		name string
		act  func() error
	}{
		"vm1": {
			{"reboot", func() error { return l.Reboot(t.Context(), "vm1") }},
			{"power cycle", func() error { return l.PowerCycle(t.Context(), "vm1") }},
		},
		"vm2": {
			{"panic", func() error { return l.resets(t, "vm2", "echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger") }},
			{"reboot from within", func() error { return l.resets(t, "vm2", "systemctl reboot") }},
		},
	}
	var both sync.WaitGroup
	for name, acts := range ways {
		both.Go(func() {
			for i, way := range acts {
				if err := l.bootsAnew(t, name, i+1, way.act); err != nil {
					t.Errorf("%s: %s: %v", name, way.name, err)
					return
				}
			}
		})
	}
	both.Wait()
	if console, err := os.ReadFile(l.mustStatus(t)[2].Console); err != nil || !strings.Contains(string(console), "Kernel panic - not syncing: sysrq triggered crash") {
		t.Errorf("the console of vm2 does not hold its panic: %v", err)
	}
}

// resets has a machine do to itself what ends its boot, and waits for the next one.
func (l *Lab) resets(t *testing.T, name, command string) error {
	at := slices.IndexFunc(l.spec.Hosts, func(h Host) bool { return h.Name == name })
	before := l.mustStatus(t)[at].Boots
	_, _ = l.trySSH(t.Context(), name, "", "sh -c '"+command+"' >/dev/null 2>&1 &") // its connection may not survive
	deadline := time.Now().Add(vmBootTime)
	for {
		if h := l.mustStatus(t)[at]; h.Boots > before && h.State == HostUp {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("it is not back")
		}
		<-time.After(100 * time.Millisecond)
	}
}

// bootsAnew checks what another boot keeps, and what it does not.
func (l *Lab) bootsAnew(t *testing.T, name string, boots int, act func() error) error {
	ctx := t.Context()
	before, err := l.trySSH(ctx, name, "", "echo kept >/root/kept; sync /root/kept; ip link add left type bridge; cat /proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	if err := act(); err != nil {
		return err
	}
	after, err := l.trySSH(ctx, name, "", "cat /proc/sys/kernel/random/boot_id /root/kept; ls -d /sys/class/net/left /sys/class/net/eth0 /sys/class/net/eth1 2>/dev/null; true")
	if err != nil {
		return err
	}
	id, rest, _ := strings.Cut(after, "\n")
	if id == before || rest != "kept\n/sys/class/net/eth0\n/sys/class/net/eth1" {
		return fmt.Errorf("boot_id %s before, after it:\n%s", before, after)
	}
	at := slices.IndexFunc(l.spec.Hosts, func(h Host) bool { return h.Name == name })
	if h := l.mustStatus(t)[at]; h.Boots != boots+1 {
		return fmt.Errorf("it was booted %d times, want %d", h.Boots, boots+1)
	}
	return nil
}

func vmReinstall(t *testing.T, l *Lab) {
	before := l.ssh(t, "vm1", "", "cat /etc/machine-id")
	if err := l.Reinstall(t.Context(), "vm1"); err != nil {
		t.Fatal(err)
	}
	if out, err := l.trySSH(t.Context(), "vm1", "", "true"); err == nil || !strings.Contains(err.Error(), "Host key verification failed") {
		t.Errorf("its old key still opens it: %q, %v", out, err)
	}
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.ssh(t, "vm1", "", "cat /etc/machine-id; ls /root/kept 2>/dev/null || true"); got == before || strings.Contains(got, "kept") {
		t.Errorf("after it, machine-id and files are %q; the machine-id was %q", got, before)
	}
}
