package system

import (
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const lawIni = "/etc/" + steptest.Prefix + ".conf"

func TestIniValueLaws(t *testing.T) {
	const other = "# by hand\n\n[one]\n  user=him\n\n[two]\nuser = her ; x\nuser = it\n  goes on\n[three]"
	edited := func(name, from, to string) steptest.Hand {
		return steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
			text, _ := m.File(lawIni)
			m.WriteFile(lawIni, strings.ReplaceAll(text, from, to))
		}, Host: steptest.Run("sed", "-i", "s/"+from+"/"+to+"/", lawIni)}
	}
	laws(t, steptest.Subject{
		Kind: iniValueKind(),
		Found: []steptest.Hand{
			{Name: "absent"},
			{Name: "other", Fake: wrote(lawIni, other), Host: typed(lawIni, other)},
			{Name: "no section", Fake: wrote(lawIni, "#user = \"root\"\nuid=7"), Host: typed(lawIni, "#user = \"root\"\nuid=7")},
			{Name: "empty", Fake: wrote(lawIni, ""), Host: typed(lawIni, "")},
		},
		Policy: []string{"path", "section", "state"},
		Cases: []steptest.Case{
			{
				Name: "set", Spec: IniValueSpec{Path: lawIni, Section: "two", Key: "user", Value: `"weft"`},
				Drift: []steptest.Hand{
					edited("value", "weft", "drift"), edited("value", "user", "xuser"),
					{Name: "value", Fake: func(m *fake.Machine) { m.Remove(lawIni) }, Host: steptest.Run("rm", lawIni)},
				},
				Spellings: []steptest.Hand{edited("blanks", `"weft"`, `    "weft"  `)},
			},
			{
				Name: "before any section", Spec: IniValueSpec{Path: lawIni, Key: "user", Value: "[\n  \"a\",\n  \"b\" # ]\n]"},
				Drift: []steptest.Hand{edited("value", "a", "c")},
			},
			{
				Name: "absent", Spec: IniValueSpec{Path: lawIni, Section: "two", Key: "user", State: step.Absent},
				Drift: []steptest.Hand{{Name: "value", Fake: wrote(lawIni, "[two]\nuser = x\n"), Host: typed(lawIni, "[two]\nuser = x\n")}},
			},
		},
		Touches: steptest.Touches{Files: []string{lawIni}},
		Clean:   steptest.Run("rm", "-f", lawIni),
	})
}

func TestIniSet(t *testing.T) {
	for _, tt := range []struct{ name, text, section, value, want string }{
		{"empty file", "", "", "1", "k = 1\n"},
		{"new section", "a=1", "s", "1", "a=1\n\n[s]\nk=1\n"},
		{"below its example", "# k = \"root\"\n#\n# more\na = 1\n", "", "1", "# k = \"root\"\nk = 1\n#\n# more\na = 1\n"},
		{"end of its section", "[s]\na: 1\nb=2\n\n[t]\nk=3\n", "s", "1", "[s]\na: 1\nb=2\nk=1\n\n[t]\nk=3\n"},
		{"in place, sign kept", "\tk\t=  2 # old\nb=1\n", "", "1", "\tk\t=  1\nb=1\n"},
		{"the last of several", "k=1\nb=1\nk=2\n", "", "3", "b=1\nk=3\n"},
		{"a list in brackets", "k = [\n \"]\", # ]\n\"b\" ]\nb=1\n", "", "[ ]", "k = [ ]\nb=1\n"},
		{"further in", "k = a\n  b=c\n\td\nb=1\n", "", "1", "k = 1\nb=1\n"},
		{"backslash", "k = a \\\nb=c\nb=1\n", "", "1", "k = 1\nb=1\n"},
		{"indented as a whole", "[s]\n\tk = a\n\tb = c\n", "s", "1", "[s]\n\tk = 1\n\tb = c\n"},
		{"DOS", "a=1\r\nk=2\r\n", "", "1", "a=1\r\nk=1\r\n"},
	} {
		if got := parseIni(tt.text).set(tt.section, "k", tt.value); got != tt.want {
			t.Errorf("%s:\n%q, want\n%q", tt.name, got, tt.want)
		}
	}
}

// TestIniUndoAmongOthers: what another hand wrote since stays, byte for byte.
func TestIniUndoAmongOthers(t *testing.T) {
	m := fake.New()
	m.WriteFile(lawIni, "# top\nuser = \"qemu\"\n")
	s, err := iniValueKind().Make(step.Unit{Spec: []byte(`{"path":"` + lawIni + `","key":"user","value":"\"root\""}`)})
	if err != nil {
		t.Fatal(err)
	}
	f := applied(t, m, s)
	text, _ := m.File(lawIni)
	m.WriteFile(lawIni, text+"\n[new]\n  a = b\n")
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	if text, _ := m.File(lawIni); text != "# top\nuser = \"qemu\"\n\n[new]\n  a = b\n" {
		t.Errorf("%q", text)
	}
}

func TestIniRefuses(t *testing.T) {
	for want, spec := range map[string]IniValueSpec{
		"path":    {Path: "x", Key: "k", Value: "1"},
		"key":     {Path: "/x", Key: "[k", Value: "1"},
		"section": {Path: "/x", Key: "k", Section: " s", Value: "1"},
		"value":   {Path: "/x", Key: "k", Value: "1\n2"},
		"":        {Path: "/x", Key: "k", Value: "1\n 2"},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
	if got := problems(&IniValueSpec{Path: "/x", Key: "k", Value: "[ open"}); got != "value" {
		t.Errorf("an open list would take the next lines: %q", got)
	}
	m := fake.New()
	m.WriteFile("/etc/real", "k=1\n")
	m.Symlink("/etc/link", "real")
	if _, err := check(t, iniValueKind(), m, IniValueSpec{Path: "/etc/link", Key: "k", Value: "2"}); err == nil || !strings.Contains(err.Error(), "symlink to real") {
		t.Errorf("a link: %v", err)
	}
}

func FuzzIniText(f *testing.F) {
	f.Add("[a]\nk=1\n\n#k=2\n k = [\n]\n", "a", "k", "v")
	f.Add("k=1\\\n\n[a\n]", "", "k", "[\n1]")
	f.Fuzz(func(t *testing.T, text, section, key, value string) {
		spec := IniValueSpec{Path: "/x", Section: section, Key: key, Value: value}
		if problems(&spec) != "" || key == "next" {
			return
		}
		now := parseIni(text)
		if strings.Join(now.lines, "") != text {
			t.Fatalf("%q lost something", text)
		}
		set := parseIni(now.set(section, key, value))
		if got := set.values(section, key); len(got) != 1 || got[0] != canonicalIni(value) {
			t.Skip("another line took it in: the check after the write says so")
		}
		if again := set.set(section, key, value); again != strings.Join(set.lines, "") {
			t.Fatalf("%q became %q", strings.Join(set.lines, ""), again)
		}
		if left := parseIni(set.without(section, key)); len(left.values(section, key)) > 0 && len(now.entries) == 0 {
			t.Fatalf("it is still in %q", strings.Join(left.lines, ""))
		}
	})
}
