package system

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const lawDirectory = "/etc/" + steptest.Prefix + ".d"

// full puts a tree below the directory.
func full(m *fake.Machine) {
	m.WriteFile(lawDirectory+"/a", "\xff one")
	m.Symlink(lawDirectory+"/link", "a")
	m.WriteFile(lawDirectory+"/sub/b", "two")
	m.Chmod(lawDirectory+"/sub", 0o700)
	m.Chown(lawDirectory+"/sub/b", "daemon", "adm")
}

func TestDirectoryLaws(t *testing.T) {
	made := steptest.Run("mkdir", "-p", lawDirectory)
	laws(t, steptest.Subject{
		Kind:    directoryKind(),
		Machine: accounts,
		Policy:  []string{"recursive"},
		Found: []steptest.Hand{
			{Name: "absent"},
			{
				Name: "different",
				Fake: func(m *fake.Machine) {
					m.Mkdir(lawDirectory)
					m.Chmod(lawDirectory, fs.ModeSticky|0o777)
					m.Chown(lawDirectory, "nobody", "adm")
				},
				Host: sequence(made, steptest.Run("chown", "nobody:adm", lawDirectory), steptest.Run("chmod", "1777", lawDirectory)),
			},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: DirectorySpec{Path: lawDirectory, Owner: step.Is("daemon"), Group: step.Is("daemon"), Mode: step.Is("2750")},
				Drift: []steptest.Hand{
					{Name: "state", Fake: func(m *fake.Machine) { m.Remove(lawDirectory) }, Host: steptest.Run("rmdir", lawDirectory)},
					{Name: "owner", Fake: func(m *fake.Machine) { m.Chown(lawDirectory, "root", "") }, Host: steptest.Run("chown", "root", lawDirectory)},
					{Name: "group", Fake: func(m *fake.Machine) { m.Chown(lawDirectory, "", "root") }, Host: sequence(steptest.Run("chgrp", "root", lawDirectory), steptest.Run("chmod", "g+s", lawDirectory))},
					{Name: "mode", Fake: func(m *fake.Machine) { m.Chmod(lawDirectory, 0o777) }, Host: steptest.Run("chmod", "0777", lawDirectory)},
				},
			},
			{Name: "minimal", Spec: DirectorySpec{Path: lawDirectory}},
			{
				Name: "absent", Spec: DirectorySpec{Path: lawDirectory, State: step.Absent},
				Drift: []steptest.Hand{{Name: "state", Fake: func(m *fake.Machine) { m.Mkdir(lawDirectory) }, Host: made}},
			},
		},
		Touches: steptest.Touches{Files: []string{lawDirectory}},
		Clean:   steptest.Run("rm", "-rf", lawDirectory),
	})
}

func TestDirectoryLawsOfATree(t *testing.T) {
	tree := []host.Command{
		{Argv: []string{"mkdir", "-p", lawDirectory + "/sub"}},
		{Argv: []string{"tee", lawDirectory + "/a"}, Stdin: []byte("\xff one")},
		{Argv: []string{"ln", "-s", "a", lawDirectory + "/link"}},
		{Argv: []string{"tee", lawDirectory + "/sub/b"}, Stdin: []byte("two")},
		{Argv: []string{"chmod", "0700", lawDirectory + "/sub"}},
		{Argv: []string{"chown", "daemon:adm", lawDirectory + "/sub/b"}},
	}
	laws(t, steptest.Subject{
		Kind:    directoryKind(),
		Machine: accounts,
		Policy:  []string{"recursive", "owner", "group", "mode"},
		Found:   []steptest.Hand{{Name: "full", Fake: full, Host: tree}},
		Cases: []steptest.Case{{
			Name: "absent", Spec: DirectorySpec{Path: lawDirectory, State: step.Absent, Recursive: true},
			Drift: []steptest.Hand{{Name: "state", Fake: full, Host: tree}},
		}},
		Touches: steptest.Touches{Files: []string{lawDirectory}},
		Clean:   steptest.Run("rm", "-rf", lawDirectory),
	})
}

func TestDirectoryThatIsNotEmpty(t *testing.T) {
	m := fake.New()
	full(m)
	_, err := check(t, directoryKind(), m, DirectorySpec{Path: lawDirectory, State: step.Absent})
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("an earlier step may empty it: %v", err)
	}
	for i := range treeLimit {
		m.WriteFile(fmt.Sprintf("%s/many/%d", lawDirectory, i), "")
	}
	f, err := check(t, directoryKind(), m, DirectorySpec{Path: lawDirectory, State: step.Absent, Recursive: true})
	if err != nil || !strings.Contains(f.Cost.Irreversible, "more than") {
		t.Fatalf("too much to keep: %+v, %v", f.Cost, err)
	}
	s := honest{}
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrIrreversible) {
		t.Errorf("undo: %v", err)
	}
	m.Remove(lawDirectory)
	m.Special(lawDirectory + "/socket")
	f, err = check(t, directoryKind(), m, DirectorySpec{Path: lawDirectory, State: step.Absent, Recursive: true})
	if err != nil || !strings.Contains(f.Cost.Irreversible, "socket") {
		t.Errorf("a socket cannot be made again: %+v, %v", f.Cost, err)
	}
}

// TestDirectoryUndoLeavesWhatOthersPut: what lies in a directory that we made.
func TestDirectoryUndoLeavesWhatOthersPut(t *testing.T) {
	m := fake.New()
	s, err := directoryKind().Make(step.Unit{Spec: []byte(`{"path":"` + lawDirectory + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	f := applied(t, m, s)
	m.WriteFile(lawDirectory+"/theirs", "")
	if err := s.Undo(t.Context(), m.Host(), f); !errors.Is(err, step.ErrConflict) {
		t.Errorf("undo: %v", err)
	}
	if _, ok := m.File(lawDirectory + "/theirs"); !ok {
		t.Error("it is gone")
	}
}
