package netconf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"weft/engine/host"
)

// Keeper is the owner of a link that is to be kept by a family. NetworkManager that
// was only just started has not come to the link yet.
func Keeper(ctx context.Context, v host.View, l host.Link, family string) (string, error) {
	daemon, err := Owner(ctx, v, l)
	if daemon != "" || err != nil || l.Name == "" || Family(family) != NetworkManager {
		return daemon, err
	}
	if _, err := v.Files.Stat(ctx, fmt.Sprintf(managedFile, l.Index)); !errors.Is(err, fs.ErrNotExist) {
		return "", err // which says that it leaves the link alone
	}
	if unit, err := v.Units.Unit(ctx, managerUnit); err != nil || unit.ActiveState != "active" {
		return "", nil
	}
	return NetworkManagerDaemon, nil
}

// What NetworkManager says of links that it has come to, by index; see
// NetworkManager(8).
const (
	managerUnit = "NetworkManager.service"
	managedFile = "/run/NetworkManager/devices/%d"
)

// Owner names the daemon that configures a link by itself and would undo what
// another does; empty where there is none, or no link.
func Owner(ctx context.Context, v host.View, l host.Link) (string, error) {
	if l.Name == "" {
		return "", nil
	}
	for _, o := range []struct{ unit, name, file, managed, unless string }{
		{"systemd-networkd.service", NetworkdDaemon, "/run/systemd/netif/links/%d", "ADMIN_STATE=", "ADMIN_STATE=unmanaged"},
		{managerUnit, NetworkManagerDaemon, managedFile, "managed=true", ""},
	} {
		b, err := v.Files.Read(ctx, fmt.Sprintf(o.file, l.Index))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		says := func(want string) bool {
			for line := range strings.Lines(string(b)) {
				if want != "" && strings.HasPrefix(strings.TrimSpace(line), want) {
					return true
				}
			}
			return false
		}
		if !says(o.managed) || says(o.unless) {
			continue
		}
		if unit, err := v.Units.Unit(ctx, o.unit); err != nil || unit.ActiveState != "active" {
			continue // what it left behind
		}
		return o.name, nil
	}
	return "", nil
}
