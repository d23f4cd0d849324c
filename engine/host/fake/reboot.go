package fake

import (
	"maps"
	"slices"

	"weft/engine/host"
)

// bootID is the kernel's random id of a boot.
const bootID = "/proc/sys/kernel/random/boot_id"

// Reboot is a power cut and what comes after it where all that was at work
// comes back: the boot has a new id, the clock begins anew, and every unit that
// was active is started from its files as they are now; so are libvirt's domains
// and networks, and those that start by themselves. Links, kernel values
// and databases stay, as if their files said what they are; the kernel's command
// line is what the boot loader says, where there is one ([Machine.InstallGRUB]).
func (m *Machine) Reboot(id string) {
	m.bootGRUB()
	m.SetKernel(bootID, id)
	m.mu.Lock()
	m.clock = 0
	m.goingDown = false
	var active []string
	for _, name := range slices.Sorted(maps.Keys(m.units)) {
		if m.units[name].active == "active" {
			active = append(active, name)
		}
	}
	m.mu.Unlock()
	for _, name := range active {
		m.mu.Lock()
		d := m.files.define(name)
		m.mu.Unlock()
		if m.callHook(name, host.Start) != nil || d.load != "loaded" {
			m.settle(d, "failed", "failed")
			continue
		}
		state, sub := upState(d)
		m.settle(d, state, sub)
	}
	m.rebootLibvirt()
}

// GoingDown says whether a reboot was ordered that has not come yet: a test
// calls [Machine.Reboot] for it.
func (m *Machine) GoingDown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.goingDown
}
