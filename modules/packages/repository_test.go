package packages

import (
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// testKey was made for this test, and signs nothing.
const testKey = `-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawJ7sBYJKwYBBAHaRw8BAQdAhPNSrSdhhaVsTMLlmSCWQ+EoH4UdbS7k8Zri
u9E0z3a0HXdlZnQgbGF3cyA8bGF3c0B3ZWZ0LmV4YW1wbGU+iJAEExYIADgWIQQG
MfCE8+5QpVAFcphLJyMkV/ltuAUCawJ7sAIbAwULCQgHAgYVCgkICwIEFgIDAQIe
AQIXgAAKCRBLJyMkV/ltuMrfAPkBUyfpWHou77aQNmX/fVlJClu4RAHzFd+khOSm
Bw3EUwD/UlxcziAY0NICI85bUpNQ1APFFAg9Anr5wZWujKBJNgc=
=C+7G
-----END PGP PUBLIC KEY BLOCK-----
`

const testKeyRPM = "gpg-pubkey-57f96db8-6b027bb0"

// keyring is rpm's: a file of the machine for each key that was imported.
func keyring(m *fake.Machine, c host.Command) host.Result {
	switch c.Argv[1] {
	case "--import":
		text, _ := m.File(c.Argv[2])
		keys, err := parseKeys(text)
		if err != nil {
			return host.Result{Exit: 1, Stderr: []byte("error: " + err.Error())}
		}
		for _, k := range keys {
			m.WriteFile("/var/lib/rpm/"+k.rpm(), "")
		}
	case "-e":
		m.Remove("/var/lib/rpm/" + c.Argv[2])
	case "-q":
		if _, ok := m.File("/var/lib/rpm/" + c.Argv[2]); !ok {
			return host.Result{Exit: 1, Stdout: []byte("package " + c.Argv[2] + " is not installed\n")}
		}
	}
	return host.Result{}
}

func yumMachine() *fake.Machine {
	m := fake.New()
	m.Program("rpm", keyring)
	m.Mkdir("/var/lib/rpm")
	m.WriteFile("/etc/yum.repos.d/distro.repo", distroRepo)
	return m
}

const distroRepo = "# what the distribution brought\n[base]\nname=Base\nbaseurl=file:///srv/base\n\n[" + steptest.Prefix + "-extras]\nname = Extras\nenabled = 1\n# a comment\ngpgcheck=1\nbaseurl = http://a.example/x/\n          http://b.example/x\ncost=5\n\n[last]\nname=Last\n"

// wrote is another hand that writes a file.
func wrote(path, content string) steptest.Hand {
	return steptest.Hand{
		Fake: func(m *fake.Machine) { m.WriteFile(path, content) },
		Host: []host.Command{{Argv: []string{"install", "-D", "-m", "644", "/dev/stdin", path}, Stdin: []byte(content)}},
	}
}

func named(name string, h steptest.Hand) steptest.Hand {
	h.Name = name
	return h
}

// replaced is another hand that edits what weft wrote.
func replaced(name, path, old, text string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) {
			content, _ := m.File(path)
			if !strings.Contains(content, old) {
				panic(path + " does not hold " + old + ":\n" + content)
			}
			m.WriteFile(path, strings.Replace(content, old, text, 1))
		},
		Host: steptest.Run("sed", "-i", "s|"+strings.ReplaceAll(old, "\n", "")+"|"+strings.ReplaceAll(text, "\n", `\n`)+"|", path),
	}
}

func TestRepositoryLawsOfDNF(t *testing.T) {
	const file, key = "/etc/yum.repos.d/" + steptest.Prefix + ".repo", "/etc/pki/rpm-gpg/RPM-GPG-KEY-" + steptest.Prefix
	const whole = "# by hand\n[" + steptest.Prefix + "]\nname=Other\nbaseurl=http://other.example/\nenabled=0\ngpgcheck=0\npriority=7\n"
	mirrors := RepositorySpec{By: dnf, Mirrorlist: step.Is("http://mirrors.example/list"), Metalink: step.None[string](), URIs: []string{}, KeyFile: step.Is("/etc/hosts")}
	laws(t, steptest.Subject{
		Kind: repositoryKind(), Machine: yumMachine,
		Policy: append([]string{"by"}, (&RepositorySpec{Types: []string{}, Suites: []string{}, Components: []string{}, Architectures: []string{}, Pin: step.Is(1)}).foreign(dnf)...),
		Found: []steptest.Hand{
			{Name: "absent"},
			named("different", wrote(file, whole)),
			named("another section of the file", wrote(file, "[other]\nname=Other\nbaseurl=file:///srv/o\n")),
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: RepositorySpec{
					By: dnf, URIs: []string{"file:///srv/rpms/", "file:///srv/more"}, Description: step.Is("The laws"), Enabled: step.Is(false), GPGCheck: step.Is(true),
					Key: step.Is(testKey), Priority: step.Is(10), ModuleHotfixes: step.Is(true),
				},
				Drift: []steptest.Hand{
					replaced("uris", file, "file:///srv/more", "file:///srv/less"),
					replaced("description", file, "The laws", "No law"),
					replaced("enabled", file, "enabled=0", "enabled=1"),
					replaced("gpgcheck", file, "gpgcheck=1", "gpgcheck=no"),
					replaced("key", key, "BLOCK", "BLUCK"),
					replaced("priority", file, "priority=10", "priority=11"),
					replaced("module_hotfixes", file, "module_hotfixes=1", "module_hotfixes=0"),
					{Name: "state", Fake: func(m *fake.Machine) { m.Remove(file) }, Host: steptest.Run("rm", file)},
				},
				Spellings: []steptest.Hand{
					replaced("a blank around the sign", file, "enabled=0", "enabled = False"),
					replaced("slash", file, "srv/more", "srv/more/"),
				},
			},
			{
				Name: "mirrors", Spec: mirrors,
				Drift: []steptest.Hand{
					replaced("mirrorlist", file, "mirrorlist=http://mirrors", "mirrorlist=http://morrirs"),
					replaced("metalink", file, "mirrorlist=", "metalink="),
					replaced("key_file", file, "/etc/hosts", "/etc/passwd"),
				},
			},
			{Name: "unsigned", Spec: RepositorySpec{By: dnf, URIs: []string{"http://a.example/x"}, Enabled: step.Is(true), GPGCheck: step.Is(false), Priority: step.None[int]()}},
			{Name: "absent", Spec: RepositorySpec{By: dnf, State: step.Absent}},
		},
		Touches: steptest.Touches{Files: []string{"/etc/yum.repos.d", "/etc/pki/rpm-gpg"}, Queries: []host.Command{{Argv: []string{"rpm", "-q", "gpg-pubkey"}}}},
		Clean: []host.Command{
			{Argv: []string{"rm", "-rf", "/etc/yum.repos.d", "/etc/pki/rpm-gpg"}}, {Argv: []string{"rpm", "-e", testKeyRPM}},
			wrote("/etc/yum.repos.d/distro.repo", distroRepo).Host[0],
		},
		Prepare: realRepoFiles,
	})
}

// TestRepositoryLawsInAFileOfOthers: the section is one of several.
func TestRepositoryLawsInAFileOfOthers(t *testing.T) {
	const file, name = "/etc/yum.repos.d/distro.repo", steptest.Prefix + "-extras"
	laws(t, steptest.Subject{
		Kind: repositoryKind(), Machine: yumMachine,
		Policy: []string{"by", "uris", "mirrorlist", "metalink", "description", "types", "suites", "components", "architectures", "gpgcheck", "key", "key_file", "priority", "module_hotfixes", "pin"},
		Cases: []steptest.Case{
			{
				Name: "switched off", Spec: RepositorySpec{Name: name, By: yum, Enabled: step.Is(false)},
				Drift: []steptest.Hand{
					replaced("enabled", file, "enabled = 0", "enabled = 1"),
				},
			},
			{Name: "more", Spec: RepositorySpec{Name: name, By: yum, URIs: []string{"http://a.example/x"}, GPGCheck: step.Is(false), KeyFile: step.Is("/etc/hosts"), Priority: step.Is(3)}},
			{Name: "absent", Spec: RepositorySpec{Name: name, By: yum, State: step.Absent}, Drift: []steptest.Hand{
				named("state", wrote(file, distroRepo)),
			}},
		},
		Touches: steptest.Touches{Files: []string{"/etc/yum.repos.d"}},
		Clean:   append(steptest.Run("rm", "-rf", "/etc/yum.repos.d", "/etc/pki/rpm-gpg"), wrote(file, distroRepo).Host...),
		Prepare: realRepoFiles,
	})
}

func TestRepositoryLawsOfApt(t *testing.T) {
	const file, key, pin = "/etc/apt/sources.list.d/" + steptest.Prefix + ".sources", "/etc/apt/keyrings/" + steptest.Prefix + ".asc", "/etc/apt/preferences.d/" + steptest.Prefix
	laws(t, steptest.Subject{
		Kind: repositoryKind(), Machine: func() *fake.Machine {
			m := fake.New()
			m.Mkdir("/etc/apt")
			m.Mkdir("/etc/apt/preferences.d")
			m.Mkdir("/etc/apt/sources.list.d")
			return m
		},
		Policy: append([]string{"by"}, (&RepositorySpec{Mirrorlist: step.Is(""), Metalink: step.Is(""), Description: step.Is(""), Priority: step.Is(1), ModuleHotfixes: step.Is(true)}).foreign(apt)...),
		Found: []steptest.Hand{
			{Name: "absent"},
			named("different", wrote(file, "# by hand\nTypes: deb deb-src\nURIs: http://other.example/debian/\nSuites: stable\nComponents: main\n  contrib\nEnabled: no\nTrusted: yes\nSigned-By: /etc/hosts\nLanguages: none\n")),
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: RepositorySpec{
					By: apt, Types: []string{"deb"}, URIs: []string{"http://deb.example/debian"}, Suites: []string{"bookworm", "bookworm-updates"}, Components: []string{"main", "contrib"},
					Architectures: []string{"amd64", "all"}, Enabled: step.Is(true), GPGCheck: step.Is(true), Key: step.Is(testKey), Pin: step.Is(100),
				},
				Drift: []steptest.Hand{
					replaced("types", file, "Types: deb", "Types: deb-src"),
					replaced("uris", file, "deb.example", "evil.example"),
					replaced("suites", file, "bookworm-updates", "trixie"),
					replaced("components", file, "contrib", "non-free"),
					replaced("architectures", file, "amd64", "arm64"),
					replaced("enabled", file, "Types:", "Enabled: no\nTypes:"),
					replaced("gpgcheck", file, "Types:", "Trusted: yes\nTypes:"),
					replaced("key", key, "BLOCK", "BLUCK"),
					replaced("pin", pin, "100", "900"),
					{Name: "state", Fake: func(m *fake.Machine) { m.Remove(file) }, Host: steptest.Run("rm", file)},
				},
				Spellings: []steptest.Hand{replaced("slash", file, "example/debian", "example/debian/"), replaced("order", file, "bookworm bookworm-updates", "bookworm-updates bookworm")},
			},
			{
				Name: "flat", Spec: RepositorySpec{By: apt, URIs: []string{"file:///srv/debs"}, Suites: []string{"./"}, Components: []string{}, Enabled: step.Is(false), GPGCheck: step.Is(false), KeyFile: step.Is("/usr/share/keyrings/x.gpg"), Pin: step.None[int]()},
				Drift: []steptest.Hand{replaced("key_file", file, "keyrings/x", "keyrings/y")},
			},
			{Name: "absent", Spec: RepositorySpec{By: apt, State: step.Absent}},
		},
		Touches: steptest.Touches{Files: []string{file, key, pin, "/etc/apt/keyrings"}},
		Clean:   []host.Command{{Argv: []string{"rm", "-f", file, key, pin}}},
	})
}
