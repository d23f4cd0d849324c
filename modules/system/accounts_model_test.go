package system

import (
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
)

// accountMachine has the local files and the tools of the package passwd (shadow-utils).
func accountMachine() *fake.Machine {
	m := fake.New()
	m.WriteFile("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n+nis\n")
	m.WriteFile("/etc/group", "root:x:0:\ndaemon:x:1:\naudio:x:29:qemu\ndisk:x:6:\n")
	m.WriteFile("/etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n")
	tool := func(name string, do func(m *fake.Machine, options map[string]string, args []string) string) {
		m.Program(name, func(m *fake.Machine, c host.Command) host.Result {
			options, args := map[string]string{}, []string{}
			for i := 1; i < len(c.Argv); i++ {
				switch a := c.Argv[i]; {
				case a == "--":
				case slices.Contains([]string{"-M", "-r", "-U", "-N", "-e"}, a) && (a != "-M" || name != "chage"):
					options[a] = "yes"
				case strings.HasPrefix(a, "-") && name != "gpasswd":
					i++
					options[a] = c.Argv[i]
				default:
					args = append(args, a)
				}
			}
			options["stdin"] = string(c.Stdin)
			if said := do(m, options, args); said != "" {
				return host.Result{Exit: 9, Stderr: []byte(name + ": " + said + "\n")}
			}
			return host.Result{}
		})
	}
	tool("getent", func(m *fake.Machine, _ map[string]string, args []string) string {
		if args[1] == "far" || lineOf(m, "/etc/"+args[0], args[1]) != nil {
			return ""
		}
		return "none"
	})
	tool("useradd", useradd)
	tool("usermod", func(m *fake.Machine, o map[string]string, args []string) string {
		return change(m, "/etc/passwd", args[0], func(f []string) { overlayUser(m, f, o) })
	})
	tool("userdel", userdel)
	tool("groupadd", func(m *fake.Machine, o map[string]string, args []string) string {
		if lineOf(m, "/etc/group", args[0]) != nil {
			return "group exists"
		}
		add(m, "/etc/group", args[0]+":x:"+number(m, "/etc/group", o["-g"])+":")
		return ""
	})
	tool("groupmod", func(m *fake.Machine, o map[string]string, args []string) string {
		return change(m, "/etc/group", args[0], func(f []string) { f[2] = o["-g"] })
	})
	tool("groupdel", func(m *fake.Machine, _ map[string]string, args []string) string {
		return change(m, "/etc/group", args[0], nil)
	})
	tool("gpasswd", func(m *fake.Machine, _ map[string]string, args []string) string {
		verb, user, group := args[0], args[1], args[2]
		return change(m, "/etc/group", group, func(f []string) {
			members := slices.DeleteFunc(strings.Split(f[3], ","), func(s string) bool { return s == user || s == "" })
			if verb == "-a" {
				members = append(members, user)
			}
			f[3] = strings.Join(members, ",")
		})
	})
	tool("chpasswd", func(m *fake.Machine, o map[string]string, _ []string) string {
		user, hash, _ := strings.Cut(strings.TrimSpace(o["stdin"]), ":")
		return change(m, "/etc/shadow", user, func(f []string) { f[1], f[2] = hash, "20000" })
	})
	tool("chage", func(m *fake.Machine, o map[string]string, args []string) string {
		return change(m, "/etc/shadow", args[0], func(f []string) {
			for i, option := range []string{"-d", "-m", "-M", "-W", "-I", "-E"} {
				f[2+i] = strings.Replace(o[option], "-1", "", 1)
			}
		})
	})
	return m
}

func useradd(m *fake.Machine, o map[string]string, args []string) string {
	name := args[0]
	if lineOf(m, "/etc/passwd", name) != nil {
		return "user exists"
	}
	if o["-U"] != "" {
		if lineOf(m, "/etc/group", name) != nil {
			return "group exists"
		}
		add(m, "/etc/group", name+":x:"+number(m, "/etc/group", "")+":")
		o["-g"] = name
	}
	f := []string{name, "x", number(m, "/etc/passwd", ""), "", "", "/home/" + name, "/bin/sh"}
	overlayUser(m, f, o)
	add(m, "/etc/passwd", strings.Join(f, ":"))
	add(m, "/etc/shadow", name+":!:20000:0:99999:7:::")
	return ""
}

// userdel takes the group of the name with it, as USERGROUPS_ENAB of login.defs(5) has it.
func userdel(m *fake.Machine, _ map[string]string, args []string) string {
	user := lineOf(m, "/etc/passwd", args[0])
	if user == nil {
		return "no such user"
	}
	change(m, "/etc/passwd", args[0], nil)
	change(m, "/etc/shadow", args[0], nil)
	text, _ := m.File("/etc/group")
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, ":")
		change(m, "/etc/group", name, func(f []string) {
			members := slices.DeleteFunc(strings.Split(f[3], ","), func(s string) bool { return s == args[0] })
			f[3] = strings.Join(members, ",")
		})
	}
	if own := lineOf(m, "/etc/group", args[0]); own != nil && own[2] == user[3] && own[3] == "" {
		change(m, "/etc/group", args[0], nil)
	}
	return ""
}

func overlayUser(m *fake.Machine, f []string, o map[string]string) {
	for option, at := range map[string]int{"-u": 2, "-c": 4, "-d": 5, "-s": 6} {
		if value, given := o[option]; given {
			f[at] = value
		}
	}
	if g, given := o["-g"]; given {
		f[3] = g
		if line := lineOf(m, "/etc/group", g); line != nil {
			f[3] = line[2]
		}
	}
}

func lineOf(m *fake.Machine, file, name string) []string {
	text, _ := m.File(file)
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), ":"); f[0] == name {
			return f
		}
	}
	return nil
}

// change edits the line of a name, or removes it.
func change(m *fake.Machine, file, name string, edit func(f []string)) string {
	text, _ := m.File(file)
	var b strings.Builder
	said := "does not exist"
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if f[0] != name {
			b.WriteString(line)
			continue
		}
		said = ""
		if edit != nil {
			edit(f)
			b.WriteString(strings.Join(f, ":") + "\n")
		}
	}
	m.WriteFile(file, b.String())
	return said
}

func add(m *fake.Machine, file, line string) {
	text, _ := m.File(file)
	m.WriteFile(file, text+line+"\n")
}

// number is the one that is asked for, or the next from 1000.
func number(m *fake.Machine, file, asked string) string {
	if asked != "" {
		return asked
	}
	n := 1000
	text, _ := m.File(file)
	for strings.Contains(text, ":"+strconv.Itoa(n)+":") {
		n++
	}
	return strconv.Itoa(n)
}
