package testlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A host of a lab is a machine that runs systemd, with cgroup2 where systemd mounts it. So a lab within a lab shows that
// such a machine will do, and that Packages leaves none out. What the machine of the test itself is, the other tests show.
func TestLabOnAMachineThatRunsSystemd(t *testing.T) {
	l := openLab(t, 1)
	l.spec.Repository = Packages()
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.ssh(t, "host1", "", "apt-get update && apt-get install --yes "+strings.Join(Packages(), " "))
	copyToHost(t, l, os.Args[0], "/usr/local/bin", "")
	lab := "/usr/local/bin/" + filepath.Base(os.Args[0])

	if _, err := l.trySSH(t.Context(), "host1", "", lab+" check /var/lib/weft-lab"); err == nil || !strings.Contains(err.Error(), "no overlay file system in /var/lib/weft-lab") {
		t.Errorf("check of a disk that is an overlay itself: %v, want a refusal that names it", err)
	}
	r, err := readRecord(l.recordPath())
	if err != nil {
		t.Fatal(err)
	}
	copyToHost(t, l, filepath.Dir(r.Image), "/var/cache/weft-lab/images", "")
	for _, path := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			copyToHost(t, l, path, "/etc/apt", "--recursive-unlink")
		}
	}

	inner := Spec{Name: "inner", Networks: []Network{{Name: "net", CIDR: netip.MustParsePrefix("10.9.0.0/24"), Access: true}},
		Hosts: []Host{{Name: "in1", NICs: []NIC{{Name: "eth0", Network: "net", Address: netip.MustParsePrefix("10.9.0.2/24")}}}}}
	text, err := json.Marshal(upRequest{Spec: inner, State: "/tmp/labs", Supervisor: []string{lab, "supervise"}})
	if err != nil {
		t.Fatal(err)
	}
	l.ssh(t, "host1", string(text), "cat >/tmp/up.json")
	const traces = "grep -o 'weft.inner[^ ]*' /proc/mounts | sort -u | wc -l; ls -d /sys/fs/cgroup/weft-lab /tmp/labs/inner 2>/dev/null; ip -o link | wc -l"
	l.ssh(t, "host1", "", lab+" up /tmp/up.json")
	if got := l.ssh(t, "host1", "", "ssh -F /tmp/labs/inner/ssh/config in1 systemctl is-system-running --wait"); got != "running" {
		t.Errorf("the inner host's systemd says %q", got)
	}
	if got, want := l.ssh(t, "host1", "", traces), "2\n/sys/fs/cgroup/weft-lab\n/tmp/labs/inner\n4"; got != want {
		t.Errorf("the inner lab shows as\n%s\nwant\n%s", got, want)
	}
	l.ssh(t, "host1", "", lab+" down /tmp/up.json")
	if got, want := l.ssh(t, "host1", "", traces), "0\n3"; got != want {
		t.Errorf("the inner lab left\n%s\nwant\n%s", got, want)
	}
	if got := l.ssh(t, "host1", "", "systemctl is-system-running"); got != "running" {
		t.Errorf("after it the machine's systemd says %q", got)
	}
}

// copyToHost copies a file or a directory into a directory of host1, as tar does.
func copyToHost(t *testing.T, l *Lab, path, into, option string) {
	t.Helper()
	pack := exec.CommandContext(t.Context(), "tar", "-C", filepath.Dir(path), "-cf", "-", filepath.Base(path))
	unpack := exec.CommandContext(t.Context(), "ssh", "-F", l.SSHConfigPath(), "host1", "mkdir -p "+into+" && tar -C "+into+" "+option+" -xf -")
	reader, writer := io.Pipe()
	pack.Stdout, unpack.Stdin = writer, reader
	packed := make(chan error, 1)
	go func() {
		err := pack.Run()
		packed <- errors.Join(err, writer.CloseWithError(err))
	}()
	out, err := unpack.CombinedOutput()
	if err := errors.Join(err, <-packed); err != nil {
		t.Fatal(fmt.Errorf("copy %s: %w: %s", path, err, out))
	}
}
