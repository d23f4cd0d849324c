package sshtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// writeAccounts writes the users of a server, their homes and what lets them
// in.
func (s *Server) writeAccounts(t testing.TB, c Config) {
	t.Helper()
	shell := c.Shell
	if shell == "" {
		shell = "/bin/bash"
	}
	var passwd, shadow, group strings.Builder
	for i, user := range users {
		id := 0
		if user != "root" {
			id = 4000 + i
		}
		home := s.Path("home/" + user)
		fmt.Fprintf(&passwd, "%s:x:%d:%d::%s:%s\n", user, id, id, home, shell)
		fmt.Fprintf(&shadow, "%s:%s:19000:0:99999:7:::\n", user, passwordHash)
		fmt.Fprintf(&group, "%s:x:%d:\n", user, id)
		write(t, home+"/.bashrc", c.Bashrc, 0o644)
		if err := os.Chown(home, id, id); err != nil {
			t.Fatal(err)
		}
	}
	passwd.WriteString("sshd:x:4999:65534::/run/sshd:/usr/sbin/nologin\n")
	group.WriteString("shadow:x:42:\n")
	write(t, s.Path("etc/passwd"), passwd.String(), 0o644)
	write(t, s.Path("etc/shadow"), shadow.String(), 0o600)
	write(t, s.Path("etc/group"), group.String(), 0o644)
	write(t, s.Path("etc/sudoers"), c.Sudoers, 0o440)
	for path, text := range c.Replace {
		write(t, s.Path("replaced"+path), text, 0o755)
	}
	// Directories between / and a home must let other users through.
	for dir := s.Dir; dir != "/" && dir != "/tmp"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// bootScript makes the file system of a server and becomes its sshd.
func (s *Server) bootScript(sshd string, c Config) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("mount -t proc proc /proc")
	for _, file := range []string{"passwd", "shadow", "group", "sudoers"} {
		line("test -e /etc/%[1]s && mount --bind %[2]s /etc/%[1]s", file, s.Path("etc/"+file))
	}
	for i, program := range c.Hide {
		scratch, dir := s.Path(fmt.Sprint("hidden", i)), filepath.Dir(program)
		line("mkdir %[1]s && mount -t tmpfs tmpfs %[1]s && mkdir %[1]s/upper %[1]s/work", scratch)
		line("mount -t overlay -o lowerdir=%[2]s,upperdir=%[1]s/upper,workdir=%[1]s/work overlay %[2]s", scratch, dir)
		line("rm %s", program)
	}
	for program := range c.Replace {
		line("mount --bind %s %s", s.Path("replaced"+program), program)
	}
	options := "mode=0755"
	if c.Var != "" {
		options += "," + c.Var
	}
	line("mount -t tmpfs -o %s tmpfs /var/lib", options)
	line("mount -t tmpfs -o mode=0755 tmpfs /run")
	line("mkdir /run/sshd")
	line("exec %s -D -e -f %s", sshd, s.Path("sshd_config"))
	return b.String()
}

func onlyChild(t testing.TB, pid int) int {
	t.Helper()
	children := childrenOf(pid)
	if len(children) != 1 {
		t.Fatalf("process %d has the children %v, want one", pid, children)
	}
	return children[0]
}

func childrenOf(pid int) []int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var out []int
	for _, word := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(word); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func descendants(pid int) []int {
	var out []int
	for _, child := range childrenOf(pid) {
		out = append(append(out, child), descendants(child)...)
	}
	return out
}
