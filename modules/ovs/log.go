package ovs

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

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
// interface; empty where there is none.
func describedTwice(ctx context.Context, v host.View, name, ours string) (string, error) {
	files := []string{interfacesFile}
	list, err := v.Files.List(ctx, interfacesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, f := range list {
		files = append(files, path.Join(interfacesDir, f))
	}
	for _, f := range files {
		b, err := v.Files.Read(ctx, f)
		if f == ours || err != nil { // a directory, or gone meanwhile
			continue
		}
		for line := range strings.Lines(string(b)) {
			if words := strings.Fields(line); len(words) > 1 && words[0] == "iface" && words[1] == name {
				return f, nil
			}
		}
	}
	return "", nil
}
