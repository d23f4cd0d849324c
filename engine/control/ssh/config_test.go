package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// look settles a target against the text of a configuration file.
func look(t *testing.T, text string, target Target) (settings, []string, error) {
	t.Helper()
	home := t.TempDir()
	if err := os.MkdirAll(home+"/.ssh/conf.d", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"conf.d/a.conf": "User from-a\nPort 1001\n",
		"conf.d/b.conf": "Host inner\n  Port 1002\nHost *\n  User from-b\n",
		"loop":          "Include loop\n",
	} {
		if err := os.WriteFile(filepath.Join(home, ".ssh", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(home, ".ssh", "config")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environment{
		home: home, localUser: "me", hostname: "desk.example", uid: "1000",
		getenv: func(name string) string {
			return map[string]string{"SSH_AUTH_SOCK": "/run/agent", "KEYS": "/keys"}[name]
		},
	}
	d, err := newDialer(Options{SystemConfig: "none"}, env)
	if err != nil {
		return settings{}, nil, err
	}
	s, err := d.settings(target)
	for _, list := range [][]string{s.IdentityFiles, s.KnownHosts, s.CertificateFiles} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], home, "HOME")
		}
	}
	return s, d.Warnings(), err
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		target Target
		got    func(settings) any
		want   any
	}{
		{"defaults", "", Target{Name: "h"}, func(s settings) any {
			return []any{s.Host, s.Port, s.User, s.Network, s.HostKeys, s.ConnectTimeout, s.AliveInterval, s.AliveCount, s.AgentSocket, s.KnownHosts[0]}
		}, []any{"h", 22, "me", "tcp", Strict, 10 * time.Second, 5 * time.Second, 2, "/run/agent", "HOME/.ssh/known_hosts"}},
		{"first value wins", "Host h\nPort 1\nHost *\nPort 2\nUser u", Target{Name: "h"}, endOf, "u@h:1"},
		{"the target wins", "Host h\nPort 1\nUser u\nHostName x", Target{Name: "h", Address: "10.0.0.1", Port: 7, User: "me2"}, endOf, "me2@10.0.0.1:7"},
		{"a pattern matches the address too", "Host 10.0.*\nUser u", Target{Name: "h", Address: "10.0.0.1"}, endOf, "u@10.0.0.1:22"},
		{"negation", "Host * !h\nUser u", Target{Name: "h"}, endOf, "me@h:22"},
		{"question mark", "Host h?\nUser u", Target{Name: "h"}, endOf, "me@h:22"},
		{"spelling", "hOsT=\"h\" other\n\tPORT = 5 # comment\n  user 'a b'", Target{Name: "h"}, endOf, "a b@h:5"},
		{"host name with a token", "HostName %h.example", Target{Name: "h"}, endOf, "me@h.example:22"},
		{"scoped address", "HostName fe80::1%eth0", Target{Name: "h"}, endOf, "me@fe80::1%eth0:22"},
		{"include in order", "Include conf.d/*.conf\nUser late", Target{Name: "h"}, endOf, "from-a@h:1001"},
		{"include within a host", "Host other\nInclude conf.d/*.conf\nHost *\nUser late", Target{Name: "h"}, endOf, "late@h:22"},
		{"include with hosts of its own", "Include ~/.ssh/conf.d/b.conf\nPort 3", Target{Name: "inner"}, endOf, "from-b@inner:1002"},
		{"include of nothing", "Include nothing*\nPort 3", Target{Name: "h"}, endOf, "me@h:3"},
		{"match all", "Match all\nUser u", Target{Name: "h"}, endOf, "u@h:22"},
		{"match a list", "Match host a,h*\nUser u", Target{Name: "host"}, endOf, "u@host:22"},
		{"match looks at HostName", "HostName real\nMatch host real originalhost h\nUser u", Target{Name: "h"}, endOf, "u@real:22"},
		{"match user", "Match user root\nPort 7", Target{Name: "h", User: "root"}, endOf, "root@h:7"},
		{"match localuser, negated", "Match !localuser me\nUser u", Target{Name: "h"}, endOf, "me@h:22"},
		{"match needs all", "Match host h user other\nPort 7", Target{Name: "h"}, endOf, "me@h:22"},
		{"match exec is passed over", "Match host h exec \"true\"\nUser u\nHost h\nPort 3", Target{Name: "h"}, endOf, "me@h:3"},
		{"identities", "IdentityFile ~/.ssh/%r@%h\nHost *\nIdentityFile ${KEYS}/%n-%p", Target{Name: "h", IdentityFiles: []string{"/mine"}},
			func(s settings) any { return s.IdentityFiles }, []string{"/mine", "HOME/.ssh/me@h", "/keys/h-22"}},
		{"usual identities", "", Target{Name: "h"}, func(s settings) any { return s.IdentityFiles },
			[]string{"HOME/.ssh/id_ed25519", "HOME/.ssh/id_ecdsa", "HOME/.ssh/id_rsa"}},
		{"no agent", "IdentityAgent none", Target{Name: "h"}, func(s settings) any { return s.AgentSocket }, ""},
		{"an agent of one's own", "IdentityAgent $KEYS", Target{Name: "h"}, func(s settings) any { return s.AgentSocket }, "/keys"},
		{"known hosts", "UserKnownHostsFile ~/a /b", Target{Name: "h"}, func(s settings) any { return s.KnownHosts }, []string{"HOME/a", "/b"}},
		{"times", "ConnectTimeout 1m30s\nServerAliveInterval 0\nServerAliveCountMax 9", Target{Name: "h"},
			func(s settings) any { return []any{s.ConnectTimeout, s.AliveInterval, s.AliveCount} }, []any{90 * time.Second, 5 * time.Second, 9}},
		{"no is accept-new", "StrictHostKeyChecking no", Target{Name: "h"}, func(s settings) any { return s.HostKeys }, AcceptNew},
		{"ask is strict", "StrictHostKeyChecking ask", Target{Name: "h"}, func(s settings) any { return s.HostKeys }, Strict},
		{"jumps", "ProxyJump a@b:1,[::1]:2", Target{Name: "h"}, func(s settings) any { return s.Jumps }, []string{"a@b:1", "[::1]:2"}},
		{"no jump", "ProxyJump none\nHost *\nProxyJump b", Target{Name: "h"}, func(s settings) any { return len(s.Jumps) }, 0},
		{"no command before a jump", "ProxyCommand none\nProxyJump b", Target{Name: "h"}, func(s settings) any { return len(s.Jumps) }, 0},
		{"a jump before a command", "ProxyJump b\nProxyCommand nc", Target{Name: "h"}, func(s settings) any { return len(s.Jumps) }, 1},
		{"family", "AddressFamily inet6", Target{Name: "h"}, func(s settings) any { return s.Network }, "tcp6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := look(t, c.text, c.target)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.got(s); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func endOf(s settings) any {
	return fmt.Sprintf("%s@%s:%d", s.User, s.Host, s.Port)
}

func TestMistakesInConfig(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"Port x", "config:1: port \"x\" is not a number"},
		{"\nPort", "config:2: Port wants an argument"},
		{"User \"a", "config:1: a quote is not closed"},
		{"Include loop", "nests deeper"},
		{"ConnectTimeout soon", "config:1: connecttimeout \"soon\" is not a time"},
		{"IdentityFile %z", "%z"},
		{"IdentityFile ${NOT_SET}/x", "NOT_SET"},
		{"ProxyCommand nc %h %p", "config:1: weft runs no ProxyCommand"},
		{"ProxyJump a:b", "is not a port"},
		{"AddressFamily inet7", "config:1: addressfamily does not know \"inet7\""},
	} {
		if _, _, err := look(t, c.text, Target{Name: "h"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q gave %v, want %q", c.text, err, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := look(t, "Match exec \"rm -rf /\"\nUser u\nMatch tagged x\nUser v", Target{Name: "h"})
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[0], "config:1: Match exec is not evaluated") {
		t.Errorf("warnings %q, %v", warnings, err)
	}
}

func TestParseHop(t *testing.T) {
	for hop, want := range map[string]Target{
		"h":                {Name: "h"},
		"u@h":              {Name: "h", User: "u"},
		"u@h:22":           {Name: "h", User: "u", Port: 22},
		"a@b@h":            {Name: "h", User: "a@b"},
		"ssh://u@h:2222/":  {Name: "h", User: "u", Port: 2222},
		"[fe80::1%eth0]:1": {Name: "fe80::1%eth0", Port: 1},
		"[::1]":            {Name: "::1"},
	} {
		got, err := parseHop(hop)
		if err != nil || got.Name != want.Name || got.User != want.User || got.Port != want.Port {
			t.Errorf("parseHop(%q) = %+v, %v", hop, got, err)
		}
	}
	for _, hop := range []string{"", "u@", "h:0", "h:99999", "h:x"} {
		if got, err := parseHop(hop); err == nil {
			t.Errorf("parseHop(%q) = %+v", hop, got)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{"Host *\nUser u\n", "Match host a,!b exec \"x\"\nPort=5", "HostName %h%%", "IdentityFile '~/\\\"x'", "ConnectTimeout 1w2d", "ProxyJump a,b@[::1]:3"} {
		f.Add(s, "host")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		directives, err := parseConfig(text, "file")
		if err != nil || name == "" {
			return
		}
		l := &lookup{names: []string{name}, localUser: "me", values: map[string][]directive{}, warn: func(string) {}}
		l.apply(directives)
		s, err := settle(l, Target{Name: name}, Options{}, environment{home: "/home/me", getenv: func(string) string { return "" }})
		if err == nil && (s.Port < 1 || s.Port > 65535 || s.ConnectTimeout <= 0 || s.AliveInterval <= 0 || s.Network == "" || s.HostKeys == "") {
			t.Errorf("%q was read as %+v", text, s)
		}
	})
}
