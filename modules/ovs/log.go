package ovs

import (
	"context"
	"regexp"
	"strings"
	"unicode/utf8"

	"weft/engine/host"
)

const (
	switchLog = "/var/log/openvswitch/ovs-vswitchd.log"
	logTail   = "65536" // bytes
	logShown  = 5       // lines
)

// logLines is what ovs-vswitchd last said of a device, by any of its names, to
// follow an error message; empty where it said nothing or cannot be read.
func logLines(ctx context.Context, h host.Host, names ...string) string {
	log, ok := switchLogTail(ctx, h.View())
	if !ok {
		return "; look at " + switchLog
	}
	var words []string
	for _, name := range names {
		if !utf8.ValidString(name) { // which no pattern may hold
			return "; look at " + switchLog
		}
		words = append(words, regexp.QuoteMeta(name))
	}
	word := regexp.MustCompile(`(^|[^A-Za-z0-9_.-])(` + strings.Join(words, "|") + `)($|[^A-Za-z0-9_.-])`)
	var said []string
	for line := range strings.Lines(log) {
		if word.MatchString(line) {
			said = append(said, strings.TrimSpace(line))
		}
	}
	return lastSaid(said)
}

// startLines are the warnings and errors that ovs-vswitchd logged since it last
// began.
func startLines(ctx context.Context, v host.View) string {
	log, ok := switchLogTail(ctx, v)
	if !ok {
		return "; look at " + switchLog
	}
	if at := strings.LastIndex(log, "|vlog|INFO|opened log file"); at >= 0 {
		log = log[at:]
	}
	var said []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "|WARN|") || strings.Contains(line, "|ERR|") || strings.Contains(line, "|EMER|") {
			said = append(said, strings.TrimSpace(line))
		}
	}
	return lastSaid(said)
}

func switchLogTail(ctx context.Context, v host.View) (log string, ok bool) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"tail", "-c", logTail, switchLog}})
	return string(r.Stdout), err == nil
}

func lastSaid(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; ovs-vswitchd says:\n" + strings.Join(lines[max(0, len(lines)-logShown):], "\n")
}
