package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/engine/host/fake"
)

var errPatience = errors.New("the watch does not come to an end")

// machine is up for a second, in a boot that is the trial of id.
func machine(id string) *fake.Machine {
	m := fake.New()
	m.Mkdir("/var/lib/weft")
	m.SetKernel(cmdline, "BOOT_IMAGE=/vmlinuz quiet "+strings.Join(Arguments(id), " "))
	m.SetKernel(bootID, "b007")
	m.SetKernel("/proc/uptime", "1.00 2.00")
	return m
}

// watch lets a second pass between two looks; then calls act with the second.
func watch(t *testing.T, m *fake.Machine, terms Terms, act func(second int)) (Verdict, error) {
	t.Helper()
	second := 1
	return Watch(t.Context(), m.Host(), terms, func(context.Context) error {
		if second++; second > 1000 {
			return errPatience
		}
		m.SetKernel("/proc/uptime", fmt.Sprintf("%d.00 2.00", second))
		if act != nil {
			act(second)
		}
		return nil
	})
}

func ordered(t *testing.T, m *fake.Machine, id string) {
	t.Helper()
	s := State{ID: id, Boot: "before", Parts: []Part{{Step: "kernel_cmdline.a", Confirm: 2 * time.Minute}}}
	if err := Save(t.Context(), m.Host(), s); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	sshd := func(m *fake.Machine) {
		for _, unit := range []string{"ssh.service", "default.target"} {
			m.WriteFile("/lib/systemd/system/"+unit, fake.Service("/usr/sbin/sshd"))
			m.Systemctl("start", unit)
		}
	}
	for name, c := range map[string]struct {
		terms Terms
		state func(t *testing.T, m *fake.Machine)
		act   func(m *fake.Machine, second int)
		want  Verdict
		notes Notes
	}{
		"kept": {
			terms: Terms{Confirm: 2 * time.Minute},
			act: func(m *fake.Machine, second int) {
				if second == 60 {
					_ = Forget(context.Background(), m.Host())
				}
			},
			want: Kept,
		},
		"nobody comes": {
			terms: Terms{Confirm: 2 * time.Minute}, want: Expired,
			notes: Notes{Booted: "b007", Ended: "nobody confirmed it within 2m0s"},
		},
		"up late, and kept then": {
			terms: Terms{Confirm: 2 * time.Minute}, want: Kept,
			act: func(m *fake.Machine, second int) {
				if second == 110 {
					sshd(m)
				}
				if second == 225 {
					_ = Forget(context.Background(), m.Host())
				}
			},
		},
		"up, but nobody comes": {
			terms: Terms{Confirm: 2 * time.Minute}, want: Expired,
			act:   func(m *fake.Machine, _ int) { sshd(m) },
			notes: Notes{Booted: "b007", Ended: "nobody confirmed it within 2m0s"},
		},
		"staged and up": {
			terms: Terms{Confirm: 2 * time.Minute, Staged: true}, want: Well,
			act: func(m *fake.Machine, second int) {
				if second == 30 {
					sshd(m)
				}
			},
			notes: Notes{Booted: "b007", Ended: "well"},
		},
		"staged and never up": {
			terms: Terms{Confirm: 2 * time.Minute, Staged: true}, want: Expired,
			notes: Notes{Booted: "b007", Ended: "nobody confirmed it within 2m0s"},
		},
		"another is ordered": {
			terms: Terms{Confirm: 2 * time.Minute}, want: Kept,
			act: func(m *fake.Machine, second int) {
				if second == 30 {
					ordered(t, m, "next")
				}
			},
		},
		"/var is not mounted": {
			terms: Terms{Confirm: 2 * time.Minute}, want: Expired,
			state: func(_ *testing.T, m *fake.Machine) { m.Remove("/var/lib/weft") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine("7r1a1")
			if c.state == nil {
				ordered(t, m, "7r1a1")
			} else {
				c.state(t, m)
			}
			got, err := watch(t, m, c.terms, func(second int) {
				if c.act != nil {
					c.act(m, second)
				}
			})
			if got != c.want || err != nil {
				t.Fatalf("%s, %v; want %s", got, err, c.want)
			}
			if notes := Tell(t.Context(), m.Host().View(), "7r1a1"); got != Kept && notes != c.notes {
				t.Errorf("notes %+v, want %+v", notes, c.notes)
			}
		})
	}
}

// TestWatchGoesOn: one that was killed has not more time than it had.
func TestWatchGoesOn(t *testing.T) {
	m := machine("7r1a1")
	ordered(t, m, "7r1a1")
	killed := errors.New("killed")
	calls := 0
	_, err := Watch(t.Context(), m.Host(), Terms{Confirm: time.Minute}, func(context.Context) error {
		if calls++; calls == 2 {
			return killed
		}
		return nil
	})
	if !errors.Is(err, killed) {
		t.Fatal(err)
	}
	m.SetKernel("/proc/uptime", "181.5 2.00")
	got, err := Watch(t.Context(), m.Host(), Terms{Confirm: time.Minute}, func(context.Context) error { return errPatience })
	if got != Expired || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

// TestWatchElsewhere: a boot that is no trial is left alone.
func TestWatchElsewhere(t *testing.T) {
	m := machine("x")
	m.SetKernel(cmdline, "quiet")
	before := m.Snapshot()
	if got, err := watch(t, m, Terms{}, nil); got != Kept || err != nil || m.Snapshot() != before {
		t.Errorf("%s, %v", got, err)
	}
}

func TestStrip(t *testing.T) {
	for _, c := range []struct{ line, rest, id string }{
		{"quiet", "quiet", ""},
		{"a " + strings.Join(Arguments("7"), " ") + " -- b", "a -- b", "7"},
		{"panic=30 a weft.trial=7 panic=30 softlockup_panic=1 b", "panic=30 a b", "7"},
	} {
		rest, id := Strip(strings.Fields(c.line))
		if strings.Join(rest, " ") != c.rest || id != c.id {
			t.Errorf("%s: %v and %q", c.line, rest, id)
		}
	}
}

func TestState(t *testing.T) {
	m := machine("7")
	if _, err := Load(t.Context(), m.Host().View()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	s := State{ID: "7", Parts: []Part{{Step: "a", Confirm: time.Minute, Staged: true}, {Step: "b", Confirm: time.Hour}}}
	if err := Save(t.Context(), m.Host(), s); err != nil {
		t.Fatal(err)
	}
	got, err := Load(t.Context(), m.Host().View())
	if err != nil || got.Confirm() != time.Hour || got.Staged() || !got.Has("a") {
		t.Errorf("%+v, %v", got, err)
	}
	if rest := got.Without("b"); !rest.Staged() || rest.Has("b") || len(got.Parts) != 2 {
		t.Errorf("%+v of %+v", rest, got)
	}
	if unit := Unit("/a%b/runner", got.Without("b")); !strings.Contains(unit, "ExecStart=/a%%b/runner trial -confirm 1m0s -staged\n") {
		t.Error(unit)
	}
	if err := Forget(t.Context(), m.Host()); err != nil {
		t.Fatal(err)
	}
	names, _ := m.Host().Files.List(t.Context(), "/var/lib/weft")
	if len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func FuzzStrip(f *testing.F) {
	f.Add("quiet weft.trial=7 panic=30 x")
	f.Add("weft.trial= weft.trial=2")
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Fields(line)
		rest, id := Strip(slices.Clone(words))
		if id == "" && len(rest) > len(words) || id != "" && len(rest) >= len(words) {
			t.Errorf("%q leaves %q", words, rest)
		}
	})
}
