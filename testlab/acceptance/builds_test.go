package acceptance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	buildsLab     = "testlab/acceptance/testdata/builds.hcl"
	ovsBuild      = "testlab/acceptance/testdata/ovs-dpdk-build.hcl"
	builderShared = "testlab/acceptance/testdata/builds-shared.hcl"
	ovsGone       = "testlab/acceptance/testdata/ovs-dpdk-unbuild.hcl"
)

// TestSmallBuilds runs the laws of builds on a host with a compiler, and has a tarball
// try to get out.
func TestSmallBuilds(t *testing.T) {
	t.Parallel()
	labUp(t, buildsLab)
	h := labHost{t, buildsLab, "builder1"}
	h.sees("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install gcc libc6-dev make")
	brief := " -test.short"
	if os.Getenv("WEFT_LAWS_WHOLE") != "" {
		brief = ""
	}
	lawsOf(t, "build", sshConfigOf(t, buildsLab), "builder1", brief)
	h.sees("rm -r /var/cache/weft")
	t.Run("taken by another host", takenByAnother)
	for name, member := range map[string]string{
		"upwards":  "--transform s,^x$,../../../../../../../../etc/weft-out, x",
		"absolute": "--absolute-names /root/hostile/etc-weft-out",
		"link":     "out out/weft-out",
	} {
		t.Run("a tarball that leads "+name, func(t *testing.T) {
			h := labHost{t, buildsLab, "builder1"}
			h.sees("rm -rf /root/hostile /root/x.tar && mkdir -p /root/hostile/p && cd /root/hostile && echo out > x && echo out > etc-weft-out && " +
				"printf 'all:\\ninstall:\\n\\tmkdir -p $(DESTDIR)$(prefix)/bin && touch $(DESTDIR)$(prefix)/bin/x\\n' > p/Makefile && tar -cf /root/x.tar p")
			if name == "link" { // a symlink, and then a file through it
				h.sees("cd /root/hostile && ln -s /etc out && tar -rf /root/x.tar out && rm out && mkdir out && echo out > out/weft-out && tar -rf /root/x.tar out/weft-out && rm -r out")
			} else {
				h.sees("cd /root/hostile && tar -rPf /root/x.tar " + member)
			}
			h.sees("rm -rf /root/hostile")
			sum := strings.Fields(h.sees("sha256sum /root/x.tar"))[0]
			playbook := filepath.Join(t.TempDir(), "hostile.hcl")
			text := "play \"p\" {\n  hosts = role.builder\n  step \"source_build\" \"x\" {\n    version = \"1\"\n    source = \"/root/x.tar\"\n    sha256 = \"" + sum + "\"\n    by = \"make\"\n  }\n}\n"
			if err := os.WriteFile(playbook, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := weft(t, "apply", "-y", playbook, "-i", buildsLab)
			t.Logf("exit %d: %s", r.exit, r.stdout)
			if left := h.sees("ls -d /etc/weft-out /weft-out /root/hostile 2>/dev/null; true"); strings.TrimSpace(left) != "" {
				t.Errorf("it got out: %s", left)
			}
			if r.exit != 0 {
				if left := h.sees("ls -d /opt/x* /opt/.weft* /var/cache/weft 2>/dev/null; true"); strings.TrimSpace(left) != "" {
					t.Errorf("what was refused left %s", left)
				}
			}
		})
	}
}

// takenByAnother builds on a host with a compiler what one without takes, and brings both back.
func takenByAnother(t *testing.T) {
	builder, taker := labHost{t, buildsLab, "builder1"}, labHost{t, buildsLab, "builder2"}
	builder.sees(`mkdir -p /root/tiny && cd /root/tiny && printf 'int main(void) { return 7; }\n' > tiny.c && ` +
		`printf 'all: tiny\ninstall: tiny\n\tmkdir -p $(DESTDIR)$(prefix)/bin && cp tiny $(DESTDIR)$(prefix)/bin/\n' > Makefile && ` +
		`tar -cf /root/tiny.tar -C /root tiny && rm -r /root/tiny`)
	const state = "find /opt /usr/local /var/cache /root -printf '%p %y %l\n' | grep -v /var/cache/apt | sort"
	untouched := builder.sees(state) + taker.sees(state)
	args := []string{builderShared, "-i", buildsLab, "--var", "sha256=" + strings.Fields(builder.sees("sha256sum /root/tiny.tar"))[0]}
	first := converged(t, args...)
	if out := taker.sees("command -v gcc cc make; tiny; echo $?"); strings.TrimSpace(out) != "7" {
		t.Errorf("the host without a compiler says %q", out)
	}
	if n := changed(converged(t, args...)); n != 0 {
		t.Errorf("a second apply changed %d", n)
	}
	must(t, "rollback", "-y", first.Run, "-i", buildsLab)
	if now := builder.sees(state) + taker.sees(state); now != untouched {
		t.Errorf("not as before:\n%s\nbut:\n%s", untouched, now)
	}
}

// TestBuilds really builds DPDK and Open vSwitch from Debian's source packages, starts
// them, upgrades, goes back and takes all away. It takes a quarter of an hour: `make
// builds`.
func TestBuilds(t *testing.T) {
	if os.Getenv("WEFT_BUILDS") == "" {
		t.Skip("builds DPDK and Open vSwitch: make builds")
	}
	labUp(t, buildsLab)
	h := labHost{t, buildsLab, "builder1"}
	h.sees(sysModule)
	kept := filepath.Join(root(t), "bin/builds.tar")
	if os.Getenv("WEFT_BUILDS") == "cached" {
		h.sees("mkdir -p " + buildsCache)
		put(t, sshConfigOf(t, buildsLab), "builder1", kept, "/root/builds.tar")
		h.sees("tar -C " + buildsCache + " -xf /root/builds.tar")
	}
	untouched := h.sees(buildState)
	timed := func(what string, args ...string) {
		began := time.Now()
		long(t, args...)
		t.Logf("%s: %s", what, time.Since(began).Round(time.Second))
	}
	built := []string{"apply", "-y", ovsBuild, "-i", buildsLab}
	otherwise := append(slices.Clone(built), "--var", `ovs_options=["--disable-ssl"]`)
	timed("build and start", built...)
	switches(t, h)
	if n := changed(converged(t, built[2:]...)); n != 0 {
		t.Errorf("a second apply changed %d", n)
	}
	first := h.sees("readlink /opt/openvswitch /opt/dpdk")

	h.sees("rm /opt/openvswitch/bin/ovs-ofctl && chmod 0777 /opt/dpdk/bin/dpdk-devbind.py && rm /usr/local/bin/ovs-vsctl")
	timed("repair", built...)
	h.sees("ovs-ofctl --version && ovs-vsctl --version")

	timed("upgrade", otherwise...)
	switches(t, h)
	keepBuilds(t, h, kept)
	second := h.sees("readlink /opt/openvswitch /opt/dpdk")
	if second == first {
		t.Errorf("after an upgrade the trees are still %s", first)
	}
	h.reboot()
	if n := changed(converged(t, otherwise[2:]...)); n != 0 {
		t.Errorf("after a reboot an apply changed %d", n)
	}
	switches(t, h)

	timed("uninstall", "apply", "-y", ovsGone, "-i", buildsLab)
	if left := h.sees("ls -d /opt/*openvswitch* /opt/*dpdk* /etc/systemd/system/*ovs* 2>/dev/null; find /usr/local/bin /usr/local/sbin -type l; true"); strings.TrimSpace(left) != "" {
		t.Errorf("after it was uninstalled there are %s", left)
	}
	// First what was taken away: the undo of the rest needs the daemons.
	back := []string{"rollback", "-y", "-i", buildsLab}
	runs := scenario{inventory: buildsLab}.standing(t)
	timed("rollback of the removal", append(back, runs[0])...)
	switches(t, h)
	timed("rollback of the rest", append(back, runs[1:]...)...)
	if now := h.sees(buildState); now != untouched {
		t.Errorf("the rollback of all brought\n%s\nof\n%s", now, untouched)
	}
}

// sysModule has the host boot with /sys/module, which DPDK asks for vfio: a host in
// namespaces has none.
const sysModule = `printf '%s\n' '[Unit]' DefaultDependencies=no Before=sysinit.target '[Service]' Type=oneshot ` +
	`'ExecStart=/bin/sh -c "mount -o remount,rw /sys && mkdir -p /sys/module"' '[Install]' WantedBy=sysinit.target > /etc/systemd/system/lab-sys-module.service && ` +
	`systemctl enable --now lab-sys-module`

// long runs weft for as long as compilers take.
func long(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
	defer cancel()
	cmd := command(ctx, t, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("weft %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

const buildsCache = "/var/cache/weft/builds"

// keepBuilds keeps the results of this test for WEFT_BUILDS=cached, which takes two minutes.
func keepBuilds(t *testing.T, h labHost, to string) {
	t.Helper()
	cmd := command(t.Context(), t, "lab", "ssh", "-i", h.inventory, h.host, "--", "tar -C "+buildsCache+" -cf - .")
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = f
	if err := errors.Join(cmd.Run(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// buildState is what builds may change of a host.
const buildState = "ls -A /opt /usr/local/bin /usr/local/sbin /etc/systemd/system /etc/ld.so.conf.d /var/cache/weft/builds 2>&1; dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n'"

// TestBuildsHypervisor is scenario S3 from source: one hypervisor compiles, or takes what
// TestBuilds kept, and the other takes its result.
func TestBuildsHypervisor(t *testing.T) {
	if os.Getenv("WEFT_BUILDS") == "" {
		t.Skip("builds DPDK and Open vSwitch: make builds")
	}
	s := scenario{inventory: "inventories/ovs-dpdk-source.hcl", hosts: []string{"hyper1", "hyper2"}, playbooks: []string{dpdkHypervisor}}
	labUp(t, s.inventory)
	guestImage(t, s)
	kept := filepath.Join(root(t), "bin/builds.tar")
	if _, err := os.Stat(kept); err == nil {
		s.on(t, "hyper1", "mkdir -p "+buildsCache)
		put(t, sshConfigOf(t, s.inventory), "hyper1", kept, "/root/builds.tar")
		s.on(t, "hyper1", "tar -C "+buildsCache+" -xf /root/builds.tar && rm /root/builds.tar")
	}
	found := map[string]string{}
	for _, h := range s.hosts {
		s.on(t, h, sysModule)
		found[h] = s.state(t, h) + s.on(t, h, buildState)
	}
	long(t, "apply", "-y", dpdkHypervisor, "-i", s.inventory)
	s.unchanged(t)
	for _, h := range s.hosts {
		if exe := s.on(t, h, "readlink /proc/$(cat /run/openvswitch/ovs-vswitchd.pid)/exe"); !strings.HasPrefix(exe, "/opt/openvswitch-3.1.0-") {
			t.Errorf("%s runs %s", h, exe)
		}
	}
	if s.on(t, "hyper1", "readlink /opt/openvswitch /opt/dpdk") != s.on(t, "hyper2", "readlink /opt/openvswitch /opt/dpdk") {
		t.Error("they have not the same builds")
	}
	t.Run("restart", func(t *testing.T) {
		s.on(t, "hyper1", "systemctl restart weft-ovs-vswitchd")
		s.unchanged(t)
	})
	t.Run("cold boot", func(t *testing.T) {
		must(t, "lab", "cold-boot", "-i", s.inventory)
		s.unchanged(t)
	})
	t.Run("rollback", func(t *testing.T) {
		must(t, append([]string{"rollback", "-y", "-i", s.inventory}, s.standing(t)...)...)
		for _, h := range s.hosts {
			s.on(t, h, "ls /etc/openvswitch/conf.db && rm -r /etc/openvswitch") // what the switch was told is left to people
			if d := cmp.Diff(found[h], s.state(t, h)+s.on(t, h, buildState)); d != "" {
				t.Errorf("%s is not as it was found:\n%s", h, d)
			}
		}
	})
}

// switches sees that the Open vSwitch that was built is at work, with DPDK.
func switches(t *testing.T, h labHost) {
	t.Helper()
	for command, want := range map[string]string{
		"ovs-vsctl get Open_vSwitch . dpdk_initialized":               "true",
		"ovs-vsctl get Open_vSwitch . dpdk_version":                   "DPDK 22.11.11",
		"ovs-vswitchd --version":                                      "3.1.0",
		`readlink /proc/$(cat /run/openvswitch/ovs-vswitchd.pid)/exe`: strings.TrimSpace(h.sees("readlink -f /opt/openvswitch")) + "/sbin/ovs-vswitchd",
		"ovs-vsctl --may-exist add-port br-dpdk null0 -- set Interface null0 type=dpdk options:dpdk-devargs=net_null0 && " +
			"ovs-vsctl --columns=ofport,error find Interface name=null0 && ovs-appctl dpif-netdev/pmd-rxq-show && ovs-vsctl del-port null0": "port: null0",
	} {
		if said := h.sees(command); !strings.Contains(said, want) {
			t.Errorf("%s says %q, not %q", command, said, want)
		}
	}
}
