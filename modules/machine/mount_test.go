package machine

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const lawMount = "/mnt/" + steptest.Prefix

func withMounts() *fake.Machine {
	m := fake.New()
	m.AddMounts()
	return m
}

// mountedBy mounts as another hand does, at a directory that it makes.
func mountedBy(name string, argv ...string) steptest.Hand {
	argv = append(argv, lawMount)
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { m.Mkdir(lawMount); m.Mount(argv...) },
		Host: sequence(steptest.Run("mkdir", "-p", lawMount), steptest.Run(append([]string{"mount"}, argv...)...)),
	}
}

// lined appends a line to fstab.
func lined(name, line string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { text, _ := m.File(fstabPath); m.WriteFile(fstabPath, text+line) },
		Host: []host.Command{{Argv: []string{"tee", "-a", fstabPath}, Stdin: []byte(line)}},
	}
}

// sedded replaces a text in fstab.
func sedded(name, from, to string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) {
			text, _ := m.File(fstabPath)
			m.WriteFile(fstabPath, strings.ReplaceAll(text, from, to))
		},
		Host: steptest.Run("sed", "-i", "s|"+from+"|"+to+"|", fstabPath),
	}
}

func both(a, b steptest.Hand) steptest.Hand {
	return steptest.Hand{Name: a.Name, Fake: together(a.Fake, b.Fake), Host: sequence(a.Host, b.Host)}
}

func TestMountLaws(t *testing.T) {
	whole := MountSpec{Path: lawMount, Source: "weft-laws", Type: "tmpfs", Options: []string{"size=4M", "noexec", "mode=0750"}, Dump: 1, Pass: 2, Persistent: true}
	line := "weft-laws " + lawMount + " tmpfs size=4M,noexec,mode=0750 1 2"
	unmounted := steptest.Hand{Name: "source", Fake: func(m *fake.Machine) { m.Unmount(lawMount) }, Host: steptest.Run("umount", lawMount)}
	gone := sedded("persistent", line, "")
	laws(t, steptest.Subject{
		Kind:    mountKind(),
		Machine: withMounts,
		Found: []steptest.Hand{
			{Name: "absent"},
			mountedBy("mounted otherwise", "-t", "tmpfs", "-o", "size=8M,nosuid", "none"),
			lined("in fstab alone", "none\t"+lawMount+"\ttmpfs\tsize=1G # no end"),
			both(mountedBy("another file system", "-t", "ramfs", "-o", "rw", "none"), lined("", "none "+lawMount+" ramfs defaults 0 0\n# after\n")),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: whole,
				Drift: []steptest.Hand{
					unmounted, gone,
					both(steptest.Hand{Name: "state", Fake: unmounted.Fake, Host: unmounted.Host}, gone),
					sedded("source", "weft-laws ", "other "),
					sedded("type", "tmpfs", "ramfs"),
					both(steptest.Hand{Name: "type", Fake: unmounted.Fake, Host: unmounted.Host}, mountedBy("", "-t", "ramfs", "-o", "noexec", "none")),
					sedded("options", "size=4M,", "size=8M,"),
					mountRemounted("options", "remount,size=4M,mode=0750,ro"),
					mountRemounted("options", "remount,size=9M,noexec,mode=0750"),
					sedded("dump", " 1 2", " 0 2"),
					sedded("pass", " 1 2", " 1 0"),
				},
				Spellings: []steptest.Hand{
					sedded("blanks and order", line, "weft-laws"+"\t"+lawMount+"\ttmpfs\tdefaults,mode=0750,relatime,size=4096k,noexec,auto\t1 2"),
				},
			},
			{Name: "options left out", Spec: MountSpec{Path: lawMount, Source: "tmpfs", Type: "tmpfs", Persistent: true}},
			{Name: "now alone", Spec: MountSpec{Path: lawMount, Source: "tmpfs", Type: "tmpfs", Options: []string{"defaults"}}},
			{
				Name: "absent", Spec: MountSpec{Path: lawMount, State: step.Absent},
				Drift: []steptest.Hand{both(steptest.Hand{Name: "state", Fake: func(*fake.Machine) {}}, mountedBy("", "-t", "tmpfs", "-o", "rw", "none"))},
			},
		},
		Touches: steptest.Touches{
			Files:   []string{fstabPath, lawMount},
			Queries: []host.Command{{Argv: []string{"findmnt", "-n", "-o", "TARGET,SOURCE,FSTYPE,OPTIONS", lawMount}}},
		},
		Clean: sequence(
			steptest.Run("umount", lawMount), steptest.Run("rmdir", lawMount), typed(fstabPath, "# /etc/fstab: static file system information.\n"),
			steptest.Run("systemctl", "daemon-reload"),
		),
	})
}

func mountRemounted(name, options string) steptest.Hand {
	return mountedBy(name, "-t", "tmpfs", "-o", options, "weft-laws")
}

func TestMountRefuses(t *testing.T) {
	huge := MountSpec{Path: "/mnt/huge", Source: "none", Type: "hugetlbfs"}
	for _, tt := range []struct {
		name    string
		arrange func(m *fake.Machine)
		spec    MountSpec
		says    string
		notYet  bool
	}{
		{
			name: "a unit", arrange: wrote("/usr/lib/systemd/system/dev-huge\\x2dpages.mount", "[Mount]\nWhere=/dev/huge-pages\n"),
			spec: MountSpec{Path: "/dev/huge-pages", Source: "x", Type: "hugetlbfs"}, says: "/dev-huge\\x2dpages.mount) mounts it",
		},
		{name: "two lines", arrange: wrote(fstabPath, "a /mnt/huge tmpfs\nb /mnt/huge tmpfs\n"), spec: huge, says: "several lines"},
		{
			name: "two mounts", spec: huge, says: "2 file systems are mounted there",
			arrange: func(m *fake.Machine) {
				m.Mkdir("/mnt/huge")
				m.Mount("-t", "tmpfs", "-o", "rw", "a", "/mnt/huge")
				m.Mount("-t", "tmpfs", "-o", "rw", "a", "/mnt/huge")
			},
		},
		{name: "no parent", spec: MountSpec{Path: "/srv/a/b", Source: "none", Type: "tmpfs"}, says: "/srv/a is not there either", notYet: true},
		{name: "a link", arrange: func(m *fake.Machine) { m.Symlink("/mnt/huge", "/dev/shm") }, spec: huge, says: "symlink to /dev/shm"},
		{name: "a file", arrange: wrote("/mnt/huge", ""), spec: huge, says: "not a directory"},
	} {
		m := withMounts()
		if tt.arrange != nil {
			tt.arrange(m)
		}
		_, err := checked(t, mountKind(), m, tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, step.ErrNotYet) != tt.notYet {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for want, spec := range map[string]MountSpec{
		"path":    {Path: "/mnt/", Source: "a", Type: "tmpfs"},
		"source":  {Path: "/mnt/x", Type: "tmpfs"},
		"type":    {Path: "/mnt/x", Source: "a", Type: "none"},
		"options": {Path: "/mnt/x", Source: "a", Type: "tmpfs", Options: []string{"a,b"}},
		"pass":    {Path: "/mnt/x", Source: "a", Type: "tmpfs", Pass: -1},
		"":        {Path: "/mnt/x", State: step.Absent},
	} {
		if got := problem(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

// TestMountOfPagesThatDoNotFollow: hugetlbfs keeps its size of pages over a
// remount, and is mounted anew.
func TestMountOfPagesThatDoNotFollow(t *testing.T) {
	m := withMounts()
	m.Mkdir("/mnt/huge")
	m.Mount("-t", "hugetlbfs", "-o", "rw", "none", "/mnt/huge")
	before := m.Snapshot()
	s := made(t, mountKind(), MountSpec{Path: "/mnt/huge", Source: "hugetlbfs", Type: "hugetlbfs", Options: []string{"pagesize=1GB"}, Persistent: true})
	f := applied(t, m, s)
	if table, _ := m.KernelValue("/proc/self/mountinfo"); !strings.Contains(table, "pagesize=1024M") {
		t.Errorf("%s", table)
	}
	if after, err := s.Check(t.Context(), m.Host().View()); err != nil || after.Changed() {
		t.Errorf("%+v, %v", after.Deltas, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil || !slices.Equal(strings.Fields(before), strings.Fields(m.Snapshot())) {
		t.Errorf("%v\n%s", err, m.Snapshot())
	}
}

func TestMountInUse(t *testing.T) {
	m := withMounts()
	m.Mkdir("/mnt/huge")
	m.Mount("-t", "tmpfs", "-o", "rw", "none", "/mnt/huge")
	m.LinkKernel("/proc/4711/cwd", "/mnt/huge/a")
	m.SetKernel("/proc/4711/comm", "qemu-system-x86\n")
	m.LinkKernel("/proc/12/cwd", "/mnt/hugely")
	s := made(t, mountKind(), MountSpec{Path: "/mnt/huge", State: step.Absent})
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "the files in the tmpfs at /mnt/huge are lost") {
		t.Errorf("%q, %v", f.Warnings, err)
	}
	err = s.Apply(t.Context(), m.Host(), f)
	if err == nil || !strings.Contains(err.Error(), "in use by qemu-system-x86 (4711); stop") {
		t.Errorf("%v", err)
	}
}

// TestMountByUUID: the kernel shows the device, fstab the UUID.
func TestMountByUUID(t *testing.T) {
	m := withMounts()
	m.Mkdir("/srv")
	m.Symlink("/dev/disk/by-uuid/12-34", "../../vdb1")
	m.Special("/dev/vdb1")
	m.Mount("-t", "ext4", "-o", "rw", "/dev/vdb1", "/srv")
	m.WriteFile(fstabPath, "UUID=12-34 /srv ext4 defaults 0 2\n")
	f, err := checked(t, mountKind(), m, MountSpec{Path: "/srv", Source: "UUID=12-34", Type: "ext4", Options: []string{"errors=continue"}, Pass: 2, Persistent: true})
	if err != nil || len(f.Deltas) != 1 || f.Deltas[0].Path != "options.boot" {
		t.Errorf("%+v, %v", f.Deltas, err)
	}
}

func TestMountUnit(t *testing.T) {
	for point, want := range map[string]string{"/mnt/huge_1G": "mnt-huge_1G.mount", "/a-b/.c": `a\x2db-.c.mount`, "/.x": `\x2ex.mount`} {
		if got := mountUnit(point); got != want {
			t.Errorf("%s is %s, want %s", point, got, want)
		}
	}
}

func FuzzFstab(f *testing.F) {
	f.Add("# c\nUUID=1 / ext4 defaults 0 1\nnone\t/mnt/x\\040y\ttmpfs\tsize=1M", "/mnt/x y", "hugetlbfs")
	f.Add("a b c", "b", "#")
	f.Fuzz(func(t *testing.T, text, point, source string) {
		if spec := (MountSpec{Path: point, Source: source, Type: "tmpfs"}); problem(&spec) != "" {
			return
		}
		p := fstabPortion(point)
		want := fstabEntry{source: source, point: point, fsType: "tmpfs", options: []string{"ro"}, dump: 1, pass: 2}
		set := p.with(text, step.Is(want.line()))
		line, err := fstabLine(set, point)
		if got, ok := parseFstab(line.Or("")); err != nil || !ok || got.line() != want.line() || got.source != source {
			t.Fatalf("set %+v, read %+v, %v in %q", want, got, err, set)
		}
		if left := p.value(p.with(set, step.None[string]())); !left.Absent() {
			t.Fatalf("it is still in %q", set)
		}
	})
}

func FuzzMountOptions(f *testing.F) {
	f.Add("rw,relatime", "size=4096k,mode=750", "defaults,size=4M,mode=0750")
	f.Add("", "pagesize=99999999999999999G", "pagesize=T")
	f.Fuzz(func(t *testing.T, flags, super, asked string) {
		m := mounted{fsType: "tmpfs", flags: strings.Split(flags, ","), super: strings.Split(super, ",")}
		list := strings.Split(asked, ",")
		_ = m.satisfied(list)
		if !sameOptions(list, append(slices.Clone(list), "auto")) {
			t.Errorf("%q differs from itself", asked)
		}
	})
}

func TestMountOptionsThatMeanTheSame(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"defaults", "rw,relatime,suid,dev,exec,async,auto", true},
		{"user", "user,noexec,nosuid,nodev", true},
		{"user,exec", "user,nosuid,nodev,exec", true},
		{"user", "user,exec", false},
		{"pagesize=1G", "pagesize=1024M", true},
		{"pagesize=1GB,rw", "pagesize=1G", true},
		{"noatime", "relatime", false},
		{"nofail", "", false},
	} {
		if sameOptions(strings.Split(tt.a, ","), strings.Split(tt.b, ",")) != tt.same {
			t.Errorf("%s and %s", tt.a, tt.b)
		}
	}
}
