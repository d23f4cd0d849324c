package testlab

import (
	_ "embed" // for the guest's own programs and units
	"slices"
)

// diskRecipe is all that decides what the disk of a virtual machine holds before its first boot.
type diskRecipe struct {
	Version int // of the code that follows the recipe, as in imageRecipe
	Root    imageRecipe
	Size    int64    // bytes of the disk; what nobody wrote takes no room
	Modules []string // for the initramfs: what it takes to find the root file system
}

func (r diskRecipe) key() string { return r.Root.Release.Image + "-" + recipeDigest(r) }

const (
	diskBytes      = 12 << 30
	partitionStart = 1 << 20  // bytes; before it lies the boot loader for a BIOS
	espBytes       = 64 << 20 // of the EFI system partition, at the end of the disk
)

// nameNICPath is the program in the guest that gives a network card its name.
const nameNICPath = "/usr/local/lib/weft-lab/name-nic"

//go:embed guest/personalise
var guestPersonalise string

//go:embed guest/weft-lab-personalise.service
var guestPersonaliseService string

// finishPath is the program in the guest that ends the building of its disk.
const finishPath = "/usr/local/lib/weft-lab/finish"

//go:embed guest/finish
var guestFinish string

//go:embed guest/name-nic
var guestNameNIC string

//go:embed guest/srv-repository.mount
var guestRepositoryMount string

//go:embed guest/srv-repository.automount
var guestRepositoryAutomount string

//go:embed guest/boot-efi.mount
var guestESPMount string

// newDiskRecipe is the image of namespaced hosts with what a machine needs that has its own kernel.
func newDiskRecipe(r release, sources []source) diskRecipe {
	root := newImageRecipe(r, sources)
	root.Packages = append(slices.Clone(root.Packages), r.kernelPackage(), "grub-pc", "grub-efi-amd64-bin", "dosfstools",
		"initramfs-tools", "zstd", "udev", "kmod", "pciutils")
	const units = "/etc/systemd/system/"
	for path, content := range map[string]string{
		"/etc/fstab":      "/dev/vda1 / ext4 errors=remount-ro 0 1\n",
		"/etc/hostname":   "generic\n",
		"/etc/hosts":      renderHosts("generic"),
		"/etc/machine-id": "0123456789abcdef0123456789abcdef\n", // with none, systemd would take the boot for the very first
		"/etc/default/grub": "GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\n" +
			// An emulated timer that has to wait for this machine looks broken to a kernel that tests it, and it panics.
			"GRUB_CMDLINE_LINUX=\"console=ttyS0,115200 no_timer_check\"\nGRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND=\"serial --speed=115200\"\n" +
			"GRUB_DISABLE_OS_PROBER=true\n",
		"/etc/initramfs-tools/conf.d/lab":       "MODULES=list\n",
		"/usr/local/lib/weft-lab/personalise":   guestPersonalise,
		finishPath:                              guestFinish,
		nameNICPath:                             guestNameNIC,
		units + "weft-lab-personalise.service":  guestPersonaliseService,
		units + "srv-repository.mount":          guestRepositoryMount,
		units + "boot-efi.mount":                guestESPMount,
		units + "srv-repository.automount":      guestRepositoryAutomount,
		"/etc/systemd/journald.conf.d/lab.conf": "[Journal]\nSystemMaxUse=64M\n",
	} {
		root.Files[path] = content
	}
	root.Links = map[string]string{
		units + "multi-user.target.wants/weft-lab-personalise.service": units + "weft-lab-personalise.service",
		units + "local-fs.target.wants/boot-efi.mount":                 units + "boot-efi.mount",
		units + "multi-user.target.wants/srv-repository.automount":     units + "srv-repository.automount",
	}
	root.Masked = append(slices.Clone(root.Masked), "serial-getty@ttyS0.service")
	return diskRecipe{Version: 1, Root: root, Size: diskBytes,
		Modules: []string{"virtio_pci", "virtio_blk", "ext4", "crc32c_generic"}}
}
