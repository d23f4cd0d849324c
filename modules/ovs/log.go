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

// logLines is what ovs-vswitchd last said of a device, to follow an error
// message; empty where it said nothing or cannot be read.
func logLines(ctx context.Context, h host.Host, name string) string {
	r, err := h.Commands.Query(ctx, host.Command{Argv: []string{"tail", "-c", logTail, switchLog}})
	if err != nil {
		return "; look at " + switchLog
	}
	if !utf8.ValidString(name) { // which no pattern may hold
		return "; look at " + switchLog
	}
	word := regexp.MustCompile(`(^|[^A-Za-z0-9_.-])` + regexp.QuoteMeta(name) + `($|[^A-Za-z0-9_.-])`)
	var said []string
	for line := range strings.Lines(string(r.Stdout)) {
		if word.MatchString(line) {
			said = append(said, strings.TrimSpace(line))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "; ovs-vswitchd says:\n" + strings.Join(said[max(0, len(said)-logShown):], "\n")
}
