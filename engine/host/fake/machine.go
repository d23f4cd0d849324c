package fake

import (
	"fmt"
	"maps"
	"sync"

	"weft/engine/host"
)

// Machine is the state of one machine. Make it with [New].
type Machine struct {
	mu       sync.Mutex // guards everything down to recordings
	files    tree
	accounts map[string]bool // users and groups that have a name
	kernel   map[string]string
	// kernelLinks are the symlinks below /proc and /sys.
	kernelLinks map[string]string
	units       map[string]*unit
	clock       int64 // microseconds since boot; every start of a unit moves it
	pids        int
	goingDown   bool // a reboot was ordered
	net         network
	disks       map[string]host.Space // by mount point
	pci         bus
	grub        grub
	hooks       hooks
	recordings  []*recording

	databases *databases
	libvirt   *libvirtd
	effects   effects
}

// hooks are what the machine does by itself.
type hooks struct {
	programs map[string]Program
	units    map[string]UnitHook
	kernel   map[string]KernelHook
	ping     func(m *Machine, p host.Ping) host.PingReport
	exchange func(m *Machine, e host.Exchange) host.ExchangeReport
	frame    func(m *Machine, namespace, link string, b []byte) [][]byte
	ask      func(m *Machine, daemon, command string, args []string) (string, error)
	arrives  *string // what is fetched from elsewhere; nil where a session brings it
}

// New returns a machine like a Debian that was just installed: the usual
// directories, a loopback link that is up, and nothing else.
func New() *Machine {
	m := &Machine{
		files:    tree{"/": {Type: host.Directory, Mode: 0o755, Owner: "root", Group: "root"}},
		accounts: map[string]bool{"root": true, "daemon": true, "adm": true, "nobody": true, "nogroup": true},
		kernel:   map[string]string{}, kernelLinks: map[string]string{},
		units: map[string]*unit{},
		pids:  100,
		net:   newNetwork(), disks: map[string]host.Space{"/": {Total: 20 << 30, Free: 15 << 30}}, pci: newBus(),
		hooks: hooks{
			programs: map[string]Program{},
			units:    map[string]UnitHook{},
			kernel:   map[string]KernelHook{},
		},
		databases: newDatabases(), libvirt: newLibvirtd(),
	}
	for _, dir := range []string{
		"/etc/default", "/etc/network/interfaces.d", "/etc/sysctl.d", "/etc/systemd/system",
		"/root", "/run/netns", "/run/systemd/system", "/tmp", "/usr/bin", "/usr/sbin",
		"/usr/lib/systemd/system", "/usr/lib/sysctl.d", "/usr/share", "/var/lib", "/var/log",
	} {
		m.Mkdir(dir)
	}
	for _, merged := range []string{"bin", "sbin", "lib"} {
		m.Symlink("/"+merged, "usr/"+merged)
	}
	return m
}

// Host returns the doors of the machine. It has no memo.
func (m *Machine) Host() host.Host {
	h := host.Host{
		Files: files{m}, Kernel: kernel{m}, Commands: commands{m}, Units: units{m},
		Links: links{m}, OVSDB: m.databases.door(m), Libvirt: libvirtDoor{m}, Packets: packets{m}, Frames: frames{m}, Daemons: daemons{m}, Disks: disks{m},
		Self: "/var/lib/weft/bin/fake/weft-runner", Kept: kept,
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hooks.arrives != nil {
		h.Elsewhere = m
	}
	return h
}

// Clone returns a machine of the same state that changes on its own.
func (m *Machine) Clone() *Machine {
	virtuals := m.libvirt.clone()
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Machine{
		files:    m.files.clone(),
		accounts: maps.Clone(m.accounts),
		kernel:   maps.Clone(m.kernel), kernelLinks: maps.Clone(m.kernelLinks),
		units: make(map[string]*unit, len(m.units)),
		clock: m.clock,
		pids:  m.pids,
		net:   m.net.clone(), disks: maps.Clone(m.disks), pci: m.pci.clone(), grub: m.grub,
		hooks: hooks{
			programs: maps.Clone(m.hooks.programs),
			units:    maps.Clone(m.hooks.units),
			kernel:   maps.Clone(m.hooks.kernel),
			ping:     m.hooks.ping,
			exchange: m.hooks.exchange,
			frame:    m.hooks.frame,
			ask:      m.hooks.ask,
			arrives:  m.hooks.arrives,
		},
		databases: m.databases.clone(), libvirt: virtuals,
	}
	for name, u := range m.units {
		copied := *u
		c.units[name] = &copied
	}
	return c
}

// effects counts the calls of writing halves, so that a Query can tell its own
// changes from those of an effect beside it.
type effects struct {
	mu       sync.Mutex
	begun    int
	underway int
}

func (e *effects) begin() (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begun++
	e.underway++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.underway--
	}
}

// quiet returns how many effects have begun, and whether none is under way.
func (e *effects) quiet() (begun int, quiet bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begun, e.underway == 0
}

// must is for the hand of a test: what it gets wrong is a mistake in the test.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("fake: %v", err))
	}
}
