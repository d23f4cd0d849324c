package system

import (
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

const lawFile = "/etc/" + steptest.Prefix + ".conf"

// typed is what tee(1) writes on a real host.
func typed(path, text string) []host.Command {
	return []host.Command{{Argv: []string{"tee", path}, Stdin: []byte(text)}}
}

// sequence joins commands.
func sequence(lists ...[]host.Command) []host.Command {
	var all []host.Command
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func wrote(path, text string) func(m *fake.Machine) {
	return func(m *fake.Machine) { m.WriteFile(path, text) }
}

// accounts gives a machine the users of a Debian that tests name.
func accounts() *fake.Machine {
	m := fake.New()
	m.WriteFile("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n")
	m.WriteFile("/etc/group", "root:x:0:\ndaemon:x:1:\n")
	return m
}

func TestFileLaws(t *testing.T) {
	whole := File{
		Path: lawFile, Content: step.Is(content("new\nlines\n")),
		Owner: step.Is("daemon"), Group: step.Is("1"), Mode: step.Is("640"),
	}
	gone := steptest.Hand{Name: "state", Fake: func(m *fake.Machine) { m.Remove(lawFile) }, Host: steptest.Run("rm", lawFile)}
	laws(t, steptest.Subject{
		Kind:    fileKind(),
		Machine: accounts,
		Found: []steptest.Hand{
			{Name: "absent"},
			{
				Name: "different",
				Fake: func(m *fake.Machine) {
					m.WriteFile(lawFile, "old")
					m.Chmod(lawFile, fs.ModeSetuid|0o755)
					m.Chown(lawFile, "nobody", "adm")
				},
				Host: sequence(typed(lawFile, "old"), steptest.Run("chown", "nobody:adm", lawFile), steptest.Run("chmod", "4755", lawFile)),
			},
			{Name: "no text", Fake: wrote(lawFile, "\xff\x00\xfe"), Host: typed(lawFile, "\xff\x00\xfe")},
			{
				Name: "a link",
				Fake: func(m *fake.Machine) { m.Symlink(lawFile, "/nowhere"); m.Chown(lawFile, "daemon", "") },
				Host: sequence(steptest.Run("ln", "-s", "/nowhere", lawFile), steptest.Run("chown", "-h", "daemon", lawFile)),
			},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: whole,
				Drift: []steptest.Hand{
					gone,
					{Name: "content", Fake: wrote(lawFile, "new\nlines\nand one by hand\n"), Host: typed(lawFile, "new\nlines\nand one by hand\n")},
					{Name: "owner", Fake: func(m *fake.Machine) { m.Chown(lawFile, "root", "") }, Host: steptest.Run("chown", "root", lawFile)},
					{Name: "group", Fake: func(m *fake.Machine) { m.Chown(lawFile, "", "root") }, Host: steptest.Run("chgrp", "root", lawFile)},
					{Name: "mode", Fake: func(m *fake.Machine) { m.Chmod(lawFile, 0o666) }, Host: steptest.Run("chmod", "0666", lawFile)},
				},
				Spellings: []steptest.Hand{
					{Name: "the group by its name", Fake: func(m *fake.Machine) { m.Chown(lawFile, "", "daemon") }, Host: steptest.Run("chgrp", "daemon", lawFile)},
				},
			},
			{Name: "content alone", Spec: File{Path: lawFile, Content: step.Is(content(""))}},
			{
				Name: "link", Spec: File{Path: lawFile, Target: step.Is("/etc/hostname"), Owner: step.Is("root")},
				Drift: []steptest.Hand{
					{Name: "target", Fake: func(m *fake.Machine) { m.Symlink(lawFile, "/etc/hosts") }, Host: steptest.Run("ln", "-sfn", "/etc/hosts", lawFile)},
					{Name: "owner", Fake: func(m *fake.Machine) { m.Chown(lawFile, "daemon", "") }, Host: steptest.Run("chown", "-h", "daemon", lawFile)},
				},
			},
			{
				Name: "absent", Spec: File{Path: lawFile, State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: wrote(lawFile, "back"), Host: typed(lawFile, "back")}},
			},
		},
		Touches: steptest.Touches{Files: []string{lawFile}},
		Clean:   steptest.Run("rm", "-f", lawFile),
	})
}

// check makes a step of a kind and checks it.
func check(t *testing.T, k step.Kind, m *fake.Machine, spec any) (step.Finding, error) {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(step.Unit{Address: k.Name + ".x", Name: "x", Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s.Check(t.Context(), m.Host().View())
}

func TestFileRefuses(t *testing.T) {
	m := fake.New()
	for _, tt := range []struct {
		name   string
		spec   File
		says   string
		notYet bool
	}{
		{"no directory", File{Path: "/etc/none/x", Content: step.Is(content(""))}, "its directory /etc/none is not there", true},
		{"nothing to make it of", File{Path: "/etc/x", Mode: step.Is("0644")}, "no content to make it of", true},
		{"a directory", File{Path: "/etc", Content: step.Is(content(""))}, "there is a directory", false},
	} {
		_, err := check(t, fileKind(), m, tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, step.ErrNotYet) != tt.notYet {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	m.WriteFile("/etc/big", strings.Repeat("x", fileLimit+1))
	if _, err := check(t, fileKind(), m, File{Path: "/etc/big", State: step.Absent}); err == nil || !strings.Contains(err.Error(), "keeps for an undo") {
		t.Errorf("a file too big to keep: %v", err)
	}
	if f, err := check(t, fileKind(), m, File{Path: "/etc/big", Mode: step.Is("0600")}); err != nil || len(f.Deltas) != 1 {
		t.Errorf("its mode alone can be changed: %v, %v", f.Deltas, err)
	}
}

func TestFileShowsWhatAPlanCanHold(t *testing.T) {
	m := fake.New()
	m.WriteFile("/etc/x", "\xff")
	f, err := check(t, fileKind(), m, File{Path: "/etc/x", Content: step.Is(content("short\n"))})
	if err != nil || !strings.Contains(string(f.Deltas[0].From), "1 bytes, sha256 a8100ae6") || !strings.Contains(string(f.Deltas[0].To), "6 bytes, sha256") {
		t.Errorf("%s -> %s, %v", f.Deltas[0].From, f.Deltas[0].To, err)
	}
	m.WriteFile("/etc/x", "long ago\n")
	f, err = check(t, fileKind(), m, File{Path: "/etc/x", Content: step.Is(content("short\n"))})
	if err != nil || string(f.Deltas[0].From) != `"long ago\n"` || string(f.Deltas[0].To) != `"short\n"` {
		t.Errorf("%s -> %s, %v", f.Deltas[0].From, f.Deltas[0].To, err)
	}
	m.Symlink("/etc/x", "/etc/y")
	f, err = check(t, fileKind(), m, File{Path: "/etc/x", Content: step.Is(content("short\n"))})
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "/etc/y") {
		t.Errorf("no warning that a symlink goes: %v, %v", f.Warnings, err)
	}
}

// problems are the paths of what Validate finds.
func problems(v step.Validator) string {
	var paths []string
	for _, p := range v.Validate() {
		paths = append(paths, p.Path)
	}
	return strings.Join(paths, " ")
}

func TestFileValidate(t *testing.T) {
	for _, tt := range []struct {
		spec step.Validator
		want string
	}{
		{&File{Path: "/etc/x", Mode: step.Is("0644")}, ""},
		{&File{Path: "etc/x"}, "path"},
		{&File{Path: "/etc/../x"}, "path"},
		{&File{Path: "/proc/sys/net/ipv4/ip_forward"}, "path"},
		{&File{Path: "/sys/class"}, "path"},
		{&File{Path: "/x", Mode: step.Is("rw")}, "mode"},
		{&File{Path: "/x", Mode: step.Is("99999")}, "mode"},
		{&File{Path: "/x", Target: step.Is("/y"), Content: step.Is(content("")), Mode: step.Is("0644")}, "target mode"},
		{&File{Path: "/x", Target: step.Is("")}, "target"},
		{&DirectorySpec{Path: "/x", Recursive: true}, "recursive"},
		{&DirectorySpec{Path: "/"}, "path"},
	} {
		if got := problems(tt.spec); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.spec, got, tt.want)
		}
	}
}

func TestModes(t *testing.T) {
	for text, want := range map[string]string{"644": "0644", "0644": "0644", "4755": "4755", "1777": "1777", "2750": "2750"} {
		if mode, err := parseMode(text); err != nil || formatMode(mode) != want {
			t.Errorf("%s: %v, %v", text, formatMode(mode), err)
		}
	}
}

func TestASensitiveFileIsPrivate(t *testing.T) {
	for name, c := range map[string]struct {
		spec   File
		secret []string
		want   string
	}{
		"sensitive":            {File{Path: "/etc/key", Content: step.Is[content]("x")}, []string{"content"}, "-rw-------"},
		"sensitive and public": {File{Path: "/etc/key", Content: step.Is[content]("x"), Mode: step.Is("0644")}, []string{"content"}, "-rw-r--r--"},
		"not sensitive":        {File{Path: "/etc/key", Content: step.Is[content]("x")}, nil, "-rw-r--r--"},
	} {
		m := fake.New()
		spec, err := json.Marshal(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		s, err := fileKind().Make(step.Unit{Address: "file.key", Spec: spec, Secret: c.secret})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(t.Context(), m.Host(), f); err != nil {
			t.Fatal(err)
		}
		info, err := m.Host().Files.Stat(t.Context(), "/etc/key")
		if err != nil || info.Mode.String() != c.want {
			t.Errorf("%s: the mode is %s, %v", name, info.Mode, err)
		}
	}
}
