package build

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step/steptest"
)

// archiveOf packs files as tar(1) does: what ends in a slash is a directory, "-> x" a
// symlink.
func archiveOf(files map[string]string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Mode: 0o755, ModTime: builtAt, Format: tar.FormatGNU}
		target, isLink := strings.CutPrefix(files[name], "-> ")
		switch {
		case isLink:
			header.Typeflag, header.Linkname = tar.TypeSymlink, target
		case strings.HasSuffix(name, "/"):
			header.Typeflag = tar.TypeDir
		default:
			header.Typeflag, header.Size = tar.TypeReg, int64(len(files[name]))
		}
		check(w.WriteHeader(header))
		if header.Size > 0 {
			_, err := w.Write([]byte(files[name]))
			check(err)
		}
	}
	check(w.Close())
	return b.String()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

const (
	lawsSource = "/var/cache/" + steptest.Prefix + "-1.0.tar"
	lawsPrefix = "/opt/" + steptest.Prefix
)

// makefile builds what [fakeMake] does, with a real compiler.
const makefile = `PREFIX ?= /usr/local
all: hello
hello: hello.c
	$(CC) $(CFLAGS) -o hello hello.c
install: hello
	mkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib
	cp hello $(DESTDIR)$(PREFIX)/bin/hello
	echo library > $(DESTDIR)$(PREFIX)/lib/libhello.so.1
	ln -s libhello.so.1 $(DESTDIR)$(PREFIX)/lib/libhello.so
`

// configure makes a Makefile of that.
const configure = `#!/bin/sh
set -e
src=$(dirname "$0")
for a in "$@"; do case $a in --prefix=*) prefix=${a#--prefix=};; esac; done
{ echo "PREFIX := $prefix"; sed -e "s:hello\\.c:$src/hello.c:g" "$src/Makefile"; } > Makefile
`

// helloSource is a small program, for make and for configure.
func helloSource() string {
	return archiveOf(map[string]string{
		"hello-1.0/": "", "hello-1.0/Makefile": makefile, "hello-1.0/configure": configure,
		"hello-1.0/hello.c": "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n",
	})
}

// machine is a Debian with a compiler.
func machine() *fake.Machine {
	m := fake.New()
	for _, dir := range []string{"/usr/local/bin", "/usr/local/sbin", "/etc/ld.so.conf.d", "/var/cache"} {
		m.Mkdir(dir)
	}
	m.AddAccount("builder")
	m.WriteFile("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
	m.WriteFile("/var/lib/dpkg/status", "gcc\t12\n")
	m.WriteFile(lawsSource, helloSource())
	m.WriteFile("/opt/dpdk-22-0011223344556677/lib/pkgconfig/libdpdk.pc", "Version: 22\n")
	m.Symlink("/opt/dpdk", "dpdk-22-0011223344556677")
	says := func(text string) fake.Program {
		return func(*fake.Machine, host.Command) host.Result { return host.Result{Stdout: []byte(text)} }
	}
	m.Program("uname", says("x86_64\n"))
	m.Program("cc", says("cc (Debian 12.2.0-14) 12.2.0\n"))
	m.Program("nproc", says("2\n"))
	m.Program("ldconfig", says(""))
	m.Program("dpkg-query", says("gcc\t4:12.2.0-3\tinstalled\n"))
	for name, p := range map[string]func(m *fake.Machine, c host.Command) error{
		"mv": fakeMove, "rm": fakeRemove, "cp": fakeCopy, "make": fakeMake, "configure": fakeConfigure, "meson": fakeMeson, "ninja": fakeMake,
	} {
		m.Program(name, program(p))
	}
	extract := program(fakeTar)
	m.Program("tar", func(m *fake.Machine, c host.Command) host.Result {
		if slices.Contains(c.Argv, "--to-stdout") {
			return fakeShow(m, c)
		}
		return extract(m, c)
	})
	m.Program("sha256sum", func(m *fake.Machine, c host.Command) host.Result {
		file := c.Argv[len(c.Argv)-1]
		content, ok := m.File(file)
		if !ok {
			return host.Result{Exit: 1, Stderr: []byte("sha256sum: " + file + ": No such file or directory\n")}
		}
		return host.Result{Stdout: []byte(sumOf([]byte(content)) + "  " + file + "\n")}
	})
	inner := func(skip int) fake.Program {
		return func(m *fake.Machine, c host.Command) host.Result {
			c.Argv = c.Argv[skip:]
			if i := slices.Index(c.Argv, "find"); i >= 0 { // which is a query, as all that runs it
				return fakeFind(m, c.Argv[i+1])
			}
			r, err := m.Host().Commands.Run(context.Background(), c)
			if err != nil && r.Exit == 0 {
				return host.Result{Exit: 127, Stderr: []byte(err.Error())}
			}
			return r
		}
	}
	m.Program("nice", inner(3))
	asUser := inner(4)
	m.Program("runuser", func(m *fake.Machine, c host.Command) host.Result {
		for dir := c.Dir; dir != "" && dir != "/"; dir = path.Dir(dir) {
			if info, err := read(m).Stat(context.Background(), dir); err != nil || info.Owner != "root" {
				return host.Result{Exit: 1, Stderr: []byte("root entered " + dir + ", and may have followed a link of " + c.Argv[2] + "\n")}
			}
		}
		if file := option(c, "--file"); slices.Contains(c.Argv, "--create") {
			if info, err := read(m).Stat(context.Background(), file); err != nil || info.Type != host.Regular || info.Owner != c.Argv[2] {
				return host.Result{Exit: 2, Stderr: []byte("tar: " + file + ": Cannot open: Permission denied\n")}
			}
		}
		return asUser(m, c)
	})
	within := inner(3)
	m.Program("env", func(m *fake.Machine, c host.Command) host.Result {
		c.Dir = option(c, "--chdir")
		return within(m, c)
	})
	return m
}

// program makes an error an exit status.
func program(p func(m *fake.Machine, c host.Command) error) fake.Program {
	return func(m *fake.Machine, c host.Command) host.Result {
		if err := p(m, c); err != nil {
			return host.Result{Exit: 2, Stderr: []byte(path.Base(c.Argv[0]) + ": " + err.Error() + "\n")}
		}
		return host.Result{}
	}
}

// option is the value of --name=value.
func option(c host.Command, name string) string {
	for _, a := range c.Argv {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return ""
}

func read(m *fake.Machine) host.FileReader { return m.Host().Files }

// fakeTar extracts and creates archives, and keeps times and modes as GNU tar
// does as root.
func fakeTar(m *fake.Machine, c host.Command) error {
	if slices.Contains(c.Argv, "--create") {
		return fakePack(m, option(c, "--file"), option(c, "--directory"))
	}
	text, ok := m.File(option(c, "--file"))
	if !ok {
		return fmt.Errorf("%s: Cannot open: No such file or directory", option(c, "--file"))
	}
	only := strings.Split(string(c.Stdin), "\x00")
	for r := tar.NewReader(strings.NewReader(text)); ; {
		a, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("This does not look like a tar archive")
		}
		name := path.Clean(strings.TrimLeft(a.Name, "/"))
		if slices.Contains(strings.Split(a.Name, "/"), "..") {
			return fmt.Errorf("%s: Member name contains '..'", a.Name)
		}
		if len(c.Stdin) > 0 && !slices.Contains(only, "./"+name) {
			continue
		}
		at := path.Join(option(c, "--directory"), name)
		switch a.Typeflag {
		case tar.TypeSymlink:
			m.Symlink(at, a.Linkname)
		case tar.TypeDir:
			m.Mkdir(at)
		default:
			content, err := io.ReadAll(r)
			check(err)
			m.Remove(at)
			m.WriteFile(at, string(content))
			m.Chmod(at, modeOf(fmt.Sprintf("%o", a.Mode)))
			m.Touch(at, a.ModTime)
		}
	}
}

// fakeFind prints the type, the name and the target of what is neither a file nor a
// directory.
func fakeFind(m *fake.Machine, root string) host.Result {
	var b bytes.Buffer
	walkAll(m, root, func(at string, info host.FileInfo) {
		name := strings.TrimPrefix(at, root+"/")
		switch info.Type {
		case host.Symlink:
			fmt.Fprintf(&b, "l\x00%s\x00%s\x00", name, info.Target)
		case host.Special:
			fmt.Fprintf(&b, "p\x00%s\x00\x00", name)
		}
	})
	return host.Result{Stdout: b.Bytes()}
}

// fakeShow prints a member.
func fakeShow(m *fake.Machine, c host.Command) host.Result {
	text, _ := m.File(option(c, "--file"))
	for r := tar.NewReader(strings.NewReader(text)); ; {
		a, err := r.Next()
		if err != nil {
			return host.Result{Exit: 2, Stderr: []byte("tar: Not found in archive")}
		}
		if "./"+path.Clean(a.Name) == c.Argv[len(c.Argv)-1] {
			content, err := io.ReadAll(r)
			check(err)
			return host.Result{Stdout: content}
		}
	}
}

// fakePack packs a directory, which may be a link to it.
func fakePack(m *fake.Machine, file, dir string) error {
	if info, err := read(m).Stat(context.Background(), dir); err == nil && info.Type == host.Symlink {
		dir = info.Target
	}
	files := map[string]string{}
	modes := map[string]int64{}
	walkAll(m, dir, func(at string, info host.FileInfo) {
		name := strings.TrimPrefix(at, dir+"/")
		switch info.Type {
		case host.Symlink:
			files[name] = "-> " + info.Target
		case host.Regular:
			files[name], _ = m.File(at)
			mode, err := strconv.ParseInt(octal(info), 8, 64)
			check(err)
			modes[name] = mode
		}
	})
	m.WriteFile(file, withModes(archiveOf(files), modes))
	return nil
}

// withModes is an archive whose files have the modes given.
func withModes(archive string, modes map[string]int64) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for r := tar.NewReader(strings.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			check(w.Close())
			return b.String()
		}
		check(err)
		if mode, ok := modes[h.Name]; ok {
			h.Mode = mode
		}
		check(w.WriteHeader(h))
		_, err = io.Copy(w, r)
		check(err)
	}
}

// walkAll calls visit for a path and all below.
func walkAll(m *fake.Machine, at string, visit func(at string, info host.FileInfo)) {
	info, err := read(m).Stat(context.Background(), at)
	if err != nil {
		return
	}
	visit(at, info)
	if info.Type != host.Directory {
		return
	}
	names, err := read(m).List(context.Background(), at)
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		walkAll(m, path.Join(at, name), visit)
	}
}

// duplicate copies a path with all below.
func duplicate(m *fake.Machine, from, to string) {
	walkAll(m, from, func(at string, info host.FileInfo) {
		dest := to + strings.TrimPrefix(at, from)
		switch info.Type {
		case host.Directory:
			m.Mkdir(dest)
		case host.Symlink:
			m.Symlink(dest, info.Target)
		default:
			text, _ := m.File(at)
			m.WriteFile(dest, text)
			m.Touch(dest, info.Modified)
		}
		if info.Type != host.Symlink {
			m.Chmod(dest, info.Mode)
		}
		m.Chown(dest, info.Owner, info.Group)
	})
}

func fakeMove(m *fake.Machine, c host.Command) error {
	from, to := c.Argv[len(c.Argv)-2], c.Argv[len(c.Argv)-1]
	if _, err := read(m).Stat(context.Background(), from); err != nil {
		return err
	}
	if names, _ := read(m).List(context.Background(), to); len(names) > 0 {
		return fmt.Errorf("cannot move to %s: Directory not empty", to)
	}
	m.Remove(to)
	duplicate(m, from, to)
	m.Remove(from)
	return nil
}

func fakeRemove(m *fake.Machine, c host.Command) error {
	m.Remove(c.Argv[len(c.Argv)-1])
	return nil
}

func fakeCopy(m *fake.Machine, c host.Command) error {
	from, to := c.Argv[len(c.Argv)-2], c.Argv[len(c.Argv)-1]
	text, ok := m.File(from)
	if !ok {
		return fmt.Errorf("cannot stat '%s': No such file or directory", from)
	}
	m.WriteFile(to, text)
	return nil
}

// fakeConfigure notes the prefix in the directory that it runs in.
func fakeConfigure(m *fake.Machine, c host.Command) error {
	m.WriteFile(path.Join(c.Dir, "config.status"), option(c, "--prefix"))
	return nil
}

func fakeMeson(m *fake.Machine, c host.Command) error {
	if c.Argv[1] == "setup" {
		return fakeConfigure(m, c)
	}
	return fakeMake(m, host.Command{Argv: []string{"make", "install", "DESTDIR=" + c.Argv[len(c.Argv)-1]}, Dir: c.Dir})
}

// fakeMake compiles hello, and installs it.
func fakeMake(m *fake.Machine, c host.Command) error {
	if text, ok := m.File(path.Join(c.Dir, "hello.c")); ok && strings.Contains(text, "broken") {
		return fmt.Errorf("*** [all] Error 1")
	}
	if !slices.Contains(c.Argv, "install") {
		m.WriteFile(path.Join(c.Dir, "hello.o"), "object")
		return nil
	}
	if _, ok := m.File(path.Join(c.Dir, "hello.o")); !ok {
		return fmt.Errorf("No rule to make target 'hello.o'")
	}
	to := option(c, "PREFIX")
	if to == "" {
		to, _ = m.File(path.Join(c.Dir, "config.status"))
	}
	at := path.Join(option(c, "DESTDIR"), to)
	for name, text := range installed(to) {
		if target, is := strings.CutPrefix(text, "-> "); is {
			m.Symlink(path.Join(at, name), target)
			continue
		}
		m.WriteFile(path.Join(at, name), text)
		if !strings.HasPrefix(name, "lib") {
			m.Chmod(path.Join(at, name), 0o755)
		}
	}
	return nil
}

// installed is what make install leaves of all that the tests build.
func installed(prefix string) map[string]string {
	return map[string]string{
		"bin/hello": "hello from " + prefix, "sbin/ovs-vswitchd": "daemon",
		"lib/libhello.so.1": "library", "lib/libhello.so": "-> libhello.so.1", "lib/pkgconfig/libdpdk.pc": "Version: 22\n",
	}
}

// earlier is a build of an older version that a hand laid out, without its archive.
func earlier(kind string) steptest.Hand {
	in := inputs{"kind": kind, "version": "0.9", "sha256": strings.Repeat("9", 64), "prefix": lawsPrefix, "by": "make", "distribution": "debian 12"}
	key := in.key()
	tree := lawsPrefix + "-0.9-" + key
	const text = "old\n"
	m := manifest{Name: steptest.Prefix, Version: "0.9", Key: key, Tree: tree, Inputs: in, Files: []file{
		{Path: "bin/hello", Mode: "0755", Size: int64(len(text)), SHA256: sumOf([]byte(text))},
	}}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	stamp := fmt.Sprintf("@%d", builtAt.Unix())
	return steptest.Hand{
		Name: "an older version",
		Fake: func(machine *fake.Machine) {
			machine.WriteFile(tree+"/bin/hello", text)
			machine.Chmod(tree+"/bin/hello", 0o755)
			machine.Touch(tree+"/bin/hello", builtAt)
			machine.WriteFile(path.Join(tree, manifestName), string(b))
			machine.Symlink(lawsPrefix, path.Base(tree))
		},
		Host: []host.Command{
			{Argv: []string{"mkdir", "-p", tree + "/bin"}},
			{Argv: []string{"tee", tree + "/bin/hello"}, Stdin: []byte(text)},
			{Argv: []string{"chmod", "755", tree + "/bin/hello"}},
			{Argv: []string{"touch", "-d", stamp, tree + "/bin/hello"}},
			{Argv: []string{"tee", path.Join(tree, manifestName)}, Stdin: b},
			{Argv: []string{"ln", "-s", path.Base(tree), lawsPrefix}},
		},
	}
}

// later is a time at which nothing of a tree was written.
func later() time.Time { return builtAt.Add(time.Hour) }
