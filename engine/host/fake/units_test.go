package fake_test

import (
	"errors"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// The units of Debian's openvswitch-switch: a meta unit and two real ones.
func newOpenvswitch() *fake.Machine {
	m := fake.New()
	for name, text := range map[string]string{
		"openvswitch-switch": "[Unit]\nRequires=ovs-vswitchd.service\n[Service]\nType=oneshot\nExecStart=/bin/true\nRemainAfterExit=yes\n" +
			"[Install]\nWantedBy=multi-user.target\nAlso=ovs-record.service\n",
		"ovs-vswitchd": "[Unit]\nRequires=ovsdb-server.service\nPartOf=openvswitch-switch.service\n[Service]\nType=forking\nExecStart=-/usr/bin/ovs-ctl start\n",
		"ovsdb-server": "[Unit]\nPartOf=openvswitch-switch.service\n[Service]\nType=forking\nExecStart=/usr/bin/ovs-ctl start\n",
		"ovs-record":   "[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
	} {
		m.WriteFile("/lib/systemd/system/"+name+".service", text)
	}
	return m
}

// states are the active and sub states of the three units, in one line.
func states(m *fake.Machine) string {
	var all []string
	for _, name := range []string{"openvswitch-switch", "ovs-vswitchd", "ovsdb-server"} {
		u := m.UnitState(name + ".service")
		all = append(all, u.ActiveState+"/"+u.SubState)
	}
	return strings.Join(all, " ")
}

func TestUnitsPullAndFollowOthers(t *testing.T) {
	const up, down = "active/exited active/running active/running", "inactive/dead inactive/dead inactive/dead"
	m := newOpenvswitch()
	m.Systemctl(host.Start, "openvswitch-switch.service")
	if got := states(m); got != up {
		t.Errorf("started: %s", got)
	}
	first := m.UnitState("ovsdb-server.service")
	m.Systemctl(host.Restart, "openvswitch-switch.service")
	if got, again := states(m), m.UnitState("ovsdb-server.service"); got != up || again.MainPID == first.MainPID {
		t.Errorf("restarted: %s, %+v", got, again)
	}
	m.Systemctl(host.Stop, "openvswitch-switch.service")
	if got := states(m); got != down {
		t.Errorf("stopped: %s", got)
	}
	if got := m.UnitState("ovs-vswitchd.service").ExecStart; got != "/usr/bin/ovs-ctl" {
		t.Errorf("program %q", got)
	}
}

func TestHookOfAUnit(t *testing.T) {
	m := newOpenvswitch()
	var seen []string
	m.OnUnit("ovsdb-server.service", func(_ *fake.Machine, verb host.UnitVerb) error {
		seen = append(seen, string(verb))
		return nil
	})
	m.OnUnit("ovs-vswitchd.service", func(*fake.Machine, host.UnitVerb) error { return errors.New("no hugepages") })
	err := m.Host().Units.Do(t.Context(), host.Start, "openvswitch-switch.service")
	if err == nil || !strings.Contains(err.Error(), "no hugepages") {
		t.Errorf("got %v", err)
	}
	if got := states(m); got != "inactive/dead failed/failed active/running" {
		t.Errorf("states %s", got)
	}
	m.Systemctl(host.Restart, "ovsdb-server.service")
	if got := strings.Join(seen, " "); got != "start stop start" {
		t.Errorf("hook saw %s", got)
	}
}

func TestFileStates(t *testing.T) {
	m := newOpenvswitch()
	m.WriteFile("/run/systemd/generator.late/old.service", "[Service]\nExecStart=/etc/init.d/old start\n")
	m.WriteFile("/lib/systemd/system/getty@.service", "[Service]\nExecStart=/sbin/agetty\n[Install]\nWantedBy=getty.target\n")
	m.Symlink("/etc/systemd/system/alias.service", "/lib/systemd/system/ovs-record.service")
	before := m.Snapshot()
	units := m.Host().Units
	if err := units.Do(t.Context(), host.Enable, "ovsdb-server.service"); err == nil {
		t.Error("a unit without an [Install] section was enabled")
	}
	m.Systemctl(host.Enable, "openvswitch-switch.service")
	m.Systemctl(host.Enable, "getty@tty1.service")
	for name, want := range map[string]string{
		"openvswitch-switch.service": "enabled", "ovs-record.service": "enabled", "ovsdb-server.service": "static",
		"old.service": "generated", "getty@tty1.service": "enabled", "getty@tty2.service": "disabled", "no.service": "",
	} {
		if got := m.UnitState(name).FileState; got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if got := m.UnitState("alias.service").Name; got != "ovs-record.service" {
		t.Errorf("an alias is called %s", got)
	}
	m.Systemctl(host.Disable, "getty@tty1.service")
	m.Systemctl(host.Disable, "openvswitch-switch.service")
	m.Symlink("/etc/systemd/system/alias.service", "/lib/systemd/system/ovs-record.service") // which disabling took along
	if got := m.Snapshot(); got != before {
		t.Errorf("enabled and disabled, the machine is another one:\n%s", got)
	}
}

// systemd goes by what it loaded until it is told to reload.
func TestActiveUnitKeepsItsFileUntilReload(t *testing.T) {
	m := newOpenvswitch()
	m.Systemctl(host.Start, "ovsdb-server.service")
	started := m.Snapshot()
	m.WriteFile("/etc/systemd/system/ovsdb-server.service.d/own.conf", "[Service]\nExecStart=\nExecStart=/opt/ovsdb\n")
	if got := m.UnitState("ovsdb-server.service").ExecStart; got != "/usr/bin/ovs-ctl" {
		t.Errorf("before the reload: %s", got)
	}
	if m.Snapshot() == started || !strings.Contains(m.Snapshot(), "from a file that has changed since") {
		t.Error("a snapshot does not show that a reload is due")
	}
	m.Systemctl(host.Reload, "")
	if got := m.UnitState("ovsdb-server.service").ExecStart; got != "/opt/ovsdb" {
		t.Errorf("after the reload: %s", got)
	}
}

// What changes by itself does not make another state.
func TestSnapshotLeavesOutWhatIsVolatile(t *testing.T) {
	m := newOpenvswitch()
	m.Systemctl(host.Start, "ovsdb-server.service")
	before := m.Snapshot()
	m.Systemctl(host.Restart, "ovsdb-server.service")
	if m.Snapshot() != before {
		t.Error("a restarted unit is another state")
	}
	m.FailUnit("ovsdb-server.service")
	if m.Snapshot() == before {
		t.Error("a failed unit is the same state")
	}
}
