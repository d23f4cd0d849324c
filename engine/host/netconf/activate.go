package netconf

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
)

// activation is how long a daemon may take to configure a device; a DHCP server
// and duplicate address detection are part of it.
const activation = 2 * time.Minute

// Activate has the daemon that owns a device configure it anew, as the files of
// a family say now, and waits until it has done so. Written are the files that
// changed.
func Activate(ctx context.Context, h host.Host, f Family, owner, device string, written []string) error {
	run := func(argv ...string) error {
		_, err := h.Commands.Run(ctx, host.Command{Argv: argv, Timeout: activation})
		return err
	}
	if f == Netplan {
		if err := run("netplan", "generate"); err != nil {
			return err
		}
	}
	if owner == NetworkdDaemon {
		if err := run("networkctl", "reload"); err != nil {
			return err
		}
		return run("networkctl", "reconfigure", device)
	}
	// One that was only just started knows neither devices nor profiles yet.
	if err := run("nm-online", "--quiet", "--wait-for-startup", "--timeout=90"); err != nil {
		return fmt.Errorf("NetworkManager did not start up; see journalctl -u NetworkManager: %w", err)
	}
	if err := load(ctx, h, f, written, run); err != nil {
		return err
	}
	files, err := f.Read(ctx, h.View())
	if err != nil {
		return err
	}
	which := f.connection(files, device)
	if which == nil {
		return nil // it has none any more, and reload took it off
	}
	if err := run(slices.Concat([]string{"nmcli", "--wait", "90", "connection", "up"}, which)...); err != nil {
		return fmt.Errorf("NetworkManager did not bring %s up; its reason is in journalctl -u NetworkManager: %w", device, err)
	}
	return nil
}

// load tells NetworkManager of files.
func load(ctx context.Context, h host.Host, f Family, written []string, run func(argv ...string) error) error {
	if f == Netplan {
		return run("nmcli", "connection", "reload")
	}
	for _, name := range written {
		there, err := exists(ctx, h.View(), name)
		if err != nil {
			return err
		}
		if !there {
			return run("nmcli", "connection", "reload")
		}
	}
	if len(written) == 0 {
		return nil
	}
	return run(slices.Concat([]string{"nmcli", "connection", "load"}, written)...)
}

// connection names the profile of a device as nmcli(1) takes it; nil where there
// is none.
func (f Family) connection(files Files, device string) []string {
	switch f {
	case NetworkManager:
		file, there := profileOf(files, device)
		if !there {
			return nil
		}
		k := parseKeys(keyfile{}, files[file])
		if master, _ := controller(k); master != "" {
			if _, made := profileWhere(files, master, func(string) bool { return true }); !made {
				return nil // nothing for it to be activated below
			}
		}
		if uuid, _ := k.get("connection", "uuid"); uuid != "" {
			return []string{"uuid", uuid}
		}
		id, _ := k.get("connection", "id")
		return []string{"id", id}
	case Scripts:
		file := scriptOf(files, device)
		if file == "" {
			return nil
		}
		k := parseKeys(shell{}, files[file])
		if uuid, _ := k.get("", "UUID"); uuid != "" {
			return []string{"uuid", uuid}
		}
		if name, _ := k.get("", "NAME"); name != "" {
			return []string{"id", name}
		}
		return []string{"id", "System " + device}
	case Netplan:
		parsed, err := parsePlans(files)
		if err != nil || !parsed.there(device) {
			return nil
		}
		return []string{"id", "netplan-" + parsed.of(device, "").id}
	}
	return nil
}

// Leases says whether files have a daemon get a device an IPv4 address by DHCP.
// A device that no file describes gets a profile that NetworkManager makes, which
// does.
func (f Family) Leases(ctx context.Context, v host.View, device string) (bool, error) {
	files, err := f.Read(ctx, v)
	if err != nil {
		return false, err
	}
	switch f {
	case NetworkManager:
		file, there := profileOf(files, device)
		method, _ := parseKeys(keyfile{}, files[file]).get("ipv4", "method")
		return !there || method == "auto", nil
	case Scripts:
		file := scriptOf(files, device)
		how, _ := parseKeys(shell{}, files[file]).get("", "BOOTPROTO")
		return file == "" || strings.EqualFold(how, "dhcp"), nil
	case Netplan:
		parsed, err := parsePlans(files)
		return parsed.leases(device), err
	}
	return false, nil
}

// leases is what the last file says of DHCP.
func (p parsedPlans) leases(device string) (on bool) {
	for _, name := range slices.SortedFunc(maps.Keys(p), byBase) {
		p[name].each(device, func(_ definition, d yamlPair) {
			if says := d.value.get("dhcp4"); says != nil {
				on = slices.Contains([]string{"true", "yes", "on", "y"}, strings.ToLower(says.text()))
			}
		})
	}
	return on
}
