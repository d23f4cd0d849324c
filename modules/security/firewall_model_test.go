package security

import (
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
)

const fakeNft = "/run/fake/nft/"

// bare has no firewall yet.
func bare() *fake.Machine {
	m := fake.New()
	m.AddLink("", host.Link{Name: "eth0", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}})
	m.AddLink("", host.Link{Name: "eth9", Up: true})
	return m
}

// nftMachine has nft(8), whose tables are files.
func nftMachine() *fake.Machine {
	m := bare()
	m.WriteFile("/usr/sbin/nft", "\x7fELF")
	m.Mkdir(fakeNft)
	// systemd keeps a .wants directory of another unit in it
	m.Symlink("/etc/systemd/system/multi-user.target.wants/cron.service", "/lib/systemd/system/cron.service")
	m.Program("unshare", func(_ *fake.Machine, c host.Command) host.Result {
		text, _, _ := strings.Cut(string(c.Stdin), "\x00")
		if strings.Contains(text, "nonsense") {
			return host.Result{Exit: 123, Stderr: []byte("Error: syntax error, unexpected string\n")}
		}
		return host.Result{Stdout: []byte(canonicalNft(text))}
	})
	m.Program("nft", func(m *fake.Machine, c host.Command) host.Result {
		switch c.Argv[1] {
		case "-n":
			text, ok := m.File(fakeNft + c.Argv[6])
			if !ok {
				return host.Result{Exit: 1, Stderr: []byte("Error: No such file or directory\n")}
			}
			return host.Result{Stdout: []byte(text)}
		case "add": // add rule inet TABLE CHAIN …
			text, _ := m.File(fakeNft + c.Argv[4])
			at := strings.LastIndex(text, "\t}")
			m.WriteFile(fakeNft+c.Argv[4], text[:at]+"\t\t"+strings.Join(c.Argv[6:], " ")+"\n"+text[at:])
		case "delete":
			m.Remove(fakeNft + c.Argv[4])
		default:
			loadNft(m, string(c.Stdin))
		}
		return host.Result{}
	})
	return m
}

func loadNft(m *fake.Machine, text string) {
	body := strings.Index(text, "\ntable ")
	head := text
	if body >= 0 {
		head = text[:body]
	}
	for line := range strings.Lines(head) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "delete" {
			m.Remove(fakeNft + f[3])
		}
	}
	if body >= 0 {
		m.WriteFile(fakeNft+strings.Fields(text[body:])[2], canonicalNft(text[body+1:]))
	}
}

// canonicalNft does some of what nft does to what it is given.
func canonicalNft(text string) string {
	text = strings.NewReplacer("priority filter", "priority 0", "established,related", "0x2,0x4", "{ icmp, ipv6-icmp }", "{ 1, 58 }").Replace(text)
	var b strings.Builder
	for line := range strings.Lines(text) {
		if indent := line[:len(line)-len(strings.TrimLeft(line, "\t"))]; strings.TrimSpace(line) != "" {
			b.WriteString(indent + strings.Join(strings.Fields(line), " ") + "\n")
		}
	}
	return b.String()
}

// firewalldMachine has a firewalld that runs. Its zones are files of lines "LIST
// ENTRY", in force and permanent.
func firewalldMachine() *fake.Machine {
	m := bare()
	m.WriteFile("/usr/lib/systemd/system/firewalld.service", fake.Service("/usr/sbin/firewalld"))
	m.Systemctl(host.Enable, "firewalld.service")
	m.Systemctl(host.Start, "firewalld.service")
	for _, reach := range []string{runtime, permanent} {
		m.WriteFile("/run/fake/firewalld/"+reach+"/public", "port 22/tcp\nservice ssh\n")
	}
	m.Program("firewall-cmd", func(m *fake.Machine, c host.Command) host.Result {
		reach, zone := runtime, ""
		for _, a := range c.Argv[1:] {
			name, value, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
			verb, list, _ := strings.Cut(name, "-")
			at := "/run/fake/firewalld/" + reach + "/" + zone
			text, there := m.File(at)
			switch {
			case a == "-q":
			case a == "--permanent":
				reach = permanent
			case name == "zone":
				zone = value
			case !there:
				return host.Result{Exit: 112, Stderr: []byte("Error: INVALID_ZONE: " + zone + "\n")}
			case a == "--list-all":
				return host.Result{Stdout: []byte(zoneListing(zone, text))}
			case verb == "query":
				if slices.Contains(strings.Split(text, "\n"), "rich-rule "+canonicalRule(value)) {
					return host.Result{Stdout: []byte("yes\n")}
				}
				return host.Result{Exit: 1, Stdout: []byte("no\n")}
			default:
				if list == "rich-rule" {
					value = canonicalRule(value)
				}
				lines := slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == list+" "+value || s == "" })
				if verb == "add" {
					lines = append(lines, list+" "+value)
				}
				slices.Sort(lines)
				m.WriteFile(at, strings.Join(lines, "\n")+"\n")
			}
		}
		return host.Result{Stdout: []byte("success\n")}
	})
	return m
}

// canonicalRule has the source before the port, and quotes.
func canonicalRule(rule string) string {
	f := strings.Fields(strings.NewReplacer(`"`, "", "'", "").Replace(rule))
	for i, w := range f {
		if key, value, ok := strings.Cut(w, "="); ok {
			f[i] = key + `="` + value + `"`
		}
	}
	if at := slices.Index(f, "source"); at > 2 && f[2] == "port" {
		f = slices.Concat(f[:2], f[at:at+2], f[2:at], f[at+2:])
	}
	return strings.Join(f, " ")
}

func zoneListing(zone, text string) string {
	of := map[string][]string{}
	for line := range strings.Lines(text) {
		list, entry, _ := strings.Cut(strings.TrimSpace(line), " ")
		of[list] = append(of[list], entry)
	}
	listing := zone + " (active)\n  target: default\n"
	for _, l := range []string{"interface", "source", "service", "port"} {
		listing += "  " + l + "s: " + strings.Join(of[l], " ") + "\n"
	}
	listing += "  masquerade: no\n  rich rules: \n"
	for _, r := range of["rich-rule"] {
		listing += "\t" + r + "\n"
	}
	return listing
}
