package packages

import (
	"context"
	"path"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step/steptest"
)

// sourceMagic begins what the model calls a source RPM.
const sourceMagic = "a source RPM of:\n"

// builddep is dnf builddep, by root: of a spec it expands the macros, of a source RPM
// it reads the header.
func (d dnfPrograms) builddep(m *fake.Machine, before []string, of string) host.Result {
	text, ok := m.File(of)
	switch {
	case !ok:
		return rpmFailed("No such file: %s", of)
	case strings.HasSuffix(of, ".spec"):
		if touched, ok := touchedByMacro(text); ok {
			m.WriteFile(touched, "")
		}
	case !strings.HasPrefix(text, sourceMagic):
		return rpmFailed("Failed to open: '%s', not a valid source rpm file: %s", of, text)
	}
	return d.dnf(m, host.Command{Argv: append(before, "install", "weft-laws-stable")})
}

// touchedByMacro is the file that a spec's macro %(touch FILE) makes.
func touchedByMacro(spec string) (string, bool) {
	_, rest, ok := strings.Cut(spec, "%(touch ")
	file, _, closed := strings.Cut(rest, ")")
	return file, ok && closed
}

// buildUserModel is runuser -u USER -- PROGRAM, for what a build has its user run.
func buildUserModel(m *fake.Machine, c host.Command) host.Result {
	user, argv := c.Argv[2], c.Argv[4:]
	switch argv[0] {
	case "rpmbuild":
		return rpmbuildModel(m, user, argv, c.Dir)
	case "find":
		var b strings.Builder
		findRPMs(m, argv[1], &b)
		return printed("%s", b.String())
	case "cp":
		return copyModel(m, user, argv[2:len(argv)-1], argv[len(argv)-1])
	}
	return host.Result{Exit: 127}
}

func rpmbuildModel(m *fake.Machine, user string, argv []string, top string) host.Result {
	spec, _ := m.File(argv[len(argv)-1])
	if file, ok := touchedByMacro(spec); ok {
		if info, err := m.Host().Files.Stat(context.Background(), path.Dir(file)); err == nil && info.Owner == user {
			m.WriteFile(file, "")
		}
	}
	if argv[1] == "-bs" {
		made(m, user, top+"/SRPMS/weft-laws-hello-1.0-1.src.rpm", sourceMagic+spec)
		return host.Result{}
	}
	said := "Executing(%prep): /bin/sh\n+ tar\nExecuting(%build): /bin/sh\n+ echo hello\nExecuting(%check): /bin/sh\n"
	if !strings.Contains(strings.Join(argv, " "), "--without check") {
		return host.Result{Exit: 1, Stdout: []byte(said + "+ exit 1\nerror: the tests fail\n"), Stderr: []byte("error: Bad exit status from /var/tmp/rpm-tmp.x (%check)\n\nRPM build errors:\n")}
	}
	m.Mkdir(top + "/RPMS/noarch")
	m.Chown(top+"/RPMS/noarch", user, "")
	made(m, user, top+"/RPMS/noarch/weft-laws-hello-1.0-1.noarch.rpm", "an RPM")
	return printed("%s", said)
}

// made is a file that a user writes.
func made(m *fake.Machine, user, file, content string) {
	m.WriteFile(file, content)
	m.Chown(file, user, "")
}

func findRPMs(m *fake.Machine, dir string, b *strings.Builder) {
	info, err := m.Host().Files.Stat(context.Background(), dir)
	switch {
	case err != nil:
	case info.Type == host.Directory:
		eachChild(m, dir, func(child string) { findRPMs(m, child, b) })
	case info.Type == host.Regular && strings.HasSuffix(dir, ".rpm"):
		b.WriteString(dir + "\x00")
	}
}

// copyModel is cp by a user who reads what is his or everybody's, and writes what is his.
func copyModel(m *fake.Machine, user string, files []string, to string) host.Result {
	denied := func(file string) host.Result {
		return host.Result{Exit: 1, Stderr: []byte("cp: cannot open '" + file + "': Permission denied\n")}
	}
	for _, from := range files {
		dest := to + path.Base(from)
		source := from
		info, err := m.Host().Files.Stat(context.Background(), source)
		for err == nil && info.Type == host.Symlink {
			source = info.Target
			info, err = m.Host().Files.Stat(context.Background(), source)
		}
		if err != nil || info.Owner != user && info.Mode&0o004 == 0 {
			return denied(from)
		}
		if at, err := m.Host().Files.Stat(context.Background(), dest); err != nil || at.Type != host.Regular || at.Owner != user {
			return denied(dest)
		}
		text, ok := m.File(source)
		if !ok {
			return denied(from)
		}
		m.WriteFile(dest, text)
	}
	return host.Result{}
}

const victim = "/etc/" + steptest.Prefix + "-victim"
