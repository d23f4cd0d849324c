package packages

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/step"
	"weft/engine/step/steptest"
)

func TestUndoRemovesDataThatWasNotThere(t *testing.T) {
	const pony = steptest.Prefix + "-pony"
	m := debianMachine()
	m.Mkdir("/var")
	m.Mkdir("/var/lib")
	m.Mkdir("/var/lib/old")
	m.WriteFile("/var/lib/old/kept", "x")
	s := packageStep(t, PackageSpec{Name: pony, Data: []string{"/var/lib/old", "/var/lib/pony"}})
	f := applied(t, m, s)
	m.Mkdir("/var/lib/pony")
	m.Mkdir("/var/lib/pony/deep")
	m.WriteFile("/var/lib/pony/deep/database", "rows")
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Host().Files.Stat(t.Context(), "/var/lib/pony"); err == nil {
		t.Error("data that the package made is left")
	}
	if text, _ := m.File("/var/lib/old/kept"); text != "x" {
		t.Error("data that was there before is gone")
	}
}

// TestUndoLeavesWhatIsMountedInData: nothing goes, neither data nor package.
func TestUndoLeavesWhatIsMountedInData(t *testing.T) {
	for _, tt := range []struct{ name, point, data string }{
		{"below", "/var/lib/pony/disk", "/var/lib/pony"},
		{"there", "/var/lib/pony", "/var/lib/pony"},
		{"behind a link", "/var/lib/pony/disk", "/srv/lib/pony"},
		{"of the second directory", "/var/lib/pony/a b", "/var/lib/pony"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := debianMachine()
			m.AddMounts()
			m.Mkdir("/var/lib")
			m.Mkdir("/srv")
			m.Symlink("/srv/lib", "/var/lib")
			s := packageStep(t, PackageSpec{Name: steptest.Prefix + "-pony", Data: []string{"/var/lib/first", tt.data}})
			f := applied(t, m, s)
			m.WriteFile("/var/lib/first/log", "lines")
			m.WriteFile("/var/lib/pony/database", "rows")
			m.WriteFile(tt.point+"/rows", "of another disk")
			table, _ := m.KernelValue("/proc/self/mountinfo")
			m.SetKernel("/proc/self/mountinfo", table+"\n40 21 8:17 / "+strings.ReplaceAll(tt.point, " ", `\040`)+" rw - ext4 /dev/sdb1 rw")
			if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), tt.point+",") {
				t.Errorf("a mount at %s: %v", tt.point, err)
			}
			for _, file := range []string{"/var/lib/first/log", "/var/lib/pony/database", tt.point + "/rows"} {
				if _, ok := m.File(file); !ok {
					t.Errorf("%s is gone", file)
				}
			}
			if loadApt(m).Packages[steptest.Prefix+"-pony"] == nil {
				t.Error("the package went, and its data stayed")
			}
			m.SetKernel("/proc/self/mountinfo", table)
			if err := s.Undo(t.Context(), m.Host(), f); err != nil {
				t.Errorf("without the mount: %v", err)
			}
			if _, ok := m.File("/var/lib/pony/database"); ok {
				t.Error("data that the package made is left")
			}
		})
	}
}

func FuzzMountPoints(f *testing.F) {
	f.Add("21 1 254:0 / /a\\040b rw - ext4 /dev/vda1 rw\nshort\n")
	f.Fuzz(func(t *testing.T, table string) {
		if points := mountPoints(table); !slices.IsSorted(points) || slices.Contains(points, "") {
			t.Errorf("%q", points)
		}
	})
}
