package build

import (
	"context"
	"os"
	"path"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// treeOf is where a machine's build lies.
func treeOf(m *fake.Machine) string {
	info, err := m.Host().Files.Stat(context.Background(), lawsPrefix)
	if err != nil {
		panic(err)
	}
	return path.Join(path.Dir(lawsPrefix), info.Target)
}

// inTree is another hand at a file of the tree in use.
func inTree(name, file string, act func(m *fake.Machine, at string), argv ...string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { act(m, path.Join(treeOf(m), file)) },
		Host: steptest.Run(append(argv, path.Join(lawsPrefix, file))...),
	}
}

func drifts() []steptest.Hand {
	removes := func(name, at string) steptest.Hand {
		return steptest.Hand{Name: name, Fake: func(m *fake.Machine) { m.Remove(at) }, Host: steptest.Run("rm", at)}
	}
	return []steptest.Hand{
		removes("state", lawsPrefix),
		inTree("prefix", "bin/hello", func(m *fake.Machine, at string) { m.WriteFile(at, "other") }, "sed", "-i", "1s/^/#/"),
		inTree("prefix", "bin/hello", func(m *fake.Machine, at string) { m.Chmod(at, 0o777) }, "chmod", "0777"),
		inTree("prefix", "bin/hello", func(m *fake.Machine, at string) { m.Chown(at, "daemon", "") }, "chown", "daemon"),
		inTree("prefix", "lib/libhello.so.1", func(m *fake.Machine, at string) { m.Remove(at) }, "rm"),
		inTree("prefix", "lib/libhello.so", func(m *fake.Machine, at string) { m.Symlink(at, "elsewhere") }, "ln", "-sf", "elsewhere"),
		{
			Name: "prefix", Fake: func(m *fake.Machine) { m.Remove(treeOf(m)) },
			Host: steptest.Run("sh", "-c", `rm -rf "$(readlink -f `+lawsPrefix+`)"`),
		},
		removes("programs", "/usr/local/bin/hello"),
		{
			Name: "programs", Fake: func(m *fake.Machine) { m.Symlink("/usr/local/bin/hello", lawsPrefix+"/bin/other") },
			Host: steptest.Run("ln", "-sf", lawsPrefix+"/bin/other", "/usr/local/bin/hello"),
		},
	}
}

// few are one drift of each sort: the core is one.
func few() []steptest.Hand {
	all := drifts()
	return []steptest.Hand{all[0], all[1], all[7]}
}

// policy are the attributes that decide what is built and how: what a tree was built of
// does not drift by itself.
var policy = []string{
	"version", "source", "sha256", "by", "options", "prepare", "configure", "compile", "install", "environment", "packages", "compiler",
	"archive", "user", "jobs", "timeout", "directory",
}

// forget takes away what lies there while a build is cut: a later run goes on with it,
// and its undo does not make it again.
func forget(m *fake.Machine) {
	names, _ := m.Host().Files.List(context.Background(), cacheDir)
	for _, name := range names {
		info, err := m.Host().Files.Stat(context.Background(), path.Join(cacheDir, name))
		if err == nil && (info.Type == host.Directory || path.Ext(name) == ".new") {
			m.Remove(path.Join(cacheDir, name))
		}
	}
	names, _ = m.Host().Files.List(context.Background(), "/opt")
	for _, name := range names {
		if name[0] == '.' {
			m.Remove("/opt/" + name)
		}
	}
}

func TestLawsSource(t *testing.T) {
	spec := SourceSpec{
		Version: "1.0", Source: lawsSource, SHA256: sumOf([]byte(helloSource())), By: "make", Options: []string{"V=1"}, Environment: map[string]string{"CFLAGS": "-O2"},
		Packages: []string{"gcc"}, Programs: []string{"bin/hello"}, Libraries: []string{"lib"},
	}
	configured := spec
	configured.By, configured.User, configured.Libraries, configured.Prefix = "autotools", "daemon", nil, lawsPrefix
	absent := SourceSpec{State: step.Absent}
	laws(t, steptest.Subject{
		Kind: sourceKind(), Machine: machine,
		Found: []steptest.Hand{{Name: "absent"}, earlier("source_build")},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: spec,
				Drift: append(drifts(), steptest.Hand{
					Name: "libraries", Fake: func(m *fake.Machine) { m.Remove("/etc/ld.so.conf.d/weft-" + steptest.Prefix + ".conf") },
					Host: steptest.Run("rm", "/etc/ld.so.conf.d/weft-"+steptest.Prefix+".conf"),
				}),
				Spellings: []steptest.Hand{
					inTree("touched", "bin/hello", func(m *fake.Machine, at string) { m.Touch(at, later()) }, "touch"),
					inTree("what python leaves", "bin/__pycache__", func(m *fake.Machine, at string) { m.WriteFile(at+"/x.pyc", "x") }, "mkdir"),
				},
			},
			{Name: "configured", Spec: configured},
			{Name: "absent", Spec: absent},
		},
		Policy: policy, Forget: forget,
		Touches: steptest.Touches{Files: []string{"/usr/local/bin", "/etc/ld.so.conf.d"}, Queries: []host.Command{
			// What is hidden is on its way in or out, see forget.
			{Argv: []string{"find", "/opt", "-path", "/opt/.weft-*", "-prune", "-o", "-printf", `%p %y %m %u:%g %l\n`}},
			{Argv: []string{"find", "/opt", "-path", "/opt/.weft-*", "-prune", "-o", "-type", "f", "-exec", "sha256sum", "{}", "+"}},
		}},
		Prepare: func(t *testing.T, h host.Host) {
			if err := h.Files.Write(t.Context(), lawsSource, []byte(helloSource()), host.Attributes{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.Files.Remove(context.Background(), lawsSource) })
		},
		Clean: steptest.Run("sh", "-c", "rm -rf "+lawsPrefix+"* /opt/.weft-"+steptest.Prefix+"* /usr/local/bin/hello /etc/ld.so.conf.d/weft-"+steptest.Prefix+".conf "+
			cacheDir+"/"+steptest.Prefix+"*"),
	})
}

// onlyFake skips what would compile for many minutes: `make builds` does.
func onlyFake(t *testing.T) {
	t.Helper()
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("a real host has neither the sources nor the time")
	}
}

func TestLawsDPDK(t *testing.T) {
	onlyFake(t)
	spec := DPDKSpec{
		Version: "22.11", Source: lawsSource, SHA256: sumOf([]byte(helloSource())), Drivers: []string{"net/null"}, Apps: []string{"test-pmd"},
		Packages: []string{"gcc"}, Programs: []string{"bin/hello"}, Libraries: []string{"lib"}, Prefix: lawsPrefix,
	}
	laws(t, steptest.Subject{
		Kind: dpdkKind(), Machine: machine,
		Found: []steptest.Hand{earlier("dpdk_build")},
		Cases: []steptest.Case{
			{Name: "whole", Spec: spec, Drift: append(few(), steptest.Hand{
				Name: "libraries", Fake: func(m *fake.Machine) {
					m.WriteFile("/etc/ld.so.conf.d/weft-"+steptest.Prefix+".conf", "# Written by weft for dpdk_build "+steptest.Prefix+".\n/tmp\n")
				},
			})},
			{Name: "absent", Spec: DPDKSpec{State: step.Absent}},
		},
		Policy: append([]string{"drivers", "apps", "platform"}, policy...), Forget: forget,
	})
}

func TestLawsOVS(t *testing.T) {
	onlyFake(t)
	spec := OVSSpec{
		Version: "3.1.0", Source: lawsSource, SHA256: sumOf([]byte(helloSource())), DPDK: "/opt/dpdk", Packages: []string{"gcc"}, Prefix: lawsPrefix,
		Programs: []string{"bin/hello", "sbin/ovs-vswitchd"}, Units: step.Is(true), StartOptions: []string{"--no-mlockall"},
	}
	bare := spec
	bare.DPDK, bare.Units, bare.StartOptions = "", step.Is(false), nil
	laws(t, steptest.Subject{
		Kind: ovsKind(), Machine: machine,
		Found: []steptest.Hand{{Name: "absent"}},
		Cases: []steptest.Case{
			{Name: "with DPDK", Spec: spec, Drift: append(few(),
				steptest.Hand{Name: "units", Fake: func(m *fake.Machine) { m.Remove("/etc/systemd/system/" + switchUnit) }},
				steptest.Hand{Name: "units", Fake: func(m *fake.Machine) {
					m.WriteFile("/etc/systemd/system/"+databaseUnit, "# Written by weft for ovs_build "+steptest.Prefix+".\n[Service]\n")
				}})},
			{Name: "bare", Spec: bare},
			{Name: "absent", Spec: OVSSpec{State: step.Absent}},
		},
		Policy: append([]string{"dpdk", "start_options"}, policy...), Forget: forget,
	})
}
