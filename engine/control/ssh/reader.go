package ssh

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// reader turns directives into values and keeps the first mistake, with the
// line it stands in.
type reader struct {
	l      *lookup
	expand func(string) (string, error)
	err    error
}

func (r *reader) fail(d directive, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %s", d.at(), fmt.Sprintf(format, args...))
	}
}

func (r *reader) number(keyword string, otherwise int) int {
	d, ok := r.l.first(keyword)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(d.args[0])
	if err != nil || n < 0 {
		r.fail(d, "%s %q is not a number", keyword, d.args[0])
	}
	return n
}

// seconds reads a time in the formats of TIME FORMATS in sshd_config(5). Zero
// and "none" are the default: weft wants an end to every wait.
func (r *reader) seconds(keyword string, otherwise time.Duration) time.Duration {
	d, ok := r.l.first(keyword)
	if !ok || d.args[0] == "none" {
		return otherwise
	}
	total, ok := parseSeconds(d.args[0])
	if !ok {
		r.fail(d, "%s %q is not a time", keyword, d.args[0])
	}
	if total == 0 {
		return otherwise
	}
	return total
}

func parseSeconds(s string) (time.Duration, bool) {
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	}
	var total time.Duration
	for rest := strings.ToLower(s); rest != ""; {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		// Nine digits of weeks still fit where they are capped below.
		if n == 0 || n > 9 {
			return 0, false
		}
		value, _ := strconv.Atoi(rest[:n])
		unit := time.Second
		rest = rest[n:]
		if rest != "" {
			u, ok := units[rest[0]]
			if !ok {
				return 0, false
			}
			unit, rest = u, rest[1:]
		}
		const most = 365 * 24 * time.Hour
		if value > int(most/unit) {
			return 0, false
		}
		total += time.Duration(value) * unit
		if total > most {
			return 0, false
		}
	}
	return total, s != ""
}

func (r *reader) choice(keyword string, choices map[string]string, otherwise string) string {
	d, ok := r.l.first(keyword)
	if !ok {
		return otherwise
	}
	v, ok := choices[strings.ToLower(d.args[0])]
	if !ok {
		r.fail(d, "%s does not know %q", keyword, d.args[0])
	}
	return v
}

func (r *reader) yes(keyword string) bool {
	return r.choice(keyword, map[string]string{"yes": "yes", "true": "yes", "no": "", "false": ""}, "") == "yes"
}

// paths reads a keyword that may be given many times, one path each. A "none"
// among them ends the list.
func (r *reader) paths(keyword string, otherwise []string) []string {
	directives := r.l.values[keyword]
	if len(directives) == 0 {
		return otherwise
	}
	var out []string
	for _, d := range directives {
		if strings.EqualFold(d.args[0], "none") {
			break
		}
		out = append(out, r.path(d, d.args[0]))
	}
	return out
}

// firstPaths reads a keyword that is given once, with many paths.
func (r *reader) firstPaths(keyword string, otherwise ...string) []string {
	d, ok := r.l.first(keyword)
	if !ok {
		return otherwise
	}
	var out []string
	for _, arg := range d.args {
		if !strings.EqualFold(arg, "none") {
			out = append(out, r.path(d, arg))
		}
	}
	return out
}

func (r *reader) path(d directive, value string) string {
	p, err := r.expand(value)
	if err != nil {
		r.fail(d, "%s: %v", d.keyword, err)
	}
	return p
}

// agent is the socket of the agent: IdentityAgent, or SSH_AUTH_SOCK.
func (r *reader) agent(env environment) string {
	d, ok := r.l.first("identityagent")
	switch {
	case !ok, d.args[0] == "SSH_AUTH_SOCK":
		return env.getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(d.args[0], "none"):
		return ""
	case strings.HasPrefix(d.args[0], "$") && !strings.HasPrefix(d.args[0], "${"):
		return env.getenv(d.args[0][1:])
	}
	return r.path(d, d.args[0])
}

// jumps reads ProxyJump. Whichever of it and ProxyCommand comes first holds.
func (r *reader) jumps() []string {
	jump, hasJump := r.l.first("proxyjump")
	command, hasCommand := r.l.first("proxycommand")
	if hasCommand && (!hasJump || command.order < jump.order) {
		if !strings.EqualFold(command.args[0], "none") {
			r.fail(command, "weft runs no ProxyCommand; say it with ProxyJump, in a file given to weft alone if need be")
		}
		return nil
	}
	if !hasJump || strings.EqualFold(jump.args[0], "none") {
		return nil
	}
	hops := strings.Split(strings.Join(jump.args, ""), ",")
	for _, hop := range hops {
		if _, err := parseHop(hop); err != nil {
			r.fail(jump, "%v", err)
		}
	}
	return hops
}
