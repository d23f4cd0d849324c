package ovs

import (
	"context"
	"regexp"
	"strings"
	"unicode/utf8"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
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

// describedTwice names another file of interfaces(5) that has a stanza for an
// interface; empty where there is none. What net_address and net_link write adds
// to ours, and stanzas that give nothing are no matter.
func describedTwice(ctx context.Context, v host.View, name, ours string) (string, error) {
	files, err := ifupdown.Read(ctx, v.Files)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.Name != ours && ifupdown.PurposeOf(f.Name) == "" && f.Text.Gives(name) {
			return f.Name, nil
		}
	}
	return "", nil
}
