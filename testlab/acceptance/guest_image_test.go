package acceptance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// guestImage puts a guest into /srv/guest of the scenario's hosts: a kernel of
// Debian for clouds, and an initrd of busybox that boots within seconds.
func guestImage(t *testing.T, s scenario) {
	t.Helper()
	parts := t.TempDir()
	makeGuest(t, parts)
	for _, host := range s.hosts {
		archive := exec.Command("tar", "-C", parts, "-cf", "-", "vmlinuz", "initrd")
		unpack := command(t.Context(), t, "lab", "ssh", "-i", s.inventory, host, "--", "mkdir -p /srv/guest && tar --no-same-owner -C /srv/guest -xf -")
		var err error
		if unpack.Stdin, err = archive.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
		if err := archive.Start(); err != nil {
			t.Fatal(err)
		}
		if out, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("put the guest on %s: %v: %s", host, err, out)
		}
		if err := archive.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// makeGuest fetches the packages into a directory and makes vmlinuz and initrd of
// them.
func makeGuest(t *testing.T, dir string) {
	t.Helper()
	depends, err := exec.Command("apt-cache", "depends", "linux-image-cloud-amd64").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(string(depends), "Depends: ")
	name, _, _ = strings.Cut(name, "\n")
	for _, p := range []string{"busybox-static", name} {
		fetch := exec.Command("sh", "-ec", `apt-get -qq download "$0" && dpkg-deb -x "$0"_*.deb .`, p)
		fetch.Dir = dir
		if out, err := fetch.CombinedOutput(); err != nil {
			t.Fatalf("fetch %s: %v: %s", p, err, out)
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the package %s has the kernels %q (%v)", name, found, err)
	}
	if err := os.Rename(found[0], filepath.Join(dir, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(initrdOf(t, dir)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "initrd"), packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// initrdOf is the archive of busybox, the modules that a guest needs, and its
// first process.
func initrdOf(t *testing.T, dir string) []byte {
	t.Helper()
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	modules := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "lib/modules"), func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			modules[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var c cpio
	for _, d := range []string{"bin", "dev", "lib", "proc", "sys"} {
		c.add(d, 0o40755, nil)
	}
	c.add("bin/busybox", 0o100755, read(filepath.Join(dir, "bin/busybox")))
	c.add("init", 0o100755, read(filepath.Join(root(t), "testlab/acceptance/testdata/guest-init")))
	var order []string
	var need func(name string)
	need = func(name string) {
		path, there := modules[name]
		if !there || slices.Contains(order, name) {
			return // built in, or in already
		}
		b := read(path)
		for _, other := range strings.FieldsFunc(moduleDepends(b), func(r rune) bool { return r == ',' }) {
			need(strings.ReplaceAll(other, "-", "_"))
		}
		order = append(order, name)
		c.add("lib/"+name+".ko", 0o100644, b)
	}
	for _, name := range []string{"virtio_pci", "virtio_net", "8021q", "evdev", "button"} {
		need(name)
	}
	c.add("modules", 0o100644, []byte(strings.Join(order, "\n")+"\n"))
	c.add("TRAILER!!!", 0, nil)
	return c.Bytes()
}

// moduleDepends is what a kernel module says that it needs.
func moduleDepends(module []byte) string {
	_, rest, _ := bytes.Cut(module, []byte("\x00depends="))
	names, _, _ := bytes.Cut(rest, []byte{0})
	return string(names)
}

// cpio is an archive in the format that the kernel unpacks, see
// initramfs-buffer-format of its documentation.
type cpio struct {
	bytes.Buffer
	files int
}

func (c *cpio) add(name string, mode int, content []byte) {
	c.files++
	fmt.Fprintf(c, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.files, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	c.Write(make([]byte, -c.Len()&3))
	c.Write(content)
	c.Write(make([]byte, -c.Len()&3))
}
