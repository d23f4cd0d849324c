package testlab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// program is something the lab runs, and the package of Debian and Ubuntu that brings it.
type program struct{ Name, Package string }

func programs() []program {
	return []program{
		{"mmdebstrap", "mmdebstrap"},
		{"systemd-nspawn", "systemd-container"},
		{"apt-ftparchive", "apt-utils"},
		{"apt-get", "apt"},
		{"ethtool", "ethtool"},
		{"ssh", "openssh-client"},
	}
}

// Packages are the packages a lab needs on this machine, for apt-get install.
func Packages() []string {
	var names []string
	for _, p := range programs() {
		names = append(names, p.Package)
	}
	return names
}

// Check says what this machine lacks for a lab: all of it at once, joined into one error.
func Check(options Options) error {
	options, err := options.withDefaults()
	if err != nil {
		return err
	}
	var lacks []error
	for _, p := range programs() {
		if _, err := exec.LookPath(p.Name); err != nil {
			lacks = append(lacks, fmt.Errorf("no program %s: apt-get install %s", p.Name, p.Package))
		}
	}
	if os.Geteuid() != 0 {
		lacks = append(lacks, errors.New("not root: namespaces, mounts and bridges need it; run the command with sudo"))
		return errors.Join(lacks...) // the rest cannot be tried
	}
	if err := tryTun(); err != nil {
		lacks = append(lacks, fmt.Errorf("no /dev/net/tun, which userspace Open vSwitch needs (modprobe tun): %w", err))
	}
	if err := tryCgroups(); err != nil {
		lacks = append(lacks, fmt.Errorf("no cgroup2 to put hosts in (Linux 5.14 or later, and not inside an unprivileged container): %w", err))
	}
	if err := onThread(func() error { return tryOverlay(options.State) }); err != nil {
		lacks = append(lacks, fmt.Errorf("no overlay file system in %s (a plain disk file system is needed there, such as ext4 or xfs): %w", options.State, err))
	}
	if err := onThread(tryNetwork); err != nil {
		lacks = append(lacks, fmt.Errorf("no network namespaces with bridges and veth pairs (modprobe bridge veth): %w", err))
	}
	return errors.Join(lacks...)
}

func tryTun() error {
	tun, err := os.Open("/dev/net/tun")
	if err != nil {
		return err
	}
	return tun.Close()
}

func tryCgroups() error {
	groups, err := openCgroups()
	if err != nil {
		return err
	}
	defer groups.close()
	// No lab's name has a dot, so this meets none, and no other check.
	group := groups.at("check." + rand.Text())
	if err := group.make(); err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(string(group), "cgroup.kill"))
	return errors.Join(err, group.remove(), groups.tidy())
}

// tryOverlay mounts what a host's disk is mounted as, in a mount namespace of the calling thread.
func tryOverlay(state string) error {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(state, ".check")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	data := "volatile"
	for option, name := range map[string]string{"lowerdir": "lower", "upperdir": "upper", "workdir": "work"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		data += "," + option + "=" + path
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := unix.Mount("overlay", filepath.Join(dir, "lower"), "overlay", 0, data); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return unix.Unmount(filepath.Join(dir, "lower"), unix.MNT_DETACH)
}

// tryNetwork makes the kinds of link that a lab is made of, in a network namespace of the calling thread.
func tryNetwork() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = "bridge"
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.PeerName = "near", "far"
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	return nil
}
