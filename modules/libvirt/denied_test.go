package libvirt

import (
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

const deniedSaid = `internal error: process exited while connecting to monitor: 2026-11-22T05:31:26.8Z qemu-system-x86_64: -chardev socket,id=charnet0,path=/srv/sockets/g1.sock,server=on: Failed to bind socket to /srv/sockets/g1.sock: Permission denied`

// TestDeniedSaysWho: the same sentence of libvirtd's, and each time another hand
// behind it.
func TestDeniedSaysWho(t *testing.T) {
	prints := func(text string) fake.Program {
		return func(*fake.Machine, host.Command) host.Result { return host.Result{Stdout: []byte(text)} }
	}
	for _, tt := range []struct {
		name    string
		arrange func(m *fake.Machine)
		says    []string
	}{
		{"a directory of another's", func(m *fake.Machine) { m.Chown("/srv/sockets", "root", "root") },
			[]string{"runs as libvirt-qemu:kvm", "/srv/sockets belongs to root:root with mode 0755", "can make no socket there"}},
		{"one above that is shut", func(m *fake.Machine) { m.Chmod("/srv", 0o700) },
			[]string{"/srv belongs to root:root with mode 0700", "cannot enter"}},
		{"qemu.conf names another user", func(m *fake.Machine) {
			m.WriteFile("/etc/libvirt/qemu.conf", "#user = \"root\"\n user = \"+openvswitch\"\ngroup = 'x'\n")
		}, []string{"runs as openvswitch:", "can make no socket there"}},
		{"a group that is its own may", func(m *fake.Machine) {
			m.Chown("/srv/sockets", "root", "hugetlbfs")
			m.Chmod("/srv/sockets", 0o770)
			m.WriteFile("/etc/group", "hugetlbfs:x:110:openvswitch,libvirt-qemu\n")
		}, []string{"none is at work"}},
		{"a socket of another's", func(m *fake.Machine) {
			m.WriteFile("/srv/sockets/g1.sock", "")
			m.Chmod("/srv/sockets/g1.sock", 0o644)
		}, []string{"/srv/sockets/g1.sock belongs to root:root with mode 0644"}},
		{"AppArmor, and it noted it", func(m *fake.Machine) {
			m.Program("journalctl", prints("audit: apparmor=\"DENIED\" operation=\"mknod\" profile=\"libvirt-1\" name=\"/srv/sockets/g1.sock\"\n"))
		}, []string{"AppArmor denies it", `profile="libvirt-1"`}},
		{"SELinux, and auditd noted it", func(m *fake.Machine) {
			m.Program("tail", prints("type=AVC msg=audit(1.2:3): avc:  denied  { create } for  pid=1 comm=\"qemu-kvm\" name=\"g1.sock\" scontext=x\n"))
		}, []string{"SELinux denies it"}},
		{"SELinux, which is enforcing", func(m *fake.Machine) { m.SetKernel("/sys/fs/selinux/enforce", "1") }, []string{"the rights let libvirt-qemu:kvm in", "SELinux, which is enforcing"}},
		{"AppArmor, which is on", func(m *fake.Machine) { m.SetKernel("/sys/module/apparmor/parameters/enabled", "Y") }, []string{"AppArmor, which confines each guest"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fake.New()
			m.WriteFile("/etc/passwd", "root:x:0:0::/:/bin/sh\nlibvirt-qemu:x:64055:108::/:/bin/false\n")
			m.AddAccount("libvirt-qemu")
			m.AddAccount("kvm")
			m.AddAccount("hugetlbfs")
			m.Mkdir("/srv/sockets")
			m.Chown("/srv/sockets", "libvirt-qemu", "kvm")
			tt.arrange(m)
			got := denied(t.Context(), m.Host().View(), deniedSaid)
			for _, want := range tt.says {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not say %q", got, want)
				}
			}
		})
	}
}

func FuzzDenied(f *testing.F) {
	f.Add(deniedSaid, "user = \"root\"\n", "kvm:x:1:a,b\n")
	f.Add("Permission denied", "", "")
	f.Add("cannot open '/a b': permission DENIED /x", "user", ":::")
	f.Fuzz(func(t *testing.T, said, conf, groups string) {
		m := fake.New()
		m.WriteFile("/etc/libvirt/qemu.conf", conf)
		m.WriteFile("/etc/group", groups)
		if got := denied(t.Context(), m.Host().View(), "Permission denied"+said); got == "" {
			t.Errorf("%q is not explained", said)
		}
	})
}
