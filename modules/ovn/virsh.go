package ovn

import (
	"context"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
)

// virshTime bounds what is asked of a libvirtd; one that is gone answers nothing at all.
const virshTime = 20 * time.Second

// virsh is a call of virsh(1) to the libvirtd at a URI.
func virsh(uri string, words ...string) host.Command {
	return host.Command{Argv: append([]string{"virsh", "--connect", uri, "--quiet"}, words...), Timeout: virshTime}
}

// guestState is the state of a domain and the reason for it: virDomainState, and for one that is paused
// virDomainPausedReason, of libvirt-domain.h.
type guestState struct{ state, reason int }

const (
	stateNone    = 0
	statePaused  = 3
	stateShutOff = 5
	stateCrashed = 6

	pausedMigration  = 2
	pausedStartingUp = 11
	pausedPostcopy   = 12
)

// crossing says whether the domain is on its way from here or to here, and stands still.
func (g guestState) crossing() bool {
	return g.state == statePaused && (g.reason == pausedMigration || g.reason == pausedStartingUp || g.reason == pausedPostcopy)
}

// lives says whether the domain is at work here.
func (g guestState) lives() bool {
	return g.state != stateNone && g.state != stateShutOff && g.state != stateCrashed && !g.crossing()
}

// parseStates reads what `virsh domstats --state` prints: a line `Domain: 'NAME'` for each domain, and below it a line
// for each value, "  state.state=1".
func parseStates(text string) map[string]guestState {
	all, name := map[string]guestState{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if quoted, ok := strings.CutPrefix(line, "Domain: "); ok {
			name = strings.TrimSuffix(strings.TrimPrefix(quoted, "'"), "'")
			all[name] = guestState{}
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		n, err := strconv.Atoi(value)
		g, known := all[name]
		switch {
		case err != nil || !known:
			continue
		case key == "state.state":
			g.state = n
		case key == "state.reason":
			g.reason = n
		}
		all[name] = g
	}
	return all
}

// parseTitled reads lines like "Autostart:      disable", as `virsh dominfo` and `virsh domjobinfo` print them. The unit
// of a value comes after spaces of its own: "Total downtime:   125          ms".
func parseTitled(text string) map[string]string {
	titled := map[string]string{}
	for line := range strings.Lines(text) {
		if title, value, ok := strings.Cut(line, ":"); ok {
			titled[strings.TrimSpace(title)] = strings.TrimSpace(value)
		}
	}
	return titled
}

// downtime is how long the domain stood still in its last migration, in milliseconds; false where its libvirtd no longer
// knows.
func downtime(jobInfo string) (int, bool) {
	number, unit, _ := strings.Cut(parseTitled(jobInfo)["Total downtime"], " ")
	n, err := strconv.Atoi(number)
	return n, err == nil && n >= 0 && strings.TrimSpace(unit) == "ms"
}

// statesAt asks a libvirtd for all its domains, once between two effects however many steps ask: one that is silent takes
// its time.
func statesAt(ctx context.Context, v host.View, uri string) (map[string]guestState, error) {
	type answer struct {
		states map[string]guestState
		err    error
	}
	a, err := host.Recall(v.Memo, "domains of "+uri, func() (answer, error) {
		r, err := v.Commands.Query(ctx, virsh(uri, "domstats", "--state"))
		return answer{parseStates(string(r.Stdout)), err}, ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return a.states, a.err
}
