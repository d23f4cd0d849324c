package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLawsOnARealHost runs the laws of every family of modules inside a host of
// the lab that has Open vSwitch and OVN at work, as compiled test binaries.
func TestLawsOnARealHost(t *testing.T) {
	brief := " -test.short"
	if os.Getenv("WEFT_LAWS_WHOLE") != "" { // `make laws`: killed at every effect
		brief = ""
	}
	t.Parallel()
	const inventory = "testlab/acceptance/testdata/laws.hcl"
	labUp(t, inventory)
	converged(t, overlay, "-i", inventory)
	for _, family := range []string{"system", "ovs", "ovn", "network", "tls"} {
		t.Run(family, func(t *testing.T) { lawsOf(t, family, sshConfigOf(t, inventory), "ubuntu1", brief) })
	}
}

// TestLawsOfLibvirt runs the laws of libvirt's kinds beside a libvirtd and an Open
// vSwitch that a hand installed.
func TestLawsOfLibvirt(t *testing.T) {
	brief := " -test.short"
	if os.Getenv("WEFT_LAWS_WHOLE") != "" {
		brief = ""
	}
	t.Parallel()
	const inventory = "testlab/acceptance/testdata/libvirt-laws.hcl"
	labUp(t, inventory)
	must(t, "lab", "ssh", "-i", inventory, "laws1", "--",
		"apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install openvswitch-switch libvirt-daemon-system libvirt-clients qemu-system-x86")
	lawsOf(t, "libvirt", sshConfigOf(t, inventory), "laws1", brief)
}

// TestLawsOfPackages runs the laws of packages by apt; `make laws` also those of repositories
// and of builds, by dnf, rpmbuild and createrepo_c of Debian, which the laws install.
func TestLawsOfPackages(t *testing.T) {
	brief := " -test.short -test.run 'TestPackageLaws$'"
	if os.Getenv("WEFT_LAWS_WHOLE") != "" {
		brief = ""
	}
	t.Parallel()
	const inventory = "testlab/acceptance/testdata/packages-laws.hcl"
	labUp(t, inventory)
	lawsOf(t, "packages", sshConfigOf(t, inventory), "laws1", brief)
}

// TestLawsOfSecurity runs the laws of firewalld, nftables, a policy store of SELinux
// and AppArmor's files, which a hand installed. firewalld and semanage take their time:
// `make security`.
func TestLawsOfSecurity(t *testing.T) {
	if os.Getenv("WEFT_SECURITY") == "" {
		t.Skip("takes half an hour and more; make security")
	}
	brief := " -test.short" // which leaves the store of SELinux out
	if os.Getenv("WEFT_LAWS_WHOLE") != "" {
		brief = ""
	}
	t.Parallel()
	const inventory = "testlab/acceptance/testdata/security-laws.hcl"
	labUp(t, inventory)
	must(t, "lab", "ssh", "-i", inventory, "laws2", "--",
		"apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "+
			"nftables firewalld apparmor policycoreutils policycoreutils-python-utils selinux-policy-default")
	lawsOf(t, "security", sshConfigOf(t, inventory), "laws2", brief)
}

// lawsOf runs the laws of a family on a host.
func lawsOf(t *testing.T, family, config, host, brief string) {
	binary := filepath.Join(t.TempDir(), family+".test")
	build := exec.Command("go", "test", "-c", "-o", binary, "./modules/"+family)
	build.Dir = root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	put(t, config, host, binary, "/root/"+family+".test")
	cmd := exec.Command("ssh", "-F", config, host, fmt.Sprintf("cd /root && WEFT_LAWS_HOST=1 ./%s.test -test.run Laws -test.v%s -test.timeout 1h 2>&1; echo status $?", family, brief))
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the laws of %s: %v", family, err)
	}
	out := string(b)
	if !strings.Contains(out, "--- PASS") || !strings.HasSuffix(strings.TrimSpace(out), "status 0") {
		t.Errorf("the laws of %s do not hold:\n%s", family, failures(out))
	}
	t.Logf("%d walks passed", strings.Count(out, "--- PASS"))
}

// failures leaves out the walks that passed.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "=== ") && !strings.Contains(line, "--- PASS") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// put copies a file to a host through ssh's standard input.
func put(t *testing.T, config, host, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("ssh", "-F", config, host, "cat > "+to+" && chmod 755 "+to)
	cmd.Stdin = f
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("copy %s to %s: %v: %s", from, host, err, errs.String())
	}
}
