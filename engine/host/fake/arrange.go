package fake

import (
	"io/fs"
	"path"
	"strings"
	"time"

	"weft/engine/host"
)

// WriteFile writes a file as an editor does: missing directories are made, a
// symlink is followed, owner and mode stay; a new file is root's with 0644.
func (m *Machine) WriteFile(name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mkdir(path.Dir(name))
	real, there, err := m.files.locate(name, follow)
	must(err)
	n := node{Type: host.Regular, Mode: 0o644, Owner: "root", Group: "root"}
	if there {
		n = m.files[real]
	}
	n.Content, n.Modified = content, time.Time{}
	m.files[real] = n
}

// Touch says when a file was written last, as touch(1) does.
func (m *Machine) Touch(name string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	real, n, err := m.files.find(name, follow)
	must(err)
	n.Modified = at
	m.files[real] = n
}

// File returns the content of a file, and whether there is one.
func (m *Machine) File(name string) (content string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.files.find(name, follow)
	return n.Content, err == nil && n.Type == host.Regular
}

// Mkdir makes a directory and those above it; what is there stays.
func (m *Machine) Mkdir(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mkdir(name)
}

func (m *Machine) mkdir(name string) {
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		real, there, err := m.files.locate(path.Join(at, part), follow)
		must(err)
		if there && m.files[real].Type != host.Directory {
			panic("fake: " + real + " is no directory")
		}
		if !there {
			m.files[real] = node{Type: host.Directory, Mode: 0o755, Owner: "root", Group: "root"}
		}
		at = real
	}
}

// Symlink makes or replaces a symlink; missing directories are made.
func (m *Machine) Symlink(name, target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mkdir(path.Dir(name))
	real, _, err := m.files.locate(name, stay)
	must(err)
	m.files[real] = node{Type: host.Symlink, Mode: 0o777, Owner: "root", Group: "root", Target: target}
}

// Special puts a device, socket or pipe at a path, root's with 0660.
func (m *Machine) Special(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mkdir(path.Dir(name))
	real, _, err := m.files.locate(name, stay)
	must(err)
	m.files[real] = node{Type: host.Special, Mode: 0o660, Owner: "root", Group: "root"}
}

// Remove removes what is at a path and all below it, if it is there.
func (m *Machine) Remove(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if real, there, err := m.files.locate(name, stay); err == nil && there {
		m.files.removeAll(real)
	}
}

// Chmod sets the mode of what is there.
func (m *Machine) Chmod(name string, mode fs.FileMode) {
	m.attribute(name, host.Attributes{Mode: &mode})
}

// Chown sets owner and group of what is there; an empty name stays.
func (m *Machine) Chown(name, owner, group string) {
	m.attribute(name, host.Attributes{Owner: owner, Group: group})
}

func (m *Machine) attribute(name string, a host.Attributes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	real, n, err := m.files.find(name, stay)
	must(err)
	must(m.put(real, n, a))
}

// AddAccount makes a user and a group of that name, so that files can belong
// to it.
func (m *Machine) AddAccount(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts[name] = true
}

// SetKernel sets a value below /proc or /sys, and makes it where there is
// none.
func (m *Machine) SetKernel(name, value string) {
	if !underKernel(name) {
		panic("fake: " + name + " is no kernel value")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kernel[path.Clean(name)] = value
}

// LinkKernel makes or replaces a symlink below /proc or /sys.
func (m *Machine) LinkKernel(name, target string) {
	if !underKernel(name) {
		panic("fake: " + name + " is no kernel link")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kernelLinks[path.Clean(name)] = target
}

// RemoveKernel removes a kernel value or link, if it is there.
func (m *Machine) RemoveKernel(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kernel, path.Clean(name))
	delete(m.kernelLinks, path.Clean(name))
}

// KernelValue returns a kernel value, and whether there is one.
func (m *Machine) KernelValue(name string) (value string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok = m.kernel[path.Clean(name)]
	return value, ok
}
