package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
)

// place is where a machine's GRUB has its files, and what writes them.
type place struct {
	config string // grub.cfg
	env    string // the environment block
	// generate writes config from the defaults.
	generate []string
	once     string // the program that orders a one-shot entry
	editEnv  string // the program that edits the environment block
	// variable is where new arguments go.
	variable string
	// entries is the directory of entries where grub.cfg has none itself.
	entries string
}

func (p place) custom() string { return path.Join(path.Dir(p.config), "custom.cfg") }

// errNoGRUB says that no boot loader was found that weft knows.
var errNoGRUB = errors.New("no configuration of GRUB was found (looked at /boot/grub/grub.cfg, /boot/grub2/grub.cfg and /boot/efi/EFI/*/grub.cfg); kernel_cmdline knows GRUB alone")

// findPlace finds GRUB's files.
func findPlace(ctx context.Context, v host.View) (place, string, error) {
	const debian = "/boot/grub/grub.cfg"
	text, err := v.Files.Read(ctx, debian)
	if err == nil {
		return place{
			config: debian, env: "/boot/grub/grubenv", generate: []string{"update-grub"},
			once: "grub-reboot", editEnv: "grub-editenv", variable: normalEntry,
		}, string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return place{}, "", err
	}
	configs := []string{"/boot/grub2/grub.cfg"}
	vendors, err := v.Files.List(ctx, "/boot/efi/EFI")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return place{}, "", err
	}
	for _, vendor := range vendors {
		configs = append(configs, path.Join("/boot/efi/EFI", vendor, "grub.cfg"))
	}
	for _, config := range configs {
		text, err := v.Files.Read(ctx, config)
		if errors.Is(err, fs.ErrNotExist) || err == nil && isStub(string(text)) {
			continue
		}
		if err != nil {
			return place{}, "", err
		}
		p := place{
			config: config, env: path.Join(path.Dir(config), "grubenv"), generate: []string{"grub2-mkconfig", "-o", config},
			once: "grub2-reboot", editEnv: "grub2-editenv", variable: everyEntry,
		}
		if callsBLS(string(text)) {
			p.entries, p.generate = blsDir, nil
		}
		return p, string(text), nil
	}
	for _, other := range []string{"/boot/loader/loader.conf", "/boot/efi/loader/loader.conf", "/efi/loader/loader.conf"} {
		if _, err := v.Files.Stat(ctx, other); err == nil {
			return place{}, "", fmt.Errorf("%s says that systemd-boot starts this machine, and kernel_cmdline knows GRUB alone: set the arguments in /etc/kernel/cmdline by hand, and run kernel-install", other)
		}
	}
	return place{}, "", errNoGRUB
}

// isStub says whether a grub.cfg only leads to another.
func isStub(text string) bool {
	return !strings.Contains(text, "menuentry") && !callsBLS(text)
}

// callsBLS says whether the menu is made of the files in blsDir.
func callsBLS(text string) bool {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == "blscfg" {
			return true
		}
	}
	return false
}

// noOneShot says why GRUB would not take, or not forget, a one-shot entry;
// empty where it does both.
func noOneShot(ctx context.Context, v host.View, p place, m menu) (string, error) {
	switch {
	case !m.oneShot:
		return p.config + " does not read a one-shot entry (next_entry)", nil
	case p.entries == "" && !m.custom:
		return p.config + " does not read " + p.custom() + "; make /etc/grub.d/41_custom executable and run " + strings.Join(p.generate, " "), nil
	}
	block, err := v.Files.Read(ctx, p.env)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// grub-editenv makes it.
	case err != nil:
		return "", err
	default:
		if _, err := readEnv(block); err != nil {
			return fmt.Sprintf("%s is damaged: %v; make it anew: %s %[1]s create", p.env, err, p.editEnv), nil
		}
	}
	return unwritable(ctx, v, path.Dir(p.env))
}

// unwritable says why GRUB cannot write to the file system of a directory. It
// has drivers that only read for what has no fixed blocks (btrfs, ZFS), and for
// what spreads a block over several disks (LVM, RAID): grub-mkconfig asks for
// the same two before it uses the environment block.
func unwritable(ctx context.Context, v host.View, dir string) (string, error) {
	text, err := v.Kernel.Get(ctx, "/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	m, ok := mountOf(readMounts(text), dir)
	if !ok {
		return "it is unknown what " + dir + " lies on", nil
	}
	because := func(what string) string { return fmt.Sprintf("%s lies on %s, and GRUB cannot write there", dir, what) }
	if slices.Contains([]string{"btrfs", "zfs", "squashfs", "overlay", "tmpfs", "nfs", "nfs4"}, m.fsType) || strings.HasPrefix(m.device, "0:") {
		return because(m.fsType), nil
	}
	block := "/sys/dev/block/" + m.device
	uuid, err := v.Kernel.Get(ctx, block+"/dm/uuid")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	switch {
	case strings.HasPrefix(uuid, "LVM-"):
		return because("LVM (" + m.source + ")"), nil
	case strings.HasPrefix(uuid, "CRYPT-"):
		return because("an encrypted device (" + m.source + ")"), nil
	}
	for _, raid := range []string{block + "/md/level", block + "/../md/level"} { // itself, or the disk it is a partition of
		level, err := v.Kernel.Get(ctx, raid)
		if err == nil {
			return because("RAID (" + m.source + ", " + level + ")"), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}
