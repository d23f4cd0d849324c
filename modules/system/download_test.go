package system

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawTarball = "/srv/" + steptest.Prefix + ".tar"
	lawSource  = "/srv/" + steptest.Prefix + "-source"
	payload    = "the file as it should be\n"
)

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// servers are what URLs give: a prefix of what they should, "!" and an exit status.
type servers map[string]string

var quotedWord = regexp.MustCompile(`(?m)^(url|output) = "(.*)"$`)

// fetching gives a machine curl, and what is behind its network.
func fetching(net servers) func() *fake.Machine {
	return func() *fake.Machine {
		m := fake.New()
		m.Mkdir("/srv")
		m.WriteFile(lawSource, payload)
		m.WriteFile("/usr/bin/curl", "\x7fELF")
		m.Program("prlimit", func(m *fake.Machine, c host.Command) host.Result {
			switch path.Base(c.Argv[3]) {
			case "cp":
				text, ok := m.File(c.Argv[5])
				if !ok {
					return host.Result{Exit: 1, Stderr: []byte("cp: cannot stat\n")}
				}
				m.WriteFile(c.Argv[6], text)
			case "curl":
				return curl(m, net, string(c.Stdin))
			}
			return host.Result{}
		})
		m.Program("sync", func(*fake.Machine, host.Command) host.Result { return host.Result{} })
		m.Program("mv", func(m *fake.Machine, c host.Command) host.Result {
			from, to := c.Argv[3], c.Argv[4]
			text, _ := m.File(from)
			info, _ := m.Host().Files.Stat(context.Background(), from)
			m.Remove(to)
			m.WriteFile(to, text)
			m.Chmod(to, info.Mode)
			m.Chown(to, info.Owner, info.Group)
			m.Remove(from)
			return host.Result{}
		})
		return m
	}
}

// curl goes on where the part ends.
func curl(m *fake.Machine, net servers, config string) host.Result {
	words := quotedWord.FindAllStringSubmatch(config, -1)
	from, to := words[0][2], words[1][2]
	has, ok := net[from]
	if !ok {
		return host.Result{Exit: 7, Stderr: []byte("curl: (7) Failed to connect\n")}
	}
	body, cut, failed := strings.Cut(has, "!")
	part, _ := m.File(to)
	if len(part) > 0 && len(part) >= len(body) && !failed {
		return host.Result{Exit: 22, Stderr: []byte("curl: (22) The requested URL returned error: 416\n")}
	}
	if len(part) < len(body) {
		m.WriteFile(to, part+body[len(part):])
	}
	exit := 0
	if failed {
		_, _ = fmt.Sscan(cut, &exit)
	}
	return host.Result{Exit: exit, Stderr: []byte("curl: it went wrong\n")}
}

func TestDownloadLaws(t *testing.T) {
	chmod := steptest.Hand{Name: "mode", Fake: func(m *fake.Machine) { m.Chmod(lawTarball, 0o600) }, Host: steptest.Run("chmod", "0600", lawTarball)}
	chown := steptest.Hand{Name: "owner", Fake: func(m *fake.Machine) { m.Chown(lawTarball, "nobody", "") }, Host: steptest.Run("chown", "nobody", lawTarball)}
	chgrp := steptest.Hand{Name: "group", Fake: func(m *fake.Machine) { m.Chown(lawTarball, "", "nogroup") }, Host: steptest.Run("chgrp", "nogroup", lawTarball)}
	other := steptest.Hand{Name: "sha256", Fake: wrote(lawTarball, "tampered\n"), Host: typed(lawTarball, "tampered\n")}
	laws(t, steptest.Subject{
		Kind:    downloadKind(),
		Machine: fetching(nil),
		Policy:  []string{"urls", "username", "password", "environment", "max_mb", "timeout"},
		Found: []steptest.Hand{
			{Name: "absent"},
			{Name: "different", Fake: together(wrote(lawTarball, "an older one\n"), func(m *fake.Machine) { m.Chmod(lawTarball, 0o755) }),
				Host: sequence(typed(lawTarball, "an older one\n"), steptest.Run("chmod", "0755", lawTarball))},
			{Name: "present", Fake: wrote(lawTarball, payload), Host: typed(lawTarball, payload)},
		},
		// A part that a dead run left is not made again.
		Forget: func(m *fake.Machine) { m.Remove((downloaded{Path: lawTarball}).part()) },
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: DownloadSpec{Path: lawTarball, URLs: []string{"file:///nowhere", "file://" + lawSource}, SHA256: sum(payload), MaxMB: 1, Timeout: "10s",
					Owner: step.Is("daemon"), Group: step.Is("daemon"), Mode: step.Is("0640")},
				Drift: []steptest.Hand{chmod, chown, chgrp, other, {Name: "state", Fake: func(m *fake.Machine) { m.Remove(lawTarball) }, Host: steptest.Run("rm", lawTarball)}},
			},
			{Name: "plain", Spec: DownloadSpec{Path: lawTarball, URLs: []string{"file://" + lawSource}, SHA256: strings.ToUpper(sum(payload)), MaxMB: 1, Timeout: "10s"}},
			{Name: "absent", Spec: DownloadSpec{Path: lawTarball, State: step.Absent}, Drift: []steptest.Hand{{Name: "state", Fake: wrote(lawTarball, "x"), Host: typed(lawTarball, "x")}}},
		},
		Touches: steptest.Touches{Files: []string{lawTarball}},
		Clean:   sequence(steptest.Run("rm", "-f", lawTarball, (downloaded{Path: lawTarball}).part()), typed(lawSource, payload)),
	})
}

// TestDownloadFrom: mirrors in order, a beginning that is gone on with, and what is
// never believed.
func TestDownloadFrom(t *testing.T) {
	const a, b, c = "https://a/x", "https://b/x", "https://c/x"
	for _, tt := range []struct {
		name string
		net  servers
		part string
		want string // in the error; empty for success
	}{
		{name: "the first", net: servers{a: payload}},
		{name: "the second", net: servers{b: payload}},
		{name: "cut, and gone on with", net: servers{a: payload[:5] + "!18", b: payload}},
		{name: "cut, down, gone on with", net: servers{a: payload[:5] + "!18", c: payload}},
		{name: "a dead run's beginning", net: servers{a: payload}, part: payload[:7]},
		{name: "a dead run's whole", net: servers{}, part: payload},
		{name: "a dead run's rubbish", net: servers{a: payload}, part: "no such beginning"},
		{name: "rubbish that is longer", net: servers{a: payload}, part: payload + payload},
		{name: "a wrong file, then the right", net: servers{a: "another file, quite long, longer than it\n", b: payload}},
		{name: "a wrong one alone", net: servers{a: "wrong"}, want: "has the sha256 " + sum("wrong") + ", not " + sum(payload)},
		{name: "endless", net: servers{a: strings.Repeat("x", 99) + "!153"}, want: "larger than max_mb"},
		{name: "nobody", net: servers{}, want: "Failed to connect"},
	} {
		m := fetching(tt.net)()
		m.WriteFile(lawTarball, "old")
		if tt.part != "" {
			m.WriteFile((downloaded{Path: lawTarball}).part(), tt.part)
		}
		s, err := downloadKind().Make(step.Unit{Spec: []byte(`{"path":"` + lawTarball + `","urls":["https://a/x","https://b/x","https://c/x"],"sha256":"` + sum(payload) + `","max_mb":1,"timeout":"10s"}`)})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil {
			t.Fatal(err)
		}
		err = s.Apply(t.Context(), m.Host(), f)
		got, _ := m.File(lawTarball)
		switch {
		case tt.want == "" && (err != nil || got != payload):
			t.Errorf("%s: %q, %v", tt.name, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || got != "old"):
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

func TestDownloadOntoAFullDisk(t *testing.T) {
	m := fetching(servers{"https://a/x": payload[:5] + "!23"})()
	m.SetSpace("/", host.Space{Total: 1 << 30, Free: 1000})
	s, _ := downloadKind().Make(step.Unit{Spec: []byte(`{"path":"` + lawTarball + `","urls":["https://a/x"],"sha256":"` + sum(payload) + `","max_mb":1,"timeout":"10s"}`)})
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err == nil || !strings.Contains(err.Error(), "the file system of /srv is full") {
		t.Errorf("%v", err)
	}
}

// TestDownloadThroughNoLink: a part that another hand laid as a link is not written
// through.
func TestDownloadThroughNoLink(t *testing.T) {
	m := fetching(nil)()
	m.WriteFile("/etc/shadow", "root:*:\n")
	m.Symlink((downloaded{Path: lawTarball}).part(), "/etc/shadow")
	s, _ := downloadKind().Make(step.Unit{Spec: []byte(`{"path":"` + lawTarball + `","urls":["file://` + lawSource + `"],"sha256":"` + sum(payload) + `","max_mb":1,"timeout":"10s"}`)})
	applied(t, m, s)
	if text, _ := m.File("/etc/shadow"); text != "root:*:\n" {
		t.Errorf("it wrote %q", text)
	}
}

// TestDownloadAmongOthers: who may write to the directory, or to one above it, lays a link
// at the part's name while a program fetches. Nothing is written through it.
func TestDownloadAmongOthers(t *testing.T) {
	const file = "/srv/loose/in/x.tar"
	for name, c := range map[string]struct {
		arrange func(m *fake.Machine)
		warns   string // empty for no warning
	}{
		"another's":         {func(m *fake.Machine) { m.Chown("/srv/loose/in", "daemon", "") }, "/srv/loose/in belongs to daemon"},
		"a group's":         {func(m *fake.Machine) { m.Chown("/srv/loose/in", "", "daemon"); m.Chmod("/srv/loose/in", 0o775) }, "(mode 0775)"},
		"everybody's":       {func(m *fake.Machine) { m.Chmod("/srv/loose/in", 0o777) }, "(mode 0777)"},
		"sticky":            {func(m *fake.Machine) { m.Chmod("/srv/loose/in", 0o777|fs.ModeSticky) }, ""},
		"below another's":   {func(m *fake.Machine) { m.Chown("/srv/loose", "daemon", "") }, "/srv/loose belongs to daemon"},
		"behind a symlink":  {func(m *fake.Machine) { m.Chown("/srv/loose", "daemon", ""); m.Symlink("/srv/way", "loose/in") }, "/srv/loose belongs to daemon"},
		"another's symlink": {func(m *fake.Machine) { m.Symlink("/srv/way", "/srv/loose/in"); m.Chown("/srv/way", "daemon", "") }, "/srv/way belongs to daemon"},
	} {
		t.Run(name, func(t *testing.T) {
			net := servers{"https://a/x": payload}
			m := fetching(net)()
			m.WriteFile("/etc/shadow", "root:*:\n")
			m.Mkdir("/srv/loose/in")
			c.arrange(m)
			at := file
			if info, err := m.Host().Files.Stat(t.Context(), "/srv/way"); err == nil && info.Type == host.Symlink {
				at = "/srv/way/x.tar"
			}
			part := (downloaded{Path: at}).part()
			m.Program("prlimit", func(m *fake.Machine, c host.Command) host.Result {
				m.Symlink(part, "/etc/shadow")
				return curl(m, net, string(c.Stdin))
			})
			s, err := downloadKind().Make(step.Unit{Spec: []byte(`{"path":"` + at + `","urls":["https://a/x"],"sha256":"` + sum(payload) + `","max_mb":1,"timeout":"10s","mode":"0640"}`)})
			if err != nil {
				t.Fatal(err)
			}
			f, err := s.Check(t.Context(), m.Host().View())
			if err == nil {
				err = s.Apply(t.Context(), m.Host(), f)
			}
			if text, _ := m.File("/etc/shadow"); text != "root:*:\n" || err != nil {
				t.Errorf("it wrote %q through the link, %v", text, err)
			}
			info, err := m.Host().Files.Stat(t.Context(), at)
			if text, _ := m.File(at); err != nil || text != payload || info.Type != host.Regular || info.Mode != 0o640 || info.Owner != "root" {
				t.Errorf("%q, %+v, %v", text, info, err)
			}
			if left, _ := m.Host().Files.List(t.Context(), m.Host().Kept); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
			if got := strings.Join(f.Warnings, ";"); !strings.Contains(got, c.warns) || c.warns == "" && got != "" {
				t.Errorf("it warns %q", got)
			}
		})
	}
}

// TestDownloadLawsAmongOthers: there the way of the file is another.
func TestDownloadLawsAmongOthers(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("the directories of the lab's hosts are root's")
	}
	laws(t, steptest.Subject{
		Kind: downloadKind(),
		Machine: func() *fake.Machine {
			m := fetching(nil)()
			m.Chown("/srv", "daemon", "")
			return m
		},
		Policy: []string{"urls", "username", "password", "environment", "max_mb", "timeout", "owner", "group", "mode"},
		Found:  []steptest.Hand{{Name: "absent"}, {Name: "different", Fake: together(wrote(lawTarball, "an older one\n"), func(m *fake.Machine) { m.Chmod(lawTarball, 0o755) })}},
		Cases: []steptest.Case{{Name: "plain", Spec: DownloadSpec{Path: lawTarball, URLs: []string{"file://" + lawSource}, SHA256: sum(payload), MaxMB: 1, Timeout: "10s"}, Drift: []steptest.Hand{
			{Name: "sha256", Fake: wrote(lawTarball, "tampered\n")}, {Name: "state", Fake: func(m *fake.Machine) { m.Remove(lawTarball) }},
		}}},
	})
}

// TestDownloadLeavesNothingHalf: a runner that was killed among others leaves a part of the
// file, which an undo takes away unless it refuses.
func TestDownloadLeavesNothingHalf(t *testing.T) {
	for name, lost := range map[string]bool{"an undo": false, "what cannot be undone": true} {
		m := fetching(nil)()
		m.Chown("/srv", "daemon", "")
		if lost {
			m.WriteFile(lawTarball, strings.Repeat("x", fileLimit+1))
		}
		spec := DownloadSpec{Path: lawTarball, URLs: []string{"file://" + lawSource}, SHA256: sum(payload), MaxMB: 1, Timeout: "10s"}
		f, err := check(t, downloadKind(), m, spec)
		if err != nil {
			t.Fatal(err)
		}
		was := m.Snapshot()
		m.WriteFile(host.Temporary(lawTarball), payload[:4])
		if lost {
			was = m.Snapshot()
		}
		err = stepOf(t, downloadKind(), spec).Undo(t.Context(), m.Host(), f)
		if errors.Is(err, step.ErrIrreversible) != lost || err != nil && !lost || m.Snapshot() != was {
			t.Errorf("%s: %v\n%s", name, err, m.Snapshot())
		}
	}
}

// TestDownloadHidesSecrets: neither password nor URL is an argument.
func TestDownloadHidesSecrets(t *testing.T) {
	d := downloads{spec: DownloadSpec{Username: "me", Password: `pa"ss\`, Timeout: "1m", MaxMB: 1, Environment: map[string]string{"https_proxy": "http://u:canary@p"}}}
	m := fetching(nil)()
	c, err := d.program(t.Context(), m.Host().View(), "https://a/x?token=canary", "/srv/p")
	if err != nil || strings.Contains(c.String(), "canary") || strings.Contains(c.String(), "pa") {
		t.Errorf("%s, %v", c, err)
	}
	if !strings.Contains(string(c.Stdin), `user = "me:pa\"ss\\"`) {
		t.Errorf("%s", c.Stdin)
	}
	m.Remove("/usr/bin/curl")
	m.WriteFile("/usr/bin/wget", "")
	if _, err = d.program(t.Context(), m.Host().View(), "https://a/x", "/srv/p"); err == nil || !strings.Contains(err.Error(), "curl") {
		t.Errorf("a password for wget: %v", err)
	}
	d = downloads{spec: DownloadSpec{Timeout: "1m"}, hidden: true}
	if c, err = d.program(t.Context(), m.Host().View(), "https://a/x?canary", "/srv/p"); err != nil || strings.Contains(c.String(), "canary") {
		t.Errorf("%s, %v", c, err)
	}
	m.Remove("/usr/bin/wget")
	m.WriteFile(aptHelper, "")
	if _, err = d.program(t.Context(), m.Host().View(), "https://a/x?canary", "/srv/p"); err == nil {
		t.Error("apt-helper is told a secret")
	}
}

func TestDownloadOfALargeOne(t *testing.T) {
	m := fetching(nil)()
	m.WriteFile(lawTarball, strings.Repeat("x", fileLimit+1))
	spec := DownloadSpec{Path: lawTarball, URLs: []string{"file://" + lawSource}, SHA256: sum(payload), MaxMB: 1, Timeout: "10s"}
	f, err := check(t, downloadKind(), m, spec)
	if err != nil || f.Cost.Irreversible == "" {
		t.Errorf("%+v, %v", f.Cost, err)
	}
	spec.SHA256 = sum(strings.Repeat("x", fileLimit+1))
	if f, err = check(t, downloadKind(), m, spec); err != nil || f.Changed() || f.Cost.Irreversible != "" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestDownloadRefuses(t *testing.T) {
	ok := DownloadSpec{Path: "/x", URLs: []string{"https://a/b"}, SHA256: sum("")}
	for want, change := range map[string]func(d *DownloadSpec){
		"":            func(*DownloadSpec) {},
		"path":        func(d *DownloadSpec) { d.Path = "x" },
		"urls":        func(d *DownloadSpec) { d.URLs = nil },
		"urls[0]":     func(d *DownloadSpec) { d.URLs = []string{"ftp://a/b"} },
		"sha256":      func(d *DownloadSpec) { d.SHA256 = "abc" },
		"timeout":     func(d *DownloadSpec) { d.Timeout = "5" },
		"max_mb":      func(d *DownloadSpec) { d.MaxMB = -1 },
		"username":    func(d *DownloadSpec) { d.Username = "a:b" },
		"environment": func(d *DownloadSpec) { d.Environment = map[string]string{"a=": ""} },
	} {
		d := ok
		change(&d)
		if got := problems(&d); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
	for _, u := range []string{"https://u:p@a/b", "file://h/x", "file:x", "https:///x", "https://a/\nb", `https://a/"`, "-o/etc/passwd"} {
		d := ok
		d.URLs = []string{u}
		if got := problems(&d); got != "urls[0]" {
			t.Errorf("%q: %q", u, got)
		}
	}
}
