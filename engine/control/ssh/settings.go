package ssh

import (
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settings is all that is known about how to reach one target.
type settings struct {
	Name    string
	Host    string // name or address to connect to
	Port    int
	User    string
	Network string // "tcp", "tcp4" or "tcp6"

	IdentityFiles    []string
	NamedIdentities  bool // somebody named them; they are not the usual places
	CertificateFiles []string
	IdentitiesOnly   bool
	AgentSocket      string // empty for none

	KnownHosts   []string // the user's first; new keys go into the first
	GlobalHosts  []string
	HostKeyAlias string
	HashNew      bool
	HostKeys     HostKeyPolicy

	ConnectTimeout time.Duration
	AliveInterval  time.Duration
	AliveCount     int

	Jumps []string // hops as ProxyJump has them, the nearest first
}

// environment is what of this machine the configuration depends on.
type environment struct {
	home      string
	localUser string
	hostname  string
	uid       string
	getenv    func(string) string
}

func localEnvironment() (environment, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return environment{}, fmt.Errorf("find the home directory: %w", err)
	}
	e := environment{home: home, uid: strconv.Itoa(os.Getuid()), getenv: os.Getenv}
	e.hostname, _ = os.Hostname()
	e.localUser = firstOf(os.Getenv("USER"), os.Getenv("LOGNAME"))
	if u, err := user.Current(); err == nil {
		e.localUser = u.Username
	}
	return e, nil
}

// The defaults of ssh_config(5), but for the keepalives, which find a dead
// transport in 15 s, and the time to connect.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultAliveInterval  = 5 * time.Second
	defaultAliveCount     = 2
)

// expandHostName expands the tokens of HostName. An address has none, though a
// scoped one has a percent sign.
func expandHostName(value, name string) string {
	if _, err := netip.ParseAddr(value); err == nil {
		return value
	}
	return strings.NewReplacer("%%", "%", "%h", name).Replace(value)
}

// settle turns what the configuration says about a target into settings.
func settle(l *lookup, t Target, o Options, env environment) (settings, error) {
	s := settings{
		Name: t.Name,
		Host: l.hostName(),
		Port: t.Port,
		User: firstOf(t.User, l.text("user"), env.localUser),
		// OpenSSH keeps the alias as it is, without the port.
		HostKeyAlias: l.text("hostkeyalias"),
		HostKeys:     o.HostKeys,
	}
	r := reader{l: l}
	if s.Port == 0 {
		s.Port = r.number("port", 22)
	}
	if r.err != nil {
		return s, r.err
	}
	if s.Port < 1 || s.Port > 65535 {
		return s, fmt.Errorf("%s: port %d is not between 1 and 65535", t.Name, s.Port)
	}
	x := tokens(s, env)
	r.expand = func(v string) (string, error) { return expand(v, x, env) }

	s.Network = r.choice("addressfamily", map[string]string{"any": "tcp", "inet": "tcp4", "inet6": "tcp6"}, "tcp")
	s.IdentitiesOnly = r.yes("identitiesonly")
	s.HashNew = r.yes("hashknownhosts")
	if s.HostKeys == AsConfigured {
		// "no" would take a changed key for an unknown one; weft never does.
		s.HostKeys = HostKeyPolicy(r.choice("stricthostkeychecking", map[string]string{
			"yes": "yes", "true": "yes", "ask": "yes",
			"accept-new": "accept-new", "no": "accept-new", "off": "accept-new", "false": "accept-new",
		}, "yes"))
	}
	s.ConnectTimeout = o.ConnectTimeout
	if s.ConnectTimeout == 0 {
		s.ConnectTimeout = r.seconds("connecttimeout", defaultConnectTimeout)
	}
	s.AliveInterval = r.seconds("serveraliveinterval", defaultAliveInterval)
	s.AliveCount = r.number("serveralivecountmax", defaultAliveCount)
	s.IdentityFiles = append(append([]string(nil), t.IdentityFiles...), r.paths("identityfile", nil)...)
	if s.NamedIdentities = len(s.IdentityFiles) > 0; !s.NamedIdentities {
		s.IdentityFiles = defaultIdentities(env.home)
	}
	s.CertificateFiles = r.paths("certificatefile", nil)
	s.KnownHosts = r.firstPaths("userknownhostsfile", env.home+"/.ssh/known_hosts", env.home+"/.ssh/known_hosts2")
	s.GlobalHosts = r.firstPaths("globalknownhostsfile", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
	s.AgentSocket = r.agent(env)
	s.Jumps = r.jumps()
	return s, r.err
}

// defaultIdentities are tried where none is configured. An RSA signature costs
// ten times an ed25519 one, so it comes last.
func defaultIdentities(home string) []string {
	var out []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		out = append(out, filepath.Join(home, ".ssh", name))
	}
	return out
}

// tokens are those of TOKENS in ssh_config(5) that file names use.
func tokens(s settings, env environment) map[byte]string {
	short, _, _ := strings.Cut(env.hostname, ".")
	return map[byte]string{
		'%': "%", 'd': env.home, 'h': s.Host, 'i': env.uid,
		'k': firstOf(s.HostKeyAlias, s.Name), 'L': short, 'l': env.hostname,
		'n': s.Name, 'p': strconv.Itoa(s.Port), 'r': s.User, 'u': env.localUser,
	}
}

// expand replaces %-tokens, ${VARIABLES} and a leading "~".
func expand(value string, tokens map[byte]string, env environment) (string, error) {
	value = expandHome(value, env.home)
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '%':
			if i++; i == len(value) {
				return "", fmt.Errorf("%q ends in a percent sign", value)
			}
			v, ok := tokens[value[i]]
			if !ok {
				return "", fmt.Errorf("%q has the token %%%c, which weft does not know", value, value[i])
			}
			b.WriteString(v)
		case strings.HasPrefix(value[i:], "${"):
			name, _, ok := strings.Cut(value[i+2:], "}")
			if !ok {
				return "", fmt.Errorf("%q has a ${ that is not closed", value)
			}
			v := env.getenv(name)
			if v == "" {
				return "", fmt.Errorf("%q wants the environment variable %s, which is not set", value, name)
			}
			b.WriteString(v)
			i += len("${") + len(name)
		default:
			b.WriteByte(value[i])
		}
	}
	return b.String(), nil
}
