package testlab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabCable(t *testing.T) {
	l := upLab(t, 2)
	carrier := func(host, nic string) string {
		return l.ssh(t, host, "", "ip link set "+nic+" up; cat /sys/class/net/"+nic+"/carrier")
	}
	if err := l.Cut(t.Context(), "host1", "underlay"); err != nil {
		t.Fatal(err)
	}
	if got := carrier("host1", "eth1") + carrier("host1", "eth0") + carrier("host2", "eth1"); got != "011" {
		t.Errorf("carriers of the cut cable and of two others: %s, want 0, 1, 1", got)
	}
	if err := l.Cut(t.Context(), "host1", ""); err != nil {
		t.Fatal(err)
	}
	if s := l.mustStatus(t); s[0].State == HostUp || s[1].State != HostUp {
		t.Errorf("host1, without its cable, is %s, and host2 %s", s[0].State, s[1].State)
	}
	if err := l.Mend(t.Context(), "host1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "host1 answers again", func() bool { return l.mustStatus(t)[0].State == HostUp })
	if got := carrier("host1", "eth1"); got != "1" {
		t.Error("not every cable was plugged in again")
	}
	if err := l.Cut(t.Context(), "host1", "nowhere"); err == nil {
		t.Error("a cable was pulled out of a network that the host is not on")
	}
}

func TestLabDisk(t *testing.T) {
	l := openLab(t, 2)
	l.options.Disk = 64 << 20
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Fill(t.Context(), "host1"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.trySSH(t.Context(), "host1", "", "echo 1 >/root/one"); err == nil {
		t.Error("something could be written to a disk that is full")
	}
	l.ssh(t, "host2", "", "echo 1 >/root/one")
	for i := range 3 { // a host with a full disk boots
		if err := l.PowerCycle(t.Context(), "host1"); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := l.Free(t.Context(), "host1"); err != nil {
		t.Fatal(err)
	}
	l.ssh(t, "host1", "", "echo kept >/root/kept")
	if err := l.Reboot(t.Context(), "host1"); err != nil {
		t.Fatal(err)
	}
	if got := l.ssh(t, "host1", "", "cat /root/kept; ls -A / | grep ballast || true"); got != "kept" {
		t.Errorf("the disk holds %q", got)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no loop device stands on a disk that is gone", func() bool {
		files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, f := range files {
			if name, err := os.ReadFile(f); err == nil && strings.Contains(string(name), l.dir()) {
				return false
			}
		}
		return true
	})
}

func TestLabReinstall(t *testing.T) {
	l := upLab(t, 1)
	if err := l.Fill(t.Context(), "host1"); !errors.Is(err, ErrNoDisk) {
		t.Errorf("the machine's disk was filled: %v", err)
	}
	id := l.ssh(t, "host1", "", "echo 1 >/root/one; cat /etc/machine-id")
	if err := l.Reinstall(t.Context(), "host1"); err != nil {
		t.Fatal(err)
	}
	if out, err := l.trySSH(t.Context(), "host1", "", "true"); err == nil {
		t.Errorf("nobody noticed that the host key is another: %s", out)
	}
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.ssh(t, "host1", "", "cat /etc/machine-id; ls /root"); got == id || strings.Contains(got, "\n") {
		t.Errorf("%s: the same host as before", got)
	}
}
