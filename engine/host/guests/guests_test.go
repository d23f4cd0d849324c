package guests_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/guests"
	"weft/engine/host/row"
)

// hypervisor is a machine whose bridges br0 and br1 have a port each for a guest of
// vhost-user, and br0 its own device.
func hypervisor() *fake.Machine {
	m := fake.New()
	m.AddOpenVSwitch()
	var tx row.Tx
	for n, name := range []string{"br0", "br1"} {
		own, vhost := fmt.Sprint("own", n), fmt.Sprint("vhost", n)
		tx.Insert("Interface", own, ovsdb.Row{"name": name, "type": "internal"})
		tx.Insert("Port", own+"p", ovsdb.Row{"name": name, "interfaces": row.UUIDs(own)})
		tx.Insert("Interface", vhost, ovsdb.Row{"name": vhost, "type": "dpdkvhostuserclient",
			"options": row.Strmap(map[string]string{"vhost-server-path": "/run/vhost/" + vhost})})
		tx.Insert("Port", vhost+"p", ovsdb.Row{"name": vhost, "interfaces": row.UUIDs(vhost)})
		tx.Insert("Bridge", name, ovsdb.Row{"name": name, "datapath_type": "netdev", "ports": row.UUIDs(own+"p", vhost+"p")})
		tx.Mutate("Open_vSwitch", row.ID(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]), row.AddRefs("bridges", name))
	}
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	return m
}

func domain(name, card string) string {
	return fmt.Sprintf(`<domain type="kvm"><name>%s</name><memory>1024</memory><os><type>hvm</type></os><devices>%s</devices></domain>`, name, card)
}

func vhost(path string) string {
	return fmt.Sprintf(`<interface type="vhostuser"><mac address="52:54:00:00:00:01"/><source type="unix" path="%s" mode="server"/></interface>`, path)
}

const tap = `<interface type="bridge"><mac address="52:54:00:00:00:02"/><source bridge="br0"/><virtualport type="openvswitch"/></interface>`

// TestOnSwitch: those that run with a card on the switch, by bridge, and no others.
func TestOnSwitch(t *testing.T) {
	m := hypervisor()
	m.AddLibvirt()
	for name, card := range map[string]string{
		"socket": vhost("/run/vhost/vhost1"), "tap": tap, "elsewhere": vhost("/run/vhost/other"), "off": vhost("/run/vhost/vhost0"), "none": "",
	} {
		m.Define(host.VirtualDomain, name, domain(name, card))
		if name != "off" {
			m.Virsh(host.VirtualStart, host.VirtualDomain, name)
		}
	}
	for _, tt := range []struct {
		bridges []string
		want    []string
	}{
		{nil, []string{"socket", "tap"}}, {[]string{"br0"}, []string{"tap"}}, {[]string{"br1"}, []string{"socket"}}, {[]string{"br9"}, nil},
	} {
		f, err := guests.OnSwitch(t.Context(), m.Host().View(), tt.bridges...)
		if err != nil || !slices.Equal(f.Names, tt.want) || len(f.Warnings) > 0 {
			t.Errorf("on %v there are %+v, %v; want %v", tt.bridges, f, err, tt.want)
		}
	}
	if f, err := guests.Running(t.Context(), m.Host().View()); err != nil || !slices.Equal(f.Names, []string{"elsewhere", "none", "socket", "tap"}) {
		t.Errorf("there run %+v, %v", f, err)
	}
	if f, err := guests.OnSwitch(t.Context(), fake.New().Host().View()); err != nil || len(f.Names) > 0 {
		t.Errorf("without Open vSwitch: %+v, %v", f, err)
	}
}

// process is one of qemu, or another.
func process(m *fake.Machine, pid int, comm string, argv ...string) {
	m.SetKernel(fmt.Sprintf("/proc/%d/comm", pid), comm)
	m.SetKernel(fmt.Sprintf("/proc/%d/cmdline", pid), strings.Join(argv, "\x00")+"\x00")
}

func status(m *fake.Machine, name string, pid int, card string) {
	m.WriteFile("/run/libvirt/qemu/"+name+".xml", fmt.Sprintf(`<domstatus state="running" reason="booted" pid="%d">%s</domstatus>`, pid, domain(name, card)))
}

// TestLibvirtdIsDown: guests are not none because nobody speaks of them.
func TestLibvirtdIsDown(t *testing.T) {
	for _, tt := range []struct {
		name     string
		has      func(m *fake.Machine)
		onSwitch []string
		running  []string
		says     string // of a warning about those on the switch
	}{
		{"no guests", func(m *fake.Machine) { process(m, 9, "qemu-ga", "qemu-ga"); process(m, 10, "sshd", "sshd") }, nil, nil, ""},
		{"libvirtd left what it knew", func(m *fake.Machine) {
			process(m, 20, "qemu-system-x86", "qemu-system-x86_64", "-name", "guest=on,debug-threads=on")
			process(m, 21, "qemu-kvm", "qemu-kvm", "-name", "off")
			status(m, "on", 20, vhost("/run/vhost/vhost0"))
			status(m, "off", 21, "")
			status(m, "dead", 22, vhost("/run/vhost/vhost1"))
		}, []string{"on"}, []string{"off", "on"}, "libvirtd does not answer"},
		{"it left nothing", func(m *fake.Machine) {
			process(m, 20, "qemu-system-x86", "qemu-system-x86_64", "-name", "guest=g1,debug-threads=on")
			process(m, 21, "qemu-system-x86", "qemu-system-x86_64", "-name")
		}, []string{"g1", "process 21 of qemu"}, []string{"g1", "process 21 of qemu"}, "guests unknown: libvirtd does not answer"},
		{"what it left is broken", func(m *fake.Machine) {
			process(m, 20, "qemu-system-x86", "qemu-system-x86_64", "-name", "guest=g1")
			m.WriteFile("/run/libvirt/qemu/g1.xml", "<domstatus")
		}, []string{"g1"}, []string{"g1"}, "guests unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := hypervisor()
			tt.has(m)
			f, err := guests.OnSwitch(t.Context(), m.Host().View())
			if err != nil || !slices.Equal(f.Names, tt.onSwitch) || !strings.Contains(strings.Join(f.Warnings, "\n"), tt.says) || (tt.says == "") != (len(f.Warnings) == 0) {
				t.Errorf("on the switch are %+v, %v; want %v", f, err, tt.onSwitch)
			}
			if f, err = guests.Running(t.Context(), m.Host().View()); err != nil || !slices.Equal(f.Names, tt.running) {
				t.Errorf("there run %+v, %v; want %v", f, err, tt.running)
			}
		})
	}
}

// mute is a libvirtd that takes connections and refuses.
type mute struct{ host.Libvirt }

func (mute) Domains(context.Context) ([]host.DomainName, error) {
	return nil, &host.LibvirtError{Act: "list domains", Said: "timed out"}
}

// noProcesses is a /proc that cannot be listed.
type noProcesses struct{ host.Kernel }

func (k noProcesses) List(ctx context.Context, dir string) ([]string, error) {
	if dir == "/proc" {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: errors.New("input/output error")}
	}
	return k.Kernel.List(ctx, dir)
}

func TestNobodyTells(t *testing.T) {
	m := hypervisor()
	m.AddLibvirt()
	h := m.Host()
	h.Libvirt = mute{h.Libvirt}
	process(m, 20, "qemu-system-x86", "qemu-system-x86_64", "-name", "guest=g1")
	if f, err := guests.OnSwitch(t.Context(), h.View()); err != nil || !slices.Equal(f.Names, []string{"g1"}) || !strings.Contains(strings.Join(f.Warnings, ""), "timed out") {
		t.Errorf("%+v, %v", f, err)
	}
	h = m.Host()
	h.Libvirt, h.Kernel = mute{h.Libvirt}, noProcesses{h.Kernel}
	if f, err := guests.OnSwitch(t.Context(), h.View()); err != nil || !slices.Equal(f.Names, []string{"unknown"}) || len(f.Warnings) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

// FuzzStatus: what lies in libvirtd's directory is data.
func FuzzStatus(f *testing.F) {
	f.Add(`<domstatus pid="20"><domain><devices><interface type="vhostuser"/></devices></domain></domstatus>`, "qemu\x00-name\x00guest=x,y\x00")
	f.Add("", "")
	f.Add("<domstatus pid=''/>", "-name")
	f.Fuzz(func(t *testing.T, status, cmdline string) {
		m := hypervisor()
		m.SetKernel("/proc/20/comm", "qemu-kvm")
		m.SetKernel("/proc/20/cmdline", cmdline)
		m.WriteFile("/run/libvirt/qemu/g.xml", status)
		if found, err := guests.Running(t.Context(), m.Host().View()); err != nil || len(found.Names) != 1 {
			t.Errorf("%+v, %v", found, err)
		}
	})
}
