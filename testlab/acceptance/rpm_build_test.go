package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rpmBuild = "playbooks/ovs-rpm-build.hcl"

// TestRPMBuild is scenario S5: RPMs built, installed by dnf, and undone, with a switch
// as small as can be: the spec of Open vSwitch asks for what only Fedora has.
func TestRPMBuild(t *testing.T) {
	s := scenario{
		inventory: "inventories/rpm-build.hcl", hosts: []string{"rpm1"}, playbooks: []string{rpmBuild}, before: redhat, works: switchWorks,
		drifts: []drift{
			{"the service", "rpm1", "systemctl disable --now lab-vswitch", 0},
			{"a package", "rpm1", "dnf -q -y remove lab-vswitch-test", 0},
			{"the repository", "rpm1", "sed -i s/gpgcheck=0/gpgcheck=1/ /etc/yum.repos.d/lab-vswitch-local.repo", 0},
			{"a damaged RPM", "rpm1", "echo >> $(ls /var/cache/weft/rpms/lab-vswitch/lab-vswitch-test*.rpm)", 0},
		},
		more: bothFamilies,
	}
	s.run(t)
	if out := s.on(t, "rpm1", "rpm -qa --qf '%{NAME}\n' | sort; ls /var/cache/weft /etc/yum.repos.d 2>&1; id -u builder 2>/dev/null || echo no user"); out != "lab-release\nls: cannot access '/var/cache/weft': No such file or directory\n/etc/yum.repos.d:\nlab-release.repo\nno user\n" {
		t.Errorf("after the rollback: %s", out)
	}
}

// redhat dresses a host, see the script.
func redhat(t *testing.T, s scenario) {
	t.Helper()
	config := sshConfigOf(t, s.inventory)
	put(t, config, "rpm1", filepath.Join(root(t), "testlab/acceptance/testdata/redhat.sh"), "/root/redhat.sh")
	s.on(t, "rpm1", "/root/redhat.sh")
}

func switchWorks(t *testing.T, s scenario) {
	t.Helper()
	out := s.on(t, "rpm1", "rpm -q lab-vswitch; systemctl is-active lab-vswitch; ls -l /var/cache/weft/rpms/lab-vswitch; rpm -q lab-vswitch-devel")
	if !strings.HasPrefix(out, "lab-vswitch-1.0-2.noarch\nactive\n") || !strings.HasSuffix(out, "lab-vswitch-devel-1-1.noarch\n") {
		t.Errorf("%s", out)
	}
}

// bothFamilies is one step on a host of apt and one of dnf, and a failing build.
func bothFamilies(t *testing.T, s scenario) {
	playbook := filepath.Join(t.TempDir(), "both.hcl")
	text := "play \"both\" {\n  hosts = [\"deb1\", \"rpm1\"]\n  step \"package\" \"ethtool\" {}\n}\n"
	if err := os.WriteFile(playbook, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if steps := s.apply(t, playbook); len(steps) != 2 {
		t.Errorf("ethtool was installed by %q", steps)
	}
	if steps := s.apply(t, playbook); len(steps) != 0 {
		t.Errorf("ethtool was installed twice: %q", steps)
	}
	r := weft(t, "apply", "-y", rpmBuild, "-i", s.inventory, "--var", "without=[]")
	if r.exit == 0 || !strings.Contains(r.stdout+r.stderr, "rpmbuild failed in %check: error: the tests of a switch take an hour (log: /var/log/weft-rpm-build-lab-vswitch.log)") {
		t.Errorf("a build whose tests fail: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
	}
	if log := s.on(t, "rpm1", "cat /var/log/weft-rpm-build-lab-vswitch.log"); !strings.Contains(log, "Executing(%check)") {
		t.Errorf("the log of the build:\n%s", log)
	}
}
