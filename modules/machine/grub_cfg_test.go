package machine

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/engine/host/trial"
)

func ubuntu(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/ubuntu-grub.cfg")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadMenu(t *testing.T) {
	m := readMenu(ubuntu(t))
	if !m.oneShot || !m.custom || m.preset != "1>2" || len(m.entries) != 4 {
		t.Fatalf("%+v", m)
	}
	first := m.entries[0]
	if first.id != "gnulinux-simple-6c8f" || first.title != "Ubuntu" || first.kernel != "/boot/vmlinuz-5.15.0-91-generic" {
		t.Errorf("%+v", first)
	}
	if want := []string{"--class", "ubuntu", "--class", "gnu-linux", "--unrestricted"}; !slices.Equal(first.options, want) {
		t.Errorf("options %q", first.options)
	}
	if got := words(first.arguments()); !slices.Equal(got, []string{"root=UUID=6c8f", "ro", "quiet", "splash", "?$vt_handoff"}) {
		t.Errorf("arguments %q", got)
	}
	const old = "gnulinux-5.15.0-89-generic-advanced-6c8f"
	for preset, want := range map[string]string{
		"1>2": old, "0": first.id, "gnulinux-advanced-6c8f>" + old: old, "1": "gnulinux-5.15.0-91-generic-advanced-6c8f",
		"Advanced options for Ubuntu>Ubuntu, with Linux 5.15.0-89-generic": old, "${saved_entry}": old, "nonsense": first.id,
	} {
		m.preset = preset
		if e, ok := m.chosen("1>2"); !ok || e.id != want {
			t.Errorf("%s chooses %s, want %s", preset, e.id, want)
		}
	}
	if e, _ := m.running("(hd0,gpt2)/vmlinuz-5.15.0-89-generic", ""); e.id != old {
		t.Errorf("the kernel that runs is %s", e.id)
	}
	if !m.entries[2].recovery() || m.entries[1].recovery() {
		t.Error("which entry is for recovery?")
	}
	for text, want := range map[string]bool{
		strings.Replace(ubuntu(t), "save_env next_entry", "", 1): false, ubuntu(t): true,
	} {
		if got := readMenu(text).oneShot; got != want {
			t.Errorf("a one-shot entry is taken: %t", got)
		}
	}
	if _, ok := readMenu("menuentry 'memory test' {\n linux16 /m\n}\n").chosen(""); ok != true {
		t.Error("linux16 is a kernel, too")
	}
	if _, ok := (menu{}).chosen(""); ok {
		t.Error("an entry of an empty menu")
	}
}

// TestBlock: the trial's entry is the running kernel's, with the arguments in
// their place, and GRUB takes it.
func TestBlock(t *testing.T) {
	b := boots{menu: readMenu(ubuntu(t)), image: "/boot/vmlinuz-5.15.0-89-generic", place: place{variable: normalEntry}}
	b.stores = stores{{Path: defaultsFile, Text: "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash unseen=1\"\n", Format: shellVariables}}
	s := trial.State{ID: "7", Parts: []trial.Part{
		newPart("a", ask("hugepages=4", "splash"), trial.Part{Confirm: time.Minute}),
		newPart("b", ask("memmap=64G$4G", ""), trial.Part{Confirm: time.Minute}),
	}}
	text, err := b.block(s, blockBegin)
	if err != nil {
		t.Fatal(err)
	}
	m := readMenu(text)
	if len(m.entries) != 1 || m.entries[0].id != trial.Entry || m.entries[0].kernel != b.image {
		t.Fatalf("%s\n%+v", text, m)
	}
	want := append([]string{"root=UUID=6c8f", "ro", "quiet", "?$vt_handoff", "unseen=1", "hugepages=4", "memmap=64G$4G"}, trial.Arguments("7")...)
	if got := words(m.entries[0].arguments()); !slices.Equal(got, want) {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if rest, found, alone := withoutBlock(text + "# mine"); rest != "# mine" || !found || alone {
		t.Errorf("%q %t %t", rest, found, alone)
	}
	check, err := exec.LookPath("grub-script-check")
	if err != nil {
		t.Skip("grub-script-check is not installed (package grub-common)")
	}
	file := filepath.Join(t.TempDir(), "custom.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), check, file).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", out, err, text)
	}
}

func FuzzMenu(f *testing.F) {
	f.Add(ubuntu(f))
	f.Add("submenu x {\nmenuentry y {\n linux z\n}\n}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		m := readMenu(text)
		for _, e := range m.entries {
			if e.from > e.to || e.to > len(e.body) || len(e.path) == 0 {
				t.Fatalf("%+v", e)
			}
			e.arguments()
			e.recovery()
		}
		m.chosen("0")
		m.running("x", "")
	})
}

func TestReadEnv(t *testing.T) {
	block := []byte(envHeader + "next_entry=weft\\\\x\nkernelopts=root=a b\n")
	block = append(block, bytes.Repeat([]byte("#"), envSize-len(block))...)
	env, err := readEnv(block)
	if err != nil || env["next_entry"] != `weft\x` || env["kernelopts"] != "root=a b" || len(env) != 2 {
		t.Errorf("%q, %v", env, err)
	}
	for _, bad := range [][]byte{nil, block[1:], bytes.Repeat([]byte("#"), envSize)} {
		if _, err := readEnv(bad); err == nil {
			t.Errorf("%d bytes are no block", len(bad))
		}
	}
}

// TestReadEnvOfGRUB reads what GRUB's own program wrote.
func TestReadEnvOfGRUB(t *testing.T) {
	edit, err := exec.LookPath("grub-editenv")
	if err != nil {
		t.Skip("grub-editenv is not installed (package grub-common)")
	}
	file := filepath.Join(t.TempDir(), "grubenv")
	for _, args := range [][]string{{"create"}, {"set", `saved_entry=a\b>c`, "next_entry=" + trial.Entry}, {"unset", "next_entry"}} {
		if out, err := exec.CommandContext(t.Context(), edit, append([]string{file}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	block, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env, err := readEnv(block)
	if err != nil || len(env) != 1 || env["saved_entry"] != `a\b>c` {
		t.Errorf("%q, %v of %q", env, err, block)
	}
}

func FuzzEnv(f *testing.F) {
	f.Add("a=b\nc\\\nd=e\n#")
	f.Fuzz(func(t *testing.T, text string) {
		block := append([]byte(envHeader+text), bytes.Repeat([]byte("#"), envSize)...)[:envSize]
		if _, err := readEnv(block); err != nil && len(text) < envSize-len(envHeader) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestMounts(t *testing.T) {
	const text = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 /@boot /boot rw - btrfs /dev/sdb rw
31 22 253:0 / /srv/with\040blank rw shared:2 master:1 - xfs /dev/mapper/vg-srv rw
32 22 8:3 / /boot rw - ext4 /dev/sda3 rw
no line
`
	for path, want := range map[string]string{"/boot/grub": "8:3", "/bootx": "8:1", "/srv/with blank/x": "253:0", "/srv/with blank": "253:0", "/": "8:1"} {
		if m, ok := mountOf(readMounts(text), path); !ok || m.device != want {
			t.Errorf("%s lies on %+v, want %s", path, m, want)
		}
	}
	if _, ok := mountOf(nil, "/x"); ok {
		t.Error("nothing is mounted")
	}
}

func FuzzMounts(f *testing.F) {
	f.Add("22 1 8:1 / /a\\040b rw - ext4 /dev/sda1 rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		if all := readMounts(text); len(all) > strings.Count(text, "\n")+1 {
			t.Errorf("%q has %d mounts", text, len(all))
		}
	})
}

func FuzzBLS(f *testing.F) {
	f.Add("title x\noptions root=a quiet $tuned\n")
	f.Add("options\nlinux /x\noptions\ta=1")
	f.Fuzz(func(t *testing.T, text string) {
		s := store{Path: "x.conf", Text: text, Format: optionsLine}
		r := ask("a=1 b=2", "quiet")
		got, err := (stores{s}).edited(r, everyEntry)
		if err != nil {
			t.Fatal(err)
		}
		fragments, err := got[0].fragments()
		if err != nil {
			t.Fatal(err)
		}
		for _, fragment := range fragments {
			if h := r.of(fragment.script.split(fragment.value)); !fragment.indirect() && !strings.ContainsAny(text, "\"\r\v\f") && !r.settles(h) {
				t.Fatalf("%q becomes %q, which has %v", text, got[0].Text, h)
			}
		}
		back, err := got[0].restored(r, s, got[0])
		if err != nil || back != s {
			t.Fatalf("%q goes back to %q, %v", text, back.Text, err)
		}
	})
}

func FuzzKernelWords(f *testing.F) {
	f.Add(`BOOT_IMAGE=/x quiet dyndbg="file a +p" -- "b c`)
	f.Fuzz(func(t *testing.T, line string) {
		at := 0
		for _, w := range kernelWords(line) {
			if w.from < at || w.to <= w.from || w.to > len(line) {
				t.Fatalf("%q: a word at %d to %d, after one that ends at %d", line, w.from, w.to, at)
			}
			at = w.to
		}
		ask("a=1", "b").of(kernelWords(line))
		stripTrial(kernelWords(line))
	})
}
