package fake

import (
	"context"
	"maps"
	"slices"

	"weft/engine/host"
)

func (d libvirtDoor) Domains(ctx context.Context) ([]host.DomainName, error) {
	if err := d.ready(ctx, "list the domains"); err != nil {
		return nil, err
	}
	d.m.libvirt.mu.Lock()
	defer d.m.libvirt.mu.Unlock()
	domains := d.m.libvirt.objects[host.VirtualDomain]
	var all []host.DomainName
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		all = append(all, host.DomainName{Name: name, UUID: domains[name].uuid})
	}
	return all, nil
}
