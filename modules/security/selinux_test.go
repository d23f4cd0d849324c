package security

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	seStore    = "/var/lib/selinux/default/active/"
	seLabels   = "/run/fake/labels" // of /srv
	seContexts = "/etc/selinux/default/contexts/files/file_contexts.local"
)

// selinuxStore has a policy, and a kernel that knows nothing of it.
func selinuxStore() *fake.Machine {
	m := fake.New()
	m.WriteFile(selinuxConfig, "# by the distribution\nSELINUX=permissive\nSELINUXTYPE=default\n")
	m.Mkdir(seStore)
	m.Mkdir("/etc/selinux/default/contexts/files")
	m.Mkdir("/srv")
	m.WriteFile(seLabels, "")
	m.Program("semanage", semanageModel)
	m.Program("restorecon", func(m *fake.Machine, c host.Command) host.Result {
		text, _ := m.File(seContexts)
		labels, _ := m.File(seLabels)
		wanted := ""
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); strings.HasPrefix(f[0], c.Argv[len(c.Argv)-1]) {
				wanted = f[1]
			}
		}
		if slices.Contains(c.Argv, "-n") {
			if labels == wanted {
				return host.Result{}
			}
			return host.Result{Stdout: []byte("Would relabel /srv from " + labels + " to " + wanted + "\n")}
		}
		m.WriteFile(seLabels, wanted)
		return host.Result{}
	})
	m.Program("setsebool", func(m *fake.Machine, c host.Command) host.Result {
		name, value, _ := strings.Cut(c.Argv[len(c.Argv)-1], "=")
		bit := map[string]string{"on": "1", "off": "0"}[value]
		m.SetKernel(selinuxFS+"/booleans/"+name, bit+" "+bit)
		if c.Argv[1] == "-P" {
			edit(m, seStore+"booleans.local", name+"=", name+"="+bit)
		}
		return host.Result{}
	})
	return m
}

// selinuxMachine has a kernel that is at work with it.
func selinuxMachine() *fake.Machine {
	m := selinuxStore()
	m.SetKernel(selinuxFS+"/enforce", "0")
	m.SetKernel(selinuxFS+"/booleans/httpd_enable_homedirs", "0 0")
	m.SetKernel(selinuxFS+"/booleans/other", "1 1")
	m.WriteFile(seStore+"booleans.local", "other=1\n")
	return m
}

// edit replaces the line with a prefix, or removes it; a file without lines goes.
func edit(m *fake.Machine, file, prefix, line string) {
	text, _ := m.File(file)
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" || strings.HasPrefix(s, prefix) })
	if line != "" {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	if m.Remove(file); len(lines) > 0 {
		m.WriteFile(file, strings.Join(lines, "\n")+"\n")
	}
}

func relabels(m *fake.Machine) { by(m, "restorecon", "-R", "/srv") }

func semanageModel(m *fake.Machine, c host.Command) host.Result {
	argv := slices.DeleteFunc(slices.Clone(c.Argv[1:]), func(a string) bool { return a == "-N" })
	object, what, verb := argv[0], argv[len(argv)-1], ""
	kind, protocol := "", ""
	for i, a := range argv {
		switch a {
		case "-t":
			kind = argv[i+1]
		case "-p":
			protocol = argv[i+1]
		case "-a", "-d", "-m":
			verb = a
		}
	}
	context := "system_u:object_r:" + kind + ":s0"
	switch object {
	case "port":
		prefix := "portcon " + protocol + " " + what + " "
		if verb == "-a" && what == "22" { // the policy itself has it
			return host.Result{Exit: 1, Stderr: []byte("ValueError: Port tcp/22 already defined\n")}
		}
		edit(m, seStore+"ports.local", prefix, map[bool]string{true: prefix + context}[kind != ""])
	case "fcontext":
		edit(m, seContexts, what+" ", map[bool]string{true: what + "    " + context}[kind != ""])
	case "boolean":
		value := map[bool]string{true: "1", false: "0"}[slices.Contains(argv, "--on")]
		edit(m, seStore+"booleans.local", what+"=", what+"="+value)
	case "import":
		m.Remove(seStore + "booleans.local")
		for line := range strings.Lines(string(c.Stdin)) {
			if f := strings.Fields(line); len(f) == 4 {
				edit(m, seStore+"booleans.local", f[3]+"=", f[3]+"="+map[string]string{"--on": "1", "--off": "0"}[f[2]])
			}
		}
	}
	return host.Result{}
}

func TestSELinuxLaws(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("no kernel of the lab has SELinux: what needs one is tried on the fake alone")
	}
	set := func(name, path, value string) steptest.Hand {
		return steptest.Hand{Name: name, Fake: func(m *fake.Machine) { m.SetKernel(path, value) }}
	}
	laws(t, steptest.Subject{
		Kind:    selinuxKind(),
		Machine: selinuxMachine,
		Policy:  []string{"state"},
		Forget:  relabels, // labels that a killed run left wrong are made right by the next, and stay so
		Found: []steptest.Hand{
			{Name: "untouched"},
			{Name: "different", Fake: func(m *fake.Machine) {
				m.SetKernel(selinuxFS+"/enforce", "1")
				by(m, "setsebool", "-P", "httpd_enable_homedirs=off")
				by(m, "semanage", "port", "-a", "-t", "http_port_t", "-p", "tcp", "6641")
				by(m, "semanage", "fcontext", "-a", "-t", "etc_t", "/srv(/.*)?")
				relabels(m)
			}},
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: SELinuxSpec{Name: "x", Mode: step.Is("enforcing"), Booleans: map[string]bool{"httpd_enable_homedirs": true},
					Contexts: map[string]string{"/srv(/.*)?": "virt_var_run_t"}, Ports: map[string]string{"6641/tcp": "ovsdb_port_t"}},
				Drift: []steptest.Hand{
					set("mode", selinuxFS+"/enforce", "0"),
					{Name: "mode", Fake: wrote(selinuxConfig, "SELINUX=disabled\nSELINUXTYPE=default\n")},
					set("booleans", selinuxFS+"/booleans/httpd_enable_homedirs", "0 0"),
					{Name: "file_contexts", Fake: func(m *fake.Machine) {
						by(m, "semanage", "fcontext", "-m", "-t", "bin_t", "/srv(/.*)?")
						relabels(m)
					}},
					ran("ports", "semanage", "port", "-d", "-p", "tcp", "6641"),
				},
			},
			{Name: "absent", Spec: SELinuxSpec{Name: "x", Contexts: map[string]string{"/srv(/.*)?": "t_t"}, Ports: map[string]string{"6641/tcp": "t_t"}, State: step.Absent},
				Drift: []steptest.Hand{ran("ports", "semanage", "port", "-a", "-t", "x_t", "-p", "tcp", "6641")}},
		},
	})
}

// TestSELinuxStoreLaws: a policy is there, and SELinux off. The real semanage does
// this on any Debian with a policy, at some seconds a change.
func TestSELinuxStoreLaws(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		if _, err := os.Stat(selinuxConfig); err != nil || testing.Short() {
			t.Skip("needs semodule-utils, policycoreutils-python-utils and selinux-policy-default, and minutes")
		}
	}
	query := func(argv ...string) host.Command { return host.Command{Argv: argv} }
	laws(t, steptest.Subject{
		Kind:    selinuxKind(),
		Machine: selinuxStore,
		Policy:  []string{"state", "mode"},
		Found:   []steptest.Hand{{Name: "untouched"}},
		Cases: []steptest.Case{{
			Name: "whole", Spec: SELinuxSpec{Name: "weft-laws", Booleans: map[string]bool{"httpd_enable_homedirs": true},
				Contexts: map[string]string{"/srv/weft-laws(/.*)?": "etc_t"}, Ports: map[string]string{"6641/tcp": "http_port_t"}},
			Drift: []steptest.Hand{
				ran("booleans", "semanage", "boolean", "-N", "-m", "--off", "httpd_enable_homedirs"),
				ran("file_contexts", "semanage", "fcontext", "-N", "-m", "-t", "bin_t", "/srv/weft-laws(/.*)?"),
				ran("ports", "semanage", "port", "-N", "-d", "-p", "tcp", "6641"),
			},
		}},
		Touches: steptest.Touches{Queries: []host.Command{
			query("grep", "^portcon", seStore+"ports.local"), query("grep", "=", seStore+"booleans.local"), query("grep", "^/", seContexts),
		}},
		Clean: sequence(
			steptest.Run("semanage", "boolean", "-N", "-D"), steptest.Run("semanage", "port", "-N", "-D"), steptest.Run("semanage", "fcontext", "-N", "-D"),
		),
	})
}

func TestSELinuxSays(t *testing.T) {
	spec := SELinuxSpec{Name: "x", Ports: map[string]string{"22/tcp": "x_t"}}
	if _, err := check(t, selinuxKind(), fake.New(), spec); !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "no SELinux") {
		t.Errorf("a host without: %v", err)
	}
	m := selinuxStore()
	f, err := check(t, selinuxKind(), m, spec)
	if err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "off in this boot") {
		t.Errorf("off: %v, %v", f.Warnings, err)
	}
	if _, err = check(t, selinuxKind(), m, SELinuxSpec{Name: "x", Mode: step.Is("enforcing")}); err == nil || !strings.Contains(err.Error(), "autorelabel") {
		t.Errorf("a mode of one that is off: %v", err)
	}
	m = selinuxMachine()
	s := made(t, selinuxKind(), spec)
	f, err = s.Check(t.Context(), m.Host().View())
	if err == nil {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if text, _ := m.File(seStore + "ports.local"); err != nil || !strings.Contains(text, "portcon tcp 22 system_u:object_r:x_t:s0") {
		t.Errorf("a port that the policy has: %q, %v", text, err)
	}
	by(m, "semanage", "fcontext", "-a", "-t", "a_t", "/srv(/.*)?")
	labelled := SELinuxSpec{Name: "x", Contexts: map[string]string{"/srv(/.*)?": "a_t"}}
	if f, err = check(t, selinuxKind(), m, labelled); err != nil || len(f.Deltas) != 1 || !strings.Contains(string(f.Deltas[0].From), "another type") {
		t.Errorf("files that a hand, or a killed run, left with another label: %+v, %v", f.Deltas, err)
	}
	relabels(m)
	if f, err = check(t, selinuxKind(), m, labelled); err != nil || f.Changed() {
		t.Errorf("%+v, %v", f.Deltas, err)
	}
	if _, err = check(t, selinuxKind(), m, SELinuxSpec{Name: "x", Booleans: map[string]bool{"nosuch": true}}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("no such boolean: %v", err)
	}
	for _, pattern := range []string{"/x(?=y)", "/x)(y", "/["} {
		if got := problems(&SELinuxSpec{Contexts: map[string]string{pattern: "a_t"}}); got != "file_contexts" {
			t.Errorf("%s: %q", pattern, got)
		}
	}
	for want, spec := range map[string]SELinuxSpec{
		"booleans": {Booleans: map[string]bool{"a=b": true}}, "file_contexts": {Contexts: map[string]string{"-x": "a_t"}}, "ports": {Ports: map[string]string{"22": "a_t"}},
		"state": {Mode: step.Is("enforcing"), State: step.Absent}, "mode": {Mode: step.None[string]()},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

// TestSELinuxRelabels: files that an expression names get their type, and no others, what
// restorecon(8) takes them for aside.
func TestSELinuxRelabels(t *testing.T) {
	all := []string{"/srv", "/srv/sub", "/srv/sub/deep", "/srv/vm1", "/srv/vm1/sock", "/srv/vm[2]*{a,b}", "/srv/vm1/other", "/srv/a.b", "/srv/axb"}
	for pattern, want := range map[string][]string{
		"/srv(/.*)?":           all,
		"/srv/sub(/.*)?":       {"/srv/sub", "/srv/sub/deep"},
		"/srv/sub":             {"/srv/sub"},
		`/srv/a\.b`:            {"/srv/a.b"},
		"/srv/vm[0-9]+/sock":   {"/srv/vm1/sock"},
		"/srv/vm[0-9]+":        {"/srv/vm1"},
		"/srv/vm[^/]*":         {"/srv/vm1", "/srv/vm[2]*{a,b}"},
		"/srv/.*":              all[1:],
		"/way/vm[0-9]+(/.*)?":  {"/srv/vm1", "/srv/vm1/sock", "/srv/vm1/other"}, // a symlink to /srv
		"/srv/none[0-9]":       nil,
		"/(srv|opt)/vm1/other": nil, // anywhere
	} {
		for version, says := range map[string]string{"libselinux 3": "Would relabel %s from u:object_r:a_t:s0 to u:object_r:b_t:s0\n", "policycoreutils 2.5": "restorecon reset %s context u:object_r:a_t:s0->u:object_r:b_t:s0\n"} {
			m := selinuxMachine()
			m.Symlink("/way", "/srv")
			for _, name := range []string{"/srv/sub/deep", "/srv/vm1/sock", "/srv/vm1/other", "/srv/vm[2]*{a,b}", "/srv/a.b", "/srv/axb"} {
				m.WriteFile(name, "")
			}
			m.Program("realpath", func(*fake.Machine, host.Command) host.Result { return host.Result{Stdout: []byte("/srv\n")} })
			labelled := map[string]bool{}
			m.Program("restorecon", restoreconModel(all, says, labelled))
			s := made(t, selinuxKind(), SELinuxSpec{Name: "x", Contexts: map[string]string{pattern: "b_t"}})
			f, err := s.Check(t.Context(), m.Host().View())
			if err == nil {
				err = s.Apply(t.Context(), m.Host(), f)
			}
			got := slices.Sorted(maps.Keys(labelled))
			if slices.Sort(want); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %s: it labels %q, not %q, %v", pattern, version, got, want, err)
			}
			if again, err := s.Check(t.Context(), m.Host().View()); err != nil || again.Changed() {
				t.Errorf("%s, %s: there is still %+v to do, %v", pattern, version, again.Deltas, err)
			}
			if warned := strings.Contains(strings.Join(f.Warnings, ";"), "may lie anywhere"); warned != strings.HasPrefix(pattern, "/(") {
				t.Errorf("%s: it warns %q", pattern, f.Warnings)
			}
		}
	}
}

// restoreconModel is restorecon(8) on files that all have another label than the policy has
// for them until it was run on them; says is how it tells of one.
func restoreconModel(all []string, says string, labelled map[string]bool) fake.Program {
	return func(_ *fake.Machine, c host.Command) host.Result {
		places := c.Argv[len(c.Argv)-1:]
		if places[0] == "-" {
			places = strings.Split(strings.TrimSuffix(string(c.Stdin), "\n"), "\n")
		}
		var said strings.Builder
		for _, place := range places {
			if place == "/way" || strings.HasPrefix(place, "/way/") {
				place = "/srv" + strings.TrimPrefix(place, "/way")
			}
			for _, name := range all {
				// An expanded name is that of others too.
				named, err := path.Match(place, name)
				named = named || slices.Contains(c.Argv, "-R") && strings.HasPrefix(name, place+"/")
				if err != nil || labelled[name] || !named {
					continue
				}
				if fmt.Fprintf(&said, says, name); !slices.Contains(c.Argv, "-n") {
					labelled[name] = true
				}
			}
		}
		return host.Result{Stdout: []byte(said.String())}
	}
}

func TestSELinuxText(t *testing.T) {
	for pattern, want := range map[string]reach{
		"/srv(/.*)?": {place: "/srv", how: below}, "/srv/x": {place: "/srv/x", how: itself}, `/srv/a\.b`: {place: "/srv/a.b", how: itself}, "/": {place: "/", how: itself},
		`/srv/a\.b(/.*)?`: {place: "/srv/a.b", how: below}, "/srv/vm[0-9]+/sock": {place: "/srv", how: matched}, "/srv/ab?": {place: "/srv", how: matched},
		"/(a|b)": {how: matched}, "/srv/(x|y)/z": {place: "/srv", how: matched}, "/srv/a|/etc/b": {how: matched}, "/srv/.*": {place: "/srv", how: matched},
		"/srv(/vm.*)?": {place: "/srv", how: matched}, "/srv/x.*(/.*)?": {place: "/srv", how: matched},
	} {
		if got, err := reachOf(pattern); err != nil || got.place != want.place || got.how != want.how {
			t.Errorf("%s: %+v, want %+v, %v", pattern, got, want, err)
		}
	}
	for said, want := range map[string]bool{
		"": false, "Would relabel /srv/a from u:object_r:a_t:s0 to u:object_r:b_t:s0\n": true,
		"/srv/vm.img not reset as customized by admin to u:object_r:b_t:s0\n": false,
	} {
		if got := wouldLabel(said); got != want {
			t.Errorf("%q: %v", said, got)
		}
	}
	ports := parsePorts("# x\nportcon tcp 6641 system_u:object_r:a_t:s0\nportcon udp 1 - 9 u:r:b_t:s0:c0.c1\n")
	if !maps.Equal(ports, map[string]string{"6641/tcp": "a_t", "1-9/udp": "b_t"}) {
		t.Error(ports)
	}
	for _, pair := range [][2]string{{"on", "on"}, {"on", "off"}, {"off", ""}} {
		if now, kept := halves(lasting(pair[0], pair[1])); now != pair[0] || kept != pair[1] {
			t.Errorf("%v became %s, %s", pair, now, kept)
		}
	}
}

func FuzzSELinuxText(f *testing.F) {
	f.Add("SELINUX=enforcing\n#SELINUX=x\nportcon tcp 1 a:b:c\n/x -- a:b:c\nb=1\n")
	f.Add("\"=\nportcon   - \n/ :::")
	f.Fuzz(func(t *testing.T, text string) {
		if got := shellValue(setShellValue(text, "SELINUX", "permissive"), "SELINUX"); got != "permissive" {
			t.Errorf("%q: %q", text, got)
		}
		for _, m := range []map[string]string{parseBooleans(text), parseContexts(text), parsePorts(text)} {
			for k, v := range m {
				if k == "" || v == "" {
					t.Errorf("%q: %q is %q", text, k, v)
				}
			}
		}
		for _, name := range relabelled(text) {
			if !strings.HasPrefix(name, "/") {
				t.Errorf("%q: %q is no path", text, name)
			}
		}
		r, err := reachOf(text)
		switch {
		case err != nil:
		case r.how == itself && r.place != "" && !r.names.MatchString(r.place), r.how == below && !r.names.MatchString(r.place+"/x/y"):
			t.Errorf("%q does not name what lies at %q", text, r.place)
		}
	})
}
