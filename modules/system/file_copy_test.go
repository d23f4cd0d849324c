package system

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// built is a file of another host. It is no text.
const built = "\x7fELF built elsewhere\n\x00\xff"

// receiver is a machine to which that file comes.
func receiver() *fake.Machine {
	m := accounts()
	m.Arrive(built)
	return m
}

func copyOf(path string) FileCopy {
	return FileCopy{Path: path, Host: "h1", Source: "/srv/built", SHA256: sum(built), LimitMB: 1}
}

func TestFileCopyLaws(t *testing.T) {
	whole := copyOf(lawFile)
	whole.Owner, whole.Group, whole.Mode = step.Is("daemon"), step.Is("1"), step.Is("750")
	gone := copyOf(lawFile)
	gone.State = step.Absent
	large := strings.Repeat("what was there\n", 50_000)
	laws(t, steptest.Subject{
		Kind:      fileCopyKind(),
		Machine:   receiver,
		Elsewhere: receiver(),
		Prepare: func(t *testing.T, h host.Host) {
			_ = h.Files.MakeDirectory(t.Context(), "/var/lib/weft", host.Attributes{})
		},
		Policy: []string{"host", "source", "limit_mb"},
		Found: []steptest.Hand{
			{Name: "absent"},
			{
				Name: "different",
				Fake: func(m *fake.Machine) {
					m.WriteFile(lawFile, large)
					m.Chmod(lawFile, fs.ModeSetuid|0o755)
					m.Chown(lawFile, "nobody", "adm")
				},
				Host: sequence(typed(lawFile, large), steptest.Run("chown", "nobody:adm", lawFile), steptest.Run("chmod", "4755", lawFile)),
			},
			{Name: "empty", Fake: wrote(lawFile, ""), Host: typed(lawFile, "")},
			{Name: "right", Fake: wrote(lawFile, built), Host: typed(lawFile, built)},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: whole,
				Drift: []steptest.Hand{
					{Name: "state", Fake: func(m *fake.Machine) { m.Remove(lawFile) }, Host: steptest.Run("rm", lawFile)},
					{Name: "sha256", Fake: wrote(lawFile, built+"one more"), Host: typed(lawFile, built+"one more")},
					{Name: "owner", Fake: func(m *fake.Machine) { m.Chown(lawFile, "root", "") }, Host: steptest.Run("chown", "root", lawFile)},
					{Name: "group", Fake: func(m *fake.Machine) { m.Chown(lawFile, "", "root") }, Host: steptest.Run("chgrp", "root", lawFile)},
					{Name: "mode", Fake: func(m *fake.Machine) { m.Chmod(lawFile, 0o666) }, Host: steptest.Run("chmod", "0666", lawFile)},
				},
			},
			{
				Name: "alone", Spec: copyOf(lawFile),
				Drift: []steptest.Hand{{Name: "sha256", Fake: wrote(lawFile, ""), Host: typed(lawFile, "")}},
			},
			{
				Name: "absent", Spec: gone,
				Drift: []steptest.Hand{{Name: "state", Fake: wrote(lawFile, "back"), Host: typed(lawFile, "back")}},
			},
		},
		Touches: steptest.Touches{Files: []string{lawFile}},
		Clean:   steptest.Run("rm", "-rf", lawFile, "/var/lib/weft/kept"),
	})
}

func TestFileCopyShowsWhereItComesFrom(t *testing.T) {
	m := receiver()
	f, err := check(t, fileCopyKind(), m, copyOf("/srv/copy"))
	if err == nil || !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without its directory: %+v, %v", f, err)
	}
	m.Mkdir("/srv")
	f, err = check(t, fileCopyKind(), m, copyOf("/srv/copy"))
	if err != nil || len(f.Deltas) != 3 || f.Deltas[1].Path != "source" || string(f.Deltas[1].To) != `"h1:/srv/built -\u003e /srv/copy"` {
		t.Errorf("%v, %v", f.Deltas, err)
	}
	m.WriteFile("/srv/copy", built)
	if f, err := check(t, fileCopyKind(), m, copyOf("/srv/copy")); err != nil || f.Changed() || !strings.Contains(string(f.Outputs), sum(built)) {
		t.Errorf("what is there: %v, %v, %v", f.Deltas, f.Outputs, err)
	}
	upper := copyOf("/srv/copy")
	upper.SHA256 = strings.ToUpper(upper.SHA256)
	if f, err := check(t, fileCopyKind(), m, upper); err != nil || f.Changed() {
		t.Errorf("a sum in upper case: %v, %v", f.Deltas, err)
	}
	for path, make := range map[string]func(string){"/srv/dir": m.Mkdir, "/srv/link": func(p string) { m.Symlink(p, "copy") }} {
		make(path)
		if _, err := check(t, fileCopyKind(), m, copyOf(path)); err == nil || !strings.Contains(err.Error(), "does not replace it") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestFileCopyRefuses sees that what cannot be had leaves nothing behind.
func TestFileCopyRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		arrange func(m *fake.Machine)
		spec    func(*FileCopy)
		says    string
	}{
		"another file":    {func(m *fake.Machine) { m.Arrive("another") }, nil, "another file than the playbook wants"},
		"too large":       {func(m *fake.Machine) { m.Arrive(strings.Repeat("x", 1<<20+1)) }, nil, "more than limit_mb allows (1048576)"},
		"no room":         {func(m *fake.Machine) { m.SetSpace("/", host.Space{Total: 100, Free: 5}) }, nil, "its file system has 5 left"},
		"no such account": {nil, func(f *FileCopy) { f.Owner = step.Is("qemu") }, "no user or group"},
		"no room to keep": {func(m *fake.Machine) {
			m.WriteFile("/etc/copy", "old")
			m.SetSpace("/var", host.Space{Total: 100, Free: 2})
		}, nil, "keep what is there for an undo: 3 bytes are wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			m := receiver()
			if tt.arrange != nil {
				tt.arrange(m)
			}
			spec := copyOf("/etc/copy")
			if tt.spec != nil {
				tt.spec(&spec)
			}
			was := m.Snapshot()
			if err := copied(t, m, spec); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
			if m.Snapshot() != was {
				t.Error("something is left")
			}
		})
	}
}

// stepOf makes a step of a kind.
func stepOf(t *testing.T, k step.Kind, spec any) step.Step {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(step.Unit{Address: k.Name + ".x", Name: "x", Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// copied checks and applies.
func copied(t *testing.T, m *fake.Machine, spec FileCopy) error {
	t.Helper()
	f, err := check(t, fileCopyKind(), m, spec)
	if err != nil {
		return err
	}
	return stepOf(t, fileCopyKind(), spec).Apply(t.Context(), m.Host(), f)
}

// What was replaced lies on the host once, by its sum, and comes back from there.
func TestFileCopyKeepsWhatItReplaces(t *testing.T) {
	m := receiver()
	m.WriteFile("/etc/copy", "old")
	spec := copyOf("/etc/copy")
	f, err := check(t, fileCopyKind(), m, spec)
	if err != nil || strings.Contains(string(f.Before), `"old"`) {
		t.Fatalf("the journal would hold %s, %v", f.Before, err)
	}
	s := stepOf(t, fileCopyKind(), spec)
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	kept := m.Host().Kept + "/" + sum("old")
	if content, ok := m.File(kept); !ok || content != "old" {
		t.Errorf("kept is %q, %t", content, ok)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if content, _ := m.File("/etc/copy"); content != "old" {
		t.Errorf("after undo it is %q", content)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	m.WriteFile(kept, "rotten")
	if err := s.Undo(t.Context(), m.Host(), f); !errors.As(err, new(*host.SumError)) {
		t.Errorf("undo with what is no longer the same: %v", err)
	}
	if content, _ := m.File("/etc/copy"); content != built {
		t.Errorf("after an undo that failed it is %q", content)
	}
	f.Settled = true
	m.WriteFile("/etc/copy", "by hand")
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo of what another hand changed: %v", err)
	}
}

// A runner that was killed leaves a part of the file, which an undo takes away.
func TestFileCopyLeavesNothingHalf(t *testing.T) {
	m := receiver()
	spec := copyOf("/etc/copy")
	f, err := check(t, fileCopyKind(), m, spec)
	if err != nil {
		t.Fatal(err)
	}
	was := m.Snapshot()
	m.WriteFile(host.Temporary("/etc/copy"), built[:4])
	if err := stepOf(t, fileCopyKind(), spec).Undo(t.Context(), m.Host(), f); err != nil || m.Snapshot() != was {
		t.Errorf("after undo %v\n%s", err, m.Snapshot())
	}
}

func TestFileCopyValidate(t *testing.T) {
	for want, change := range map[string]func(*FileCopy){
		"":            func(*FileCopy) {},
		"path":        func(f *FileCopy) { f.Path = "copy" },
		"source":      func(f *FileCopy) { f.Source = "srv/built" },
		"sha256":      func(f *FileCopy) { f.SHA256 = f.SHA256[1:] },
		"limit_mb":    func(f *FileCopy) { f.LimitMB = 0 },
		"mode":        func(f *FileCopy) { f.Mode = step.Is("rw") },
		"sha256 ":     func(f *FileCopy) { f.SHA256 = strings.Repeat("x", 64) },
		"path sha256": func(f *FileCopy) { f.Path, f.SHA256 = "/proc/x", "" },
	} {
		spec := copyOf("/etc/copy")
		change(&spec)
		if got := problems(&spec); got != strings.TrimSpace(want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFileCopySaysItsOrigin(t *testing.T) {
	s, ok := stepOf(t, fileCopyKind(), copyOf("/etc/copy")).(step.Importer)
	if !ok || s.Imports() != (step.Origin{Host: "h1", Path: "/srv/built"}) {
		t.Errorf("%v", s)
	}
	m := accounts() // nobody brings anything
	if err := copied(t, m, copyOf("/etc/copy")); err == nil {
		t.Error("a file came from nowhere")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := receiver().Fetch(ctx); err == nil {
		t.Error("a file came though nobody waits")
	}
}
