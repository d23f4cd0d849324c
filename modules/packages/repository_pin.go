package packages

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// readPin reads the file of the pin, and which servers it leaves out.
func (p place) readPin(ctx context.Context, v host.View, have *RepositorySpec, want RepositorySpec) error {
	if p.by != apt {
		return nil
	}
	have.Pin = step.None[int]()
	content, ok, err := readText(ctx, v, p.pinFile)
	if !ok {
		return err
	}
	have.PinText, have.Pin = step.Is(content), pinIn(content)
	if !want.undo() {
		have.Unpinned = unpinned(content, p.pinned(want))
	}
	return nil
}

// pinned are the URIs whose servers the pin is about.
func (p place) pinned(want RepositorySpec) []string {
	if len(want.URIs) > 0 {
		return want.URIs
	}
	f := p.fields()
	return f.words("URIs")
}

// noPin stands for the pin of a file whose records differ. Nobody can ask for it.
const noPin = 0

// A pinRecord is one record of apt_preferences(5).
type pinRecord struct {
	packages, pin string
	priority      int
}

// pinRecords reads preferences.
func pinRecords(preferences string) []pinRecord {
	var all []pinRecord
	record := map[string]string{}
	paragraphs(preferences, func() { clear(record) }, func(name, value string) { record[strings.ToLower(name)] = value }, func() {
		if n, err := strconv.Atoi(record["pin-priority"]); err == nil {
			all = append(all, pinRecord{record["package"], record["pin"], n})
		}
	})
	return all
}

// pinIn is the priority that all records of preferences have.
func pinIn(preferences string) step.Attr[int] {
	records := pinRecords(preferences)
	if len(records) == 0 {
		return step.None[int]()
	}
	for _, r := range records {
		if r.priority != records[0].priority {
			return step.Is(noPin)
		}
	}
	return step.Is(records[0].priority)
}

// unpinned are the servers of uris of which preferences do not pin all packages.
func unpinned(preferences string, uris []string) []string {
	left := serversOf(uris)
	for _, r := range pinRecords(preferences) {
		server, ok := strings.CutPrefix(r.pin, "origin")
		server = strings.Trim(strings.TrimSpace(server), `"`)
		if ok && r.packages == "*" {
			left = slices.DeleteFunc(left, func(s string) bool { return s == server })
		}
	}
	return left
}

// serversOf are the names of the servers, each once; a file: repository has an empty one.
func serversOf(uris []string) []string {
	var servers []string
	for _, uri := range uris {
		if u, err := url.Parse(uri); err == nil && !slices.Contains(servers, u.Hostname()) {
			servers = append(servers, u.Hostname())
		}
	}
	return servers
}

// pinText is what an undo leaves in the file of the pin: what was found, unless another
// hand made another pin of it since.
func (s *RepositorySpec) pinText() (text string, ok bool) {
	text, ok = s.PinText.Get()
	return text, ok && (!s.State.There() || pinIn(text) == s.Pin)
}

// writePin writes apt's preferences for the server, or the directory, of the
// repository. An undo brings back the text that was found where that says what is
// wanted, and leaves one that another hand made since.
func (p place) writePin(ctx context.Context, h host.Host, want RepositorySpec) error {
	if p.by != apt {
		return nil
	}
	have, ok, err := readText(ctx, h.View(), p.pinFile)
	if err != nil {
		return err
	}
	uris := p.pinned(want)
	n, pinned := want.Pin.Get()
	text, found := want.pinText()
	switch {
	case found:
	case !want.State.There() || want.Pin.Absent():
		if ok {
			return h.Files.Remove(ctx, p.pinFile)
		}
		return nil
	case !pinned || n == noPin || ok && pinIn(have) == want.Pin && (want.undo() || len(unpinned(have, uris)) == 0):
		return nil
	case want.undo() && ok: // its servers are another hand's
		text = withPriority(have, n)
	case len(uris) == 0:
		return errors.New("nothing says what to pin: the repository has no uris")
	default:
		text = pinText(want.Name, uris, n)
	}
	if ok && have == text {
		return nil
	}
	return h.Files.Write(ctx, p.pinFile, []byte(text), host.Attributes{})
}

// withPriority is preferences with the same priority in each record.
func withPriority(preferences string, n int) string {
	var b strings.Builder
	for line := range strings.Lines(preferences) {
		if name, _, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Pin-Priority") {
			line = fmt.Sprintf("%s: %d\n", name, n)
		}
		b.WriteString(line)
	}
	return b.String()
}

// pinText pins by the server's name.
func pinText(name string, uris []string, priority int) string {
	var b strings.Builder
	for _, server := range serversOf(uris) {
		fmt.Fprintf(&b, "Explanation: %s, by weft\nPackage: *\nPin: origin \"%s\"\nPin-Priority: %d\n\n", name, server, priority)
	}
	return b.String()
}
