package libvirt

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
)

// start starts a domain. Where its emulator was denied something, the error says
// who denied it: libvirtd tells of the path alone, and the operator tries one after
// the other of qemu's user, the rights of directories, SELinux and AppArmor.
func start(ctx context.Context, h host.Host, name string) error {
	err := h.Libvirt.Order(ctx, host.VirtualStart, host.VirtualDomain, name)
	var refused *host.LibvirtError
	if !errors.As(err, &refused) || !strings.Contains(strings.ToLower(refused.Said), "permission denied") {
		return err
	}
	return fmt.Errorf("%w; %s", err, denied(ctx, h.View(), refused.Said))
}

// deniedPath is a path in a sentence.
var deniedPath = regexp.MustCompile(`/[^\s'",:()]+`)

// denied says who denied what libvirtd's sentence names, as far as the host tells.
func denied(ctx context.Context, v host.View, said string) string {
	at := strings.Index(strings.ToLower(said), "permission denied")
	paths := deniedPath.FindAllString(said[:at], -1)
	if len(paths) == 0 {
		paths = deniedPath.FindAllString(said[at:], -1)
	}
	if len(paths) == 0 {
		return "look at /var/log/libvirt/qemu and at `journalctl -k` for what was denied"
	}
	where := path.Clean(paths[len(paths)-1])
	who := emulatorUser(ctx, v)
	if why := who.kept(ctx, v, where); why != "" {
		return why
	}
	if line := record(ctx, v, where); line != "" {
		return line
	}
	return fmt.Sprintf("the rights let %s in to %s, so it is %s that denies it", who, where, confinement(ctx, v))
}

// account is who the emulator runs as.
type account struct {
	user  string
	group string
	also  []string // further groups
}

func (a account) String() string { return a.user + ":" + a.group }

// emulatorUser reads qemu.conf, and where it says nothing takes the user that
// packages made: libvirt-qemu of Debian, qemu of Red Hat.
func emulatorUser(ctx context.Context, v host.View) account {
	var a account
	conf, _ := v.Files.Read(ctx, "/etc/libvirt/qemu.conf") // unreadable as absent: the defaults hold
	for line := range strings.Lines(string(conf)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.TrimPrefix(strings.Trim(strings.TrimSpace(value), `"`), "+")
		switch key = strings.TrimSpace(key); {
		case !ok:
		case key == "user":
			a.user = value
		case key == "group":
			a.group = value
		}
	}
	passwd, _ := v.Files.Read(ctx, "/etc/passwd")
	known := func(name string) bool { return strings.Contains("\n"+string(passwd), "\n"+name+":") }
	switch {
	case a.user != "":
	case known("libvirt-qemu"):
		a.user = "libvirt-qemu"
	case known("qemu"):
		a.user = "qemu"
	default:
		a.user = "root"
	}
	if a.group == "" {
		a.group = map[string]string{"libvirt-qemu": "kvm", "qemu": "qemu", "root": "root"}[a.user]
	}
	groups, _ := v.Files.Read(ctx, "/etc/group")
	for line := range strings.Lines(string(groups)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 4 && slices.Contains(strings.Split(f[3], ","), a.user) {
			a.also = append(a.also, f[0])
		}
	}
	return a
}

// may says whether the rights of a file let the account do all of what: read 4,
// write 2, enter 1. Access control lists are not looked at.
func (a account) may(f host.FileInfo, what uint32) bool {
	bits := uint32(f.Mode.Perm())
	switch {
	case a.user == "root":
		return true
	case f.Owner == a.user:
		bits >>= 6
	case f.Group == a.group || slices.Contains(a.also, f.Group):
		bits >>= 3
	}
	return bits&what == what
}

// kept says which directory, or file, keeps the account out; empty where none does.
func (a account) kept(ctx context.Context, v host.View, where string) string {
	describe := func(name string, f host.FileInfo) string {
		return fmt.Sprintf("the emulator runs as %s (user and group of /etc/libvirt/qemu.conf), and %s belongs to %s:%s with mode %04o", a, name, f.Owner, f.Group, f.Mode.Perm())
	}
	var dirs []string
	for dir := path.Dir(where); ; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == "/" {
			break
		}
	}
	slices.Reverse(dirs)
	for _, dir := range dirs {
		f, err := v.Files.Stat(ctx, dir)
		switch {
		case err != nil:
			return ""
		case f.Type == host.Directory && !a.may(f, 1):
			return describe(dir, f) + ": it cannot enter"
		}
	}
	f, err := v.Files.Stat(ctx, where)
	if err == nil && f.Type != host.Symlink && !a.may(f, 6) {
		return describe(where, f) + ": it cannot both read and write it"
	}
	parent, failed := v.Files.Stat(ctx, path.Dir(where))
	if err != nil && failed == nil && !a.may(parent, 3) {
		return describe(path.Dir(where), parent) + ": it can make no socket there (a step directory with owner and group)"
	}
	return ""
}

// record is the line in which SELinux or AppArmor noted that it denied the path.
func record(ctx context.Context, v host.View, where string) string {
	for _, query := range [][]string{
		{"journalctl", "-k", "-n", "300", "--no-pager", "-o", "cat"}, // AppArmor, and SELinux without auditd
		{"tail", "-n", "300", "/var/log/audit/audit.log"},
	} {
		r, err := v.Commands.Query(ctx, host.Command{Argv: query})
		if err != nil {
			continue
		}
		lines := slices.Collect(strings.Lines(string(r.Stdout)))
		for _, line := range slices.Backward(lines) {
			line = strings.TrimSpace(line)
			if !strings.Contains(line, where) && !strings.Contains(line, `name="`+path.Base(where)+`"`) {
				continue
			}
			switch {
			case strings.Contains(line, `apparmor="DENIED"`):
				return "AppArmor denies it: allow the path to guests in /etc/apparmor.d/local/abstractions/libvirt-qemu; it said: " + line
			case strings.Contains(line, "avc:") && strings.Contains(line, "denied"):
				return "SELinux denies it: give the path a type that guests may use (svirt_image_t, or virt_var_run_t for sockets); it said: " + line
			}
		}
	}
	return ""
}

// confinement is which of the two is at work.
func confinement(ctx context.Context, v host.View) string {
	enforce, err := v.Kernel.Get(ctx, "/sys/fs/selinux/enforce")
	if err == nil && strings.TrimSpace(enforce) == "1" {
		return "SELinux, which is enforcing (ausearch -m avc -ts recent)"
	}
	on, err := v.Kernel.Get(ctx, "/sys/module/apparmor/parameters/enabled")
	if err == nil && strings.TrimSpace(on) == "Y" {
		return "AppArmor, which confines each guest (journalctl -k -g DENIED)"
	}
	return "neither SELinux nor AppArmor, for none is at work: an access control list (getfacl), or the mount,"
}
