package packages

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
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

// TestUndoOfAPackageWhoseDaemonMounts: what a package's own daemon mounts in its data goes
// with the package; where it stays, the data does. A disk or a server's file system keeps
// both, however it is mounted.
func TestUndoOfAPackageWhoseDaemonMounts(t *testing.T) {
	const point, file = "/var/lib/pony/fs", "/var/lib/pony/fs/rows"
	for _, tt := range []struct {
		mount string // without ids and with the point as %s
		own   bool
	}{
		{"0:45 / %s rw shared:9 - fuse.lxcfs lxcfs rw,user_id=0", true},
		{"0:46 / %s rw - rpc_pipefs sunrpc rw", true},
		{"0:47 / %s rw - tmpfs tmpfs rw", true},
		{"0:48 / %s rw - overlay overlay rw,upperdir=/srv/a:b", true},
		{"0:49 / %s rw - fuse /dev/fuse rw", true},
		{"0:50 / %s rw - autofs /etc/auto.pony rw", true},
		{"8:17 / %s rw shared:1 master:2 - ext4 /dev/sdb1 rw", false},
		{"254:0 /srv/other %s rw - ext4 /dev/vda1 rw", false}, // a bind mount
		{"0:51 /vol %s rw - btrfs /dev/sdc rw", false},
		{"0:52 / %s rw - zfs tank/pony rw", false},
		{"0:53 / %s rw - nfs4 server:/srv rw", false},
		{"0:54 /sub %s rw - cifs //server/share rw", false},
		{"0:55 / %s rw - fuse.sshfs me@server: rw", false},
		{"0:56 / %s rw - virtiofs guests rw", false},
		{"0:57 / %s rw", false}, // nobody knows what
	} {
		for _, stays := range []bool{false, true} {
			m := debianMachine()
			m.AddMounts()
			s := packageStep(t, PackageSpec{Name: steptest.Prefix + "-pony", Data: []string{"/var/lib/pony"}})
			f := applied(t, m, s)
			m.WriteFile(file, "rows")
			table, _ := m.KernelValue("/proc/self/mountinfo")
			m.SetKernel("/proc/self/mountinfo", table+"\n40 21 "+fmt.Sprintf(tt.mount, point))
			m.Program("apt-get", func(m *fake.Machine, c host.Command) host.Result {
				if removes := slices.Contains(c.Argv, steptest.Prefix+"-pony-"); removes && tt.own && !stays && !slices.Contains(c.Argv, "-s") {
					m.SetKernel("/proc/self/mountinfo", table)
				}
				return aptGetModel(m, c)
			})
			err := s.Undo(t.Context(), m.Host(), f)
			goes := tt.own && !stays
			if goes && err != nil || !goes && (!errors.Is(err, step.ErrConflict) || !strings.Contains(err.Error(), point)) {
				t.Errorf("%s, stays %v: %v", tt.mount, stays, err)
			}
			if _, left := m.File(file); left == goes {
				t.Errorf("%s, stays %v: what is mounted is left: %v", tt.mount, stays, left)
			}
			if there := loadApt(m).Packages[steptest.Prefix+"-pony"] != nil; there == tt.own {
				t.Errorf("%s, stays %v: the package is there: %v", tt.mount, stays, there)
			}
		}
	}
}

func FuzzMountPoints(f *testing.F) {
	f.Add("21 1 254:0 / /a\\040b rw - ext4 /dev/vda1 rw\nshort\n22 1 0:4 / / - x\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, m := range mountsIn(table) {
			if m.point == "" || m.fstype == "" && !m.lasting() {
				t.Errorf("%+v", m)
			}
		}
	})
}
