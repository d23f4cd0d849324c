package fake

import (
	"context"
	"path"

	"weft/engine/host"
)

// SetSpace says how much room the file system mounted at a path has.
func (m *Machine) SetSpace(mount string, s host.Space) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[path.Clean(mount)] = s
}

// disks is the door to the file systems.
type disks struct{ m *Machine }

func (d disks) Space(ctx context.Context, name string) (host.Space, error) {
	if err := ctx.Err(); err != nil {
		return host.Space{}, err
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	real, _, err := d.m.files.find(name, follow)
	if err != nil {
		return host.Space{}, pathError("statfs", name, err)
	}
	for {
		if s, mounted := d.m.disks[real]; mounted || real == "/" {
			return s, nil
		}
		real = path.Dir(real)
	}
}
